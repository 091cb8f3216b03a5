// cairnfs, on a directory that was not made at once: 100 files came at a time, with a checkpoint after each, as in a
// directory that has been in use for long. Only listing it is measured.
import { grow } from '../programs/index.ts'
import { cairnfs, mountVolume, VOLUME } from './cairnfs.ts'
import type { SharedDirectory, System } from './system.ts'

const EACH = 100
const GROW_MS = 1_800_000

const GROWN: SharedDirectory = {
  id: 'grown',
  doing: `growing a directory by ${EACH} files at each checkpoint`,
  async fill({ workspace, minio, bucket, entries }) {
    await workspace.expect(grow(`s3://${bucket}/${VOLUME}`, minio.endpoint, entries, EACH), { limitMs: GROW_MS })
  },
}

export const grown: System = {
  id: 'grown',
  title: 'cairnfs, grown',
  limits: {
    ...{ entries: 100_000, entriesFrom: 100_000 },
    withLatency: [],
    reason: 'it is about 1,000 checkpoints, which take minutes to write',
  },
  filling: GROWN,
  note: `It lists a directory that grew by ${EACH} files at each checkpoint.`,
  probe: cairnfs.probe,
  open: (place) => mountVolume(place),
}
