// The objects of the store: which segments are there, what nothing refers to, what is not ours.
import { USAGE } from '../../meta/index.ts'
import { type ContentsEntry, parseSegmentKey, type SegmentId } from '../../segments/index.ts'
import { findLeftovers } from '../leftovers.ts'
import { type CheckContext, isUnreadable } from './context.ts'

/** Objects that nothing needs, and such as are not this volume's. */
export async function checkObjects(context: CheckContext): Promise<void> {
  const { clock, database, findings, identity, listed, progress, segments, store, survey } = context
  const { leftovers, foreign } = await findLeftovers({
    store,
    identity,
    database,
    segments,
    clock,
    listed: [...listed.values()],
    onProgress: (done, total) => progress('looking at objects', done, total, 'objects'),
    uses: {
      hasRow: (id) => survey.usage.has(id),
      isReferredTo: async (id: SegmentId, _contents: readonly ContentsEntry[]) => survey.extents.has(id),
    },
  })
  for (const { key, kind } of leftovers) {
    const why = { segment: 'no file refers to it', journal: 'its tenure has ended', probe: 'a probe was interrupted' }[
      kind
    ]
    findings.notice('unreferenced-object', `${key} is of no use (${why}): cairnfs gc deletes it`, { object: key })
  }
  for (const key of foreign)
    findings.notice('foreign-object', `${key} is no object of this volume: left alone`, { object: key })
}

/** Ids of segments in the store, with their sizes. */
export function segmentsListed({ listed }: CheckContext): Map<number, number> {
  const found = new Map<number, number>()
  for (const { key, sizeBytes } of listed.values()) {
    const id = parseSegmentKey(key)
    if (id !== null) found.set(id, sizeBytes)
  }
  return found
}

/** Live bytes of data segments: rows of USAGE against what the extents add up to. */
export function judgeUsage(context: CheckContext): void {
  const { findings, survey } = context
  const { usage } = survey
  const { live } = survey.extents
  for (const id of new Set([...usage.keys(), ...live.keys()])) {
    const row = usage.get(id)
    const counted = live.get(id) ?? 0
    if (row === undefined ? counted === 0 : row.liveBytes === counted) continue
    if (row === undefined && isUnreadable(context, USAGE, 0, id)) continue
    const inCommit = row?.isCommit ?? survey.carried.has(id)
    findings.damage('wrong-live-bytes', {
      message: `segment ${id} counts ${row === undefined ? 'no' : row.liveBytes} live bytes, files have ${counted} in it`,
      remedy: `it counts ${counted}`,
      phase: 'counted-bytes',
      fix: (repair) => repair.files.setLiveBytes(id, counted, inCommit),
    })
  }
}
