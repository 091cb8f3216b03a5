// volume/: puts the layers together: formatting, opening, closing. Promises upward: Volume (open.ts), a filesystem with
// its status and its end; volume.json checked before anything else is read. Asks downward: every layer from store/ to
// vfs/. Takes clock, random source and store as arguments, as all below it.

export { defaultName, type FormatOptions, formatVolume } from './format.ts'
export { checkVolume, type FsckOptions, type FsckRepairOptions, identifyVolume, repairVolume } from './fsck/fsck.ts'
export type * from './fsck/report.ts'
export { type GcFigures, type GcOptions, type GcReport, gcVolume } from './gc.ts'
export { findLeftovers, type Leftover, type LeftoverKind } from './leftovers.ts'
export { lentBytes, type MemoryShares, shareMemory } from './memory-shares.ts'
export {
  type OpenVolumeOptions,
  openVolume,
  type Volume,
  type VolumeLog,
  type VolumeStatus,
  type VolumeWriter,
} from './open.ts'
export {
  decodeVolumeJson,
  encodeVolumeJson,
  NAME_PATTERN,
  readVolumeJson,
  VOLUME_KEY,
  type VolumeIdentity,
  type VolumeJson,
} from './volume-json.ts'
