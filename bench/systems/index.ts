// The systems, in the order of their columns. To add one: a file here, a line below.
import { bucket } from './bucket.ts'
import { cairnfs } from './cairnfs.ts'
import { cairnfsNative } from './cairnfs-native.ts'
import { ext4 } from './ext4.ts'
import { geesefs } from './geesefs.ts'
import { grown } from './grown.ts'
import { juicefs } from './juicefs.ts'
import { rclone } from './rclone.ts'
import { s3fs } from './s3fs.ts'
import { seaweedfs } from './seaweedfs.ts'
import type { System } from './system.ts'
import { zerofs } from './zerofs.ts'

export const SYSTEMS: readonly System[] = [
  cairnfs,
  cairnfsNative,
  grown,
  juicefs,
  zerofs,
  geesefs,
  seaweedfs,
  s3fs,
  rclone,
  bucket,
  ext4,
]
/** What is no peer: run without those too. */
export const NO_PEERS: readonly System[] = [cairnfs, cairnfsNative, grown, bucket, ext4]
export type { Instance, Place, SharedDirectory, System } from './system.ts'
export { NO_LIMITS } from './system.ts'
