// A directory of objects that were put straight into a bucket, with the headers that s3fs writes.
import type { SharedDirectory } from './system.ts'

export const KEYS: SharedDirectory = {
  id: 'keys',
  doing: 'filling a bucket with keys',
  fill: ({ workspace, minio, bucket, entries }) => minio.fill(bucket, entries, () => workspace.isInterrupted),
}
