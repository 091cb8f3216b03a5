// The structures of docs/FORMAT.md, taken apart and checked: volume.json, root, segments, commits, pages, records. Written
// from that page alone, by the layouts of layouts.ts.
//
// Must stay true: imports nothing of cairnfs; every crc, length, id and uuid that an object holds is checked here.
import { inflateRawSync } from 'node:zlib'
import {
  bytesOf,
  COMMIT_ENTRY,
  COMMIT_HEADER,
  COMMIT_RECORD,
  COMMIT_TABLE,
  check,
  crc32c,
  DENTRY,
  EXTENT,
  INLINE_EXTENT,
  INLINE_XATTR,
  INODE,
  type Layout,
  magicOf,
  number,
  PAGE,
  POINTER,
  ROOT_HEADER,
  ROOT_ID_RANGE,
  ROOT_PAGE_SEGMENT,
  ROOT_TABLE,
  ROOT_TENURE,
  SEGMENT_ENTRY,
  SEGMENT_FOOTER,
  SEGMENT_HEADER,
  STORED_PAGE,
  TRAILER,
  XATTR_PIECE,
} from './layouts.ts'

// Section 3.

export interface VolumeJson {
  uuid: Buffer
  name: string
  hashKey: Buffer
  segmentSize: number
}

export function decodeVolumeJson(bytes: Buffer): VolumeJson {
  const json = JSON.parse(bytes.toString()) as Record<string, unknown>
  check(json.format === 'cairnfs', 'volume.json: not a cairnfs volume')
  check(json.formatVersion === 2, `volume.json: format version ${json.formatVersion} is not 2`)
  const { incompat } = json.features as { incompat: number }
  check(incompat === 0, `volume.json: unknown incompat features ${incompat}`)
  const uuid = Buffer.from(String(json.uuid).replaceAll('-', ''), 'hex')
  const hashKey = Buffer.from(String(json.hashKey), 'hex')
  check(uuid.length === 16 && hashKey.length === 16, 'volume.json: uuid or hashKey has a wrong length')
  return { uuid, name: String(json.name), hashKey, segmentSize: Number(json.segmentSize) }
}

// Section 5.

export interface Pointer {
  segment: number
  offset: number
  storedBytes: number
  crc: number
}

export interface Tenure {
  epoch: number
  firstSeq: number
  sealSeq: number
}

export interface Root {
  number: number
  epoch: number
  slot: number
  tenures: Tenure[]
  idRanges: { sort: number; slot: number; end: number }[]
  tables: { kind: number; owner: number; pointer: Pointer }[]
  pageSegments: { segment: number; liveBytes: number; totalBytes: number }[]
}

export const FIRST_8 = 8
export const ofVolume = (uuid: Buffer, prefix: Buffer): boolean => prefix.equals(uuid.subarray(0, FIRST_8))

export function decodePointer(bytes: Buffer, at: number): Pointer {
  const [segment, offset, storedBytes, crc] = ['segment', 'offset', 'storedBytes', 'crc'].map((name) =>
    number(POINTER, name, bytes, at),
  ) as [number, number, number, number]
  return { segment, offset, storedBytes, crc }
}

export function decodeRoot(bytes: Buffer, uuid: Buffer): Root {
  const field = (name: string) => number(ROOT_HEADER, name, bytes)
  check(magicOf(ROOT_HEADER, bytes) === 'CRNR' && field('kind') === 1, 'root: not a root')
  check(field('version') === 1, 'root: unknown version')
  check(ofVolume(uuid, bytesOf(ROOT_HEADER, 'uuid', bytes)), 'root: of another volume')
  let at = ROOT_HEADER.bytes
  const list = <T>(count: number, of: Layout, decode: (at: number) => T): T[] =>
    Array.from({ length: count }, () => {
      const entry = decode(at)
      at += of.bytes
      return entry
    })
  const root: Root = {
    number: field('number'),
    epoch: field('epoch'),
    slot: field('slot'),
    tenures: list(field('tenures'), ROOT_TENURE, (from) => ({
      epoch: number(ROOT_TENURE, 'epoch', bytes, from),
      firstSeq: number(ROOT_TENURE, 'firstSeq', bytes, from),
      sealSeq: number(ROOT_TENURE, 'sealSeq', bytes, from),
    })),
    idRanges: list(field('idRanges'), ROOT_ID_RANGE, (from) => ({
      sort: number(ROOT_ID_RANGE, 'sort', bytes, from),
      slot: number(ROOT_ID_RANGE, 'slot', bytes, from),
      end: number(ROOT_ID_RANGE, 'end', bytes, from),
    })),
    tables: list(field('tables'), ROOT_TABLE, (from) => ({
      kind: number(ROOT_TABLE, 'kind', bytes, from),
      owner: number(ROOT_TABLE, 'owner', bytes, from),
      pointer: decodePointer(bytesOf(ROOT_TABLE, 'pointer', bytes, from), 0),
    })),
    pageSegments: list(field('pageSegments'), ROOT_PAGE_SEGMENT, (from) => ({
      segment: number(ROOT_PAGE_SEGMENT, 'segment', bytes, from),
      liveBytes: number(ROOT_PAGE_SEGMENT, 'liveBytes', bytes, from),
      totalBytes: number(ROOT_PAGE_SEGMENT, 'totalBytes', bytes, from),
    })),
  }
  check(at + 4 === bytes.length, 'root: wrong length')
  check(crc32c(bytes.subarray(0, at)) === bytes.readUInt32LE(at), 'root: crc')
  return root
}

// Section 6.

export const BLOCK = 32_768

export interface SegmentEntry {
  owner: number
  key: number
  offset: number
  storedBytes: number
  crc: number
  tableKind: number
}

export interface Segment {
  object: Buffer
  isPages: boolean
  entries: SegmentEntry[]
  trailer: { root: Buffer; volumeJson: Buffer } | null
}

export function segmentKey(id: number): string {
  const hex = id.toString(16).padStart(14, '0')
  return `segments/${hex.slice(-2)}/${hex}`
}

/** Takes a segment apart and checks all of it. */
export function decodeSegment(object: Buffer, id: number, uuid: Buffer): Segment {
  const bad = (what: string) => `${segmentKey(id)}: ${what}`
  check(object.length >= SEGMENT_HEADER.bytes + SEGMENT_FOOTER.bytes, bad('too short'))
  const footer = object.subarray(object.length - SEGMENT_FOOTER.bytes)
  const head = (name: string) => number(SEGMENT_HEADER, name, object)
  const foot = (name: string) => number(SEGMENT_FOOTER, name, footer)
  check(magicOf(SEGMENT_HEADER, object) === 'CSEG' && magicOf(SEGMENT_FOOTER, footer) === 'CSGF', bad('magic'))
  check(head('crc') === crc32c(object.subarray(0, SEGMENT_HEADER.bytes - 4)), bad('crc of the header'))
  check(foot('crc') === crc32c(footer.subarray(0, SEGMENT_FOOTER.bytes - 4)), bad('crc of the footer'))
  check(ofVolume(uuid, bytesOf(SEGMENT_HEADER, 'uuid', object)), bad('of another volume'))
  check(ofVolume(uuid, bytesOf(SEGMENT_FOOTER, 'uuid', footer)), bad('of another volume'))
  for (const name of ['kind', 'version', 'codec', 'objectBytes', 'contentsOffset', 'contentsCount'])
    check(head(name) === foot(name), bad(`${name} of header and footer differ`))
  check(head('version') === 1 && head('codec') === 0, bad('unknown version or codec'))
  check(head('kind') === 1 || head('kind') === 2, bad('unknown kind'))
  check(head('segment') === id && head('objectBytes') === object.length, bad('wrong id or length'))
  const isPages = head('kind') === 2

  const contentsAt = head('contentsOffset')
  const contents = object.subarray(contentsAt, object.length - SEGMENT_FOOTER.bytes)
  check(contents.length === head('contentsCount') * SEGMENT_ENTRY.bytes, bad('wrong length of contents'))
  check(crc32c(contents) === foot('contentsCrc'), bad('crc of the contents'))
  const trailerAt = contentsAt - foot('trailerBytes')
  const trailer = object.subarray(trailerAt, contentsAt)
  check(foot('trailerCrc') === (trailer.length === 0 ? 0 : crc32c(trailer)), bad('crc of the trailer'))

  const entries: SegmentEntry[] = []
  const crcs: number[] = []
  let next = SEGMENT_HEADER.bytes
  for (let at = 0; at < contents.length; at += SEGMENT_ENTRY.bytes) {
    const field = (name: string) => number(SEGMENT_ENTRY, name, contents, at)
    const entry: SegmentEntry = {
      owner: field('owner'),
      key: field('key'),
      offset: field('offset'),
      storedBytes: field('storedBytes'),
      crc: field('crc'),
      tableKind: field('tableKind'),
    }
    check(entry.offset === next, bad(`gap before ${entry.offset}`))
    check((entry.tableKind !== 0) === isPages, bad('a piece of another sort'))
    next += entry.storedBytes
    const stored = object.subarray(entry.offset, next)
    if (isPages) {
      check(crc32c(stored) === entry.crc, bad(`crc of the page at ${entry.offset}`))
      crcs.push(entry.crc)
    } else for (const block of blocksOf(stored, bad(`at ${entry.offset}`))) crcs.push(crc32c(block))
    entries.push(entry)
  }
  check(next === trailerAt, bad('pieces do not end where the trailer begins'))
  const words = Buffer.alloc(crcs.length * 4)
  for (const [index, crc] of crcs.entries()) words.writeUInt32LE(crc, index * 4)
  check(crc32c(words) === foot('fingerprint'), bad('fingerprint'))
  return { object, isPages, entries, trailer: trailer.length === 0 ? null : decodeTrailer(trailer) }
}

export function decodeTrailer(trailer: Buffer): { root: Buffer; volumeJson: Buffer } {
  const rootEnd = TRAILER.bytes + number(TRAILER, 'rootBytes', trailer)
  check(rootEnd + number(TRAILER, 'volumeJsonBytes', trailer) === trailer.length, 'trailer: wrong length')
  return { root: trailer.subarray(TRAILER.bytes, rootEnd), volumeJson: trailer.subarray(rootEnd) }
}

/** The blocks of a stored data piece, checked, without their crcs. */
export function blocksOf(stored: Buffer, where: string): Buffer[] {
  const blocks: Buffer[] = []
  for (let at = 0; at < stored.length; at += BLOCK + 4) {
    const end = Math.min(at + BLOCK + 4, stored.length) - 4
    check(end > at, `${where}: a block without bytes`)
    check(crc32c(stored.subarray(at, end)) === stored.readUInt32LE(end), `${where}: crc of a block`)
    blocks.push(stored.subarray(at, end))
  }
  return blocks
}

// Section 10.

export interface CommitTable {
  kind: number
  owner: number
  cleared: boolean
  records: { key: number; record: Buffer | null }[]
}

export interface Commit {
  isSeal: boolean
  dataId: number
  data: Buffer
  tables: CommitTable[]
}

export const hex14 = (value: number): string => value.toString(16).padStart(14, '0')

export function journalFolder(slot: number, epoch: number): string {
  return `journal/${slot.toString(16).padStart(3, '0')}/${hex14(epoch)}`
}

export function decodeCommit(
  object: Buffer,
  place: { slot: number; epoch: number; seq: number },
  uuid: Buffer,
): Commit {
  const bad = (what: string) => `${journalFolder(place.slot, place.epoch)}/${hex14(place.seq)}: ${what}`
  const field = (name: string) => number(COMMIT_HEADER, name, object)
  check(magicOf(COMMIT_HEADER, object) === 'CRNJ', bad('magic'))
  check(field('version') === 1 && field('codec') === 0, bad('unknown version or codec'))
  check(field('kind') === 3 || field('kind') === 4, bad('unknown kind'))
  check(ofVolume(uuid, bytesOf(COMMIT_HEADER, 'uuid', object)), bad('of another volume'))
  const dataEnd = COMMIT_HEADER.bytes + field('dataBytes')
  const recordsAt = dataEnd + field('contentsCount') * COMMIT_ENTRY.bytes
  check(recordsAt + field('recordBytes') === object.length, bad('wrong length'))
  const headCrc = crc32c(object.subarray(0, COMMIT_HEADER.bytes - 4))
  check(crc32c(object.subarray(dataEnd), headCrc) === field('crc'), bad('crc'))
  for (const name of ['slot', 'epoch', 'seq'] as const) check(field(name) === place[name], bad(`another ${name}`))
  const isSeal = field('kind') === 4
  check(!isSeal || object.length === COMMIT_HEADER.bytes, bad('a seal with something in it'))

  const data = object.subarray(COMMIT_HEADER.bytes, dataEnd)
  check((field('dataId') !== 0) === data.length > 0, bad('data without an id, or an id without data'))
  let next = 0
  for (let at = dataEnd; at < recordsAt; at += COMMIT_ENTRY.bytes) {
    check(number(COMMIT_ENTRY, 'offset', object, at) === next, bad('a gap in the data'))
    check(number(COMMIT_ENTRY, 'tableKind', object, at) === 0, bad('data of a table'))
    const storedBytes = number(COMMIT_ENTRY, 'storedBytes', object, at)
    blocksOf(data.subarray(next, next + storedBytes), bad(`data at ${next}`))
    next += storedBytes
  }
  check(next === data.length, bad('data that no entry names'))
  return { isSeal, dataId: field('dataId'), data, tables: decodeCommitTables(object, recordsAt, bad) }
}

export function decodeCommitTables(object: Buffer, from: number, bad: (what: string) => string): CommitTable[] {
  const tables: CommitTable[] = []
  const seen = new Set<string>()
  let at = from
  while (at < object.length) {
    const field = (name: string) => number(COMMIT_TABLE, name, object, at)
    const table: CommitTable = {
      kind: field('kind'),
      owner: field('owner'),
      cleared: field('cleared') === 1,
      records: [],
    }
    check(table.kind > 0 && table.kind < 128, bad(`records of kind ${table.kind}`))
    const name = `${table.kind}/${table.owner}`
    check(!seen.has(name), bad(`table ${name} stands twice`))
    seen.add(name)
    const count = field('count')
    at += COMMIT_TABLE.bytes
    for (let index = 0; index < count; index++) {
      const key = number(COMMIT_RECORD, 'key', object, at)
      const recordBytes = number(COMMIT_RECORD, 'recordBytes', object, at)
      at += COMMIT_RECORD.bytes
      const isDeleted = recordBytes === 0xffff
      check(isDeleted || (recordBytes >= 1 && recordBytes <= 16_384), bad('a record of a wrong length'))
      check(isDeleted || at + recordBytes <= object.length, bad('a record is cut short'))
      table.records.push({ key, record: isDeleted ? null : object.subarray(at, at + recordBytes) })
      if (!isDeleted) at += recordBytes
    }
    tables.push(table)
  }
  return tables
}

// Sections 7 and 11: pages, and tables as pages with changes on top.

export interface Page {
  level: number
  kind: number
  owner: number
  keys: number[]
  records: Buffer[]
}

export function decodePage(stored: Buffer, where: string): Page {
  const codec = number(STORED_PAGE, 'codec', stored)
  check(codec === 0 || codec === 1, `${where}: unknown codec`)
  const coded = stored.subarray(STORED_PAGE.bytes)
  const raw = codec === 1 ? inflateRawSync(coded) : coded
  check(raw.length === number(STORED_PAGE, 'rawBytes', stored), `${where}: wrong length`)
  check(number(PAGE, 'version', raw) === 1, `${where}: unknown version`)
  const count = number(PAGE, 'count', raw)
  check(count > 0, `${where}: empty`)
  const offsetsAt = PAGE.bytes + 8 * count
  const recordsAt = offsetsAt + 4 * (count + 1)
  check(recordsAt <= raw.length, `${where}: cut short`)
  const keys = Array.from({ length: count }, (_, index) => Number(raw.readBigUInt64LE(PAGE.bytes + 8 * index)))
  const offsets = Array.from({ length: count + 1 }, (_, index) => raw.readUInt32LE(offsetsAt + 4 * index))
  check(offsets[0] === recordsAt && offsets[count] === raw.length, `${where}: records do not fill the page`)
  for (let index = 1; index < count; index++) check(keys[index - 1]! < keys[index]!, `${where}: keys out of order`)
  const records = keys.map((_, index) => {
    check(offsets[index]! < offsets[index + 1]!, `${where}: an empty record`)
    return raw.subarray(offsets[index], offsets[index + 1])
  })
  return {
    level: number(PAGE, 'level', raw),
    kind: number(PAGE, 'kind', raw),
    owner: number(PAGE, 'owner', raw),
    keys,
    records,
  }
}

// Section 9.

export interface Extent {
  fileOffset: number
  segment: number
  offset: number
  pieceBytes: number
  skipBytes: number
  length: number
}

export interface Inode {
  ino: number
  mode: number
  uid: number
  gid: number
  nlink: number
  rdev: number
  size: number
  allocated: number
  mtimeNs: bigint
  /** Null: in the table. */
  extents: Extent[] | null
  target: Buffer
  xattrs: { name: Buffer; value: Buffer }[]
  /** Of the table XATTRS. */
  tableNames: number
  tableValues: number
}

export function decodeExtent(bytes: Buffer, at: number, fileOffset: number): Extent {
  const field = (name: string) => number(EXTENT, name, bytes, at)
  const extent = {
    fileOffset,
    segment: field('segment'),
    offset: field('offset'),
    pieceBytes: field('pieceBytes'),
    skipBytes: field('skipBytes'),
    length: field('length'),
  }
  const { skipBytes, length, pieceBytes } = extent
  check(skipBytes < BLOCK && length > 0 && skipBytes + length <= pieceBytes, 'extent: reaches beyond its piece')
  check(length <= 64 * 1024 * 1024, 'extent: too long')
  return extent
}

/** Bytes of the fields that an inode has only where they are not as usual, by their bit. */
const OPTIONAL = [
  { name: 'ctime', bytes: 12 },
  { name: 'atime', bytes: 12 },
  { name: 'btime', bytes: 12 },
  { name: 'nlink', bytes: 4 },
  { name: 'size', bytes: 8 },
  { name: 'allocated', bytes: 8 },
  { name: 'generation', bytes: 4 },
  { name: 'rdev', bytes: 4 },
  { name: 'flags', bytes: 4 },
  { name: 'realm', bytes: 8 },
  { name: 'lengths', bytes: 6 },
  { name: 'table', bytes: 8 },
]

export function decodeInode(bytes: Buffer): Inode {
  const head = (name: string) => number(INODE, name, bytes)
  const present = head('present')
  check(present < 1 << OPTIONAL.length, 'inode: unknown fields')
  const optional = new Map<string, Buffer>()
  let at = INODE.bytes
  for (const [bit, { name, bytes: length }] of OPTIONAL.entries()) {
    if (((present >> bit) & 1) === 0) continue
    optional.set(name, bytes.subarray(at, at + length))
    at += length
  }
  check(at <= bytes.length, 'inode: cut short')
  const field = (name: string, usual = 0) => {
    const found = optional.get(name)
    if (found === undefined) return usual
    return Number(found.length === 8 ? found.readBigUInt64LE() : found.readUInt32LE())
  }
  const length = (index: number) => optional.get('lengths')?.readUInt16LE(2 * index) ?? 0
  let extents: Extent[] | null = null
  if (length(0) !== 0xffff) {
    check(length(0) <= 4, 'inode: too many extents')
    extents = Array.from({ length: length(0) }, () => {
      const extent = decodeExtent(
        bytesOf(INLINE_EXTENT, 'extent', bytes, at),
        0,
        number(INLINE_EXTENT, 'fileOffset', bytes, at),
      )
      at += INLINE_EXTENT.bytes
      return extent
    })
  }
  const target = bytes.subarray(at, at + length(1))
  check(at + length(1) + length(2) === bytes.length && length(2) <= 1024, 'inode: wrong length')
  const xattrs: Inode['xattrs'] = []
  for (at += length(1); at < bytes.length; ) {
    const nameAt = at + INLINE_XATTR.bytes
    const valueAt = nameAt + number(INLINE_XATTR, 'nameBytes', bytes, at)
    at = valueAt + number(INLINE_XATTR, 'valueBytes', bytes, at)
    check(at <= bytes.length, 'inode: xattrs cut short')
    xattrs.push({ name: bytes.subarray(nameAt, valueAt), value: bytes.subarray(valueAt, at) })
  }
  const table = optional.get('table')
  check(head('mtimeNsec') < 1_000_000_000, 'inode: nanoseconds')
  return {
    ino: head('ino'),
    mode: head('mode'),
    uid: head('uid'),
    gid: head('gid'),
    nlink: field('nlink', 1),
    rdev: field('rdev'),
    size: field('size'),
    allocated: field('allocated'),
    mtimeNs: BigInt(head('mtimeSec')) * 1_000_000_000n + BigInt(head('mtimeNsec')),
    extents,
    target,
    xattrs,
    tableNames: table?.readUInt32LE(0) ?? 0,
    tableValues: table?.readUInt32LE(4) ?? 0,
  }
}

export interface XattrPiece {
  name: Buffer
  piece: number
  valueBytes: number
  bytes: Buffer
}

export function decodeXattrPiece(record: Buffer): XattrPiece {
  const nameEnd = XATTR_PIECE.bytes + number(XATTR_PIECE, 'nameBytes', record)
  const bytes = record.subarray(nameEnd)
  const valueBytes = number(XATTR_PIECE, 'valueBytes', record)
  const piece = number(XATTR_PIECE, 'piece', record)
  check(nameEnd <= record.length && valueBytes <= 65_536 && bytes.length <= 16_000, 'xattr piece: cut short')
  check(bytes.length === 16_000 || piece * 16_000 + bytes.length === valueBytes, 'xattr piece: wrong length')
  return { name: record.subarray(XATTR_PIECE.bytes, nameEnd), piece, valueBytes, bytes }
}

export interface Dentry {
  key: number
  name: Buffer
  type: number
  ino: number
  /** Null when shared. */
  inode: Inode | null
}

export function decodeDentry(key: number, record: Buffer): Dentry {
  const nameEnd = DENTRY.bytes + number(DENTRY, 'nameBytes', record)
  const name = record.subarray(DENTRY.bytes, nameEnd)
  check(name.length > 0 && nameEnd < record.length, 'dentry: cut short')
  const typeByte = number(DENTRY, 'type', record)
  const rest = record.subarray(nameEnd)
  const type = (typeByte & 0x0f) << 12
  if ((typeByte & 0x80) !== 0) {
    check(rest.length === 8, 'dentry: a shared one of a wrong length')
    return { key, name, type, ino: Number(rest.readBigUInt64LE(0)), inode: null }
  }
  const inode = decodeInode(rest)
  return { key, name, type, ino: inode.ino, inode }
}
