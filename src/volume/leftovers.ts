// Objects that nothing refers to: what crashes, lost answers and fenced writers left behind. For gc, which deletes them,
// and for fsck, which lists them.
//
// What may be called a leftover, and why it is safe to delete it once the slot is ours:
// - A segment that is no page segment of `root` and has no row in USAGE. All earlier tenures are sealed, so that the state
//   is final; an id is never given out twice, so that no record can come to name it; records name exactly the segments
//   with a row. A zombie's upload that lands later is one more leftover. Before one is deleted its table of contents is
//   read, and the files it lists must not refer to it: a volume whose counters are wrong loses nothing here.
// - A journal object of a tenure that `root` does not list any more, or behind the seal of one, or before the first commit
//   that is not contained. Never a seal (docs/decisions/0003).
// - What an interrupted probe left.
//
// Must stay true: ids from `firstOwnSegment` on are those of the tenure that looks, and never leftovers: they may be on
// their way. What no cairnfs wrote, or another volume, is foreign: listed, never deleted.
import { isReferredTo, Metadata, nameKeys, sharersOf, USAGE } from '../meta/index.ts'
import { type Clock, FsError, type MaybePromise } from '../platform/index.ts'
import { type ContentsEntry, parseSegmentKey, type SegmentId, type SegmentStore } from '../segments/index.ts'
import { type ListedObject, type ObjectStore, StoreError } from '../store/index.ts'
import { type Database, decodeCommit } from '../tables/index.ts'
import { VOLUME_KEY, type VolumeIdentity } from './volume-json.ts'

export type LeftoverKind = 'segment' | 'journal' | 'probe'

export interface Leftover {
  kind: LeftoverKind
  key: string
  sizeBytes: number
}

export interface Leftovers {
  leftovers: Leftover[]
  /** Keys of objects that are not this volume's. */
  foreign: string[]
  /** Segments without a row that files refer to all the same: the counters are wrong, fsck mends them. */
  miscounted: string[]
  /** Sizes of all data segments that have a row, by id. */
  segmentBytes: Map<number, number>
}

export interface LeftoverOptions {
  store: ObjectStore
  identity: VolumeIdentity
  database: Database
  segments: SegmentStore
  clock: Clock
  /** All objects of the store, where they were listed before; what came since is not looked at. */
  listed: readonly ListedObject[]
  onProgress: (done: number, total: number) => void
  /** Who knows of references to segments; the tables and the segments' tables of contents unless told. */
  uses?: SegmentUses
}

export interface SegmentUses {
  hasRow(id: SegmentId): MaybePromise<boolean>
  isReferredTo(id: SegmentId, contents: readonly ContentsEntry[]): Promise<boolean>
}

const ROOT_KEY = 'root'
const WRITER_PATTERN = /^writers\/\d+\.json$/
const PROBE_PATTERN = /^probe\/[0-9a-f]{24}(-missing)?$/
const JOURNAL_PATTERN = /^journal\/([0-9a-f]{3})\/([0-9a-f]{14})\/([0-9a-f]{14})$/

/** Lists every object of a store. */
export async function listAll(store: ObjectStore, onProgress: (done: number) => void): Promise<ListedObject[]> {
  const listed: ListedObject[] = []
  let startAfter: string | undefined
  do {
    const page = await store.list('', startAfter === undefined ? {} : { startAfter })
    listed.push(...page.objects)
    onProgress(listed.length)
    startAfter = page.next
  } while (startAfter !== undefined)
  return listed
}

export async function findLeftovers(options: LeftoverOptions): Promise<Leftovers> {
  const { database, listed, onProgress } = options
  const found: Leftovers = { leftovers: [], foreign: [], miscounted: [], segmentBytes: new Map() }
  const uses = options.uses ?? usesByTables(options)
  for (const [index, object] of listed.entries()) {
    const { key, sizeBytes } = object
    const id = parseSegmentKey(key)
    if (id !== null) await judgeSegment(id, object, found, { ...options, uses })
    else if (JOURNAL_PATTERN.test(key)) {
      if (!isNeededJournal(database, key) && !(await isSealOrForeign(object, found, options))) {
        found.leftovers.push({ kind: 'journal', key, sizeBytes })
      }
    } else if (PROBE_PATTERN.test(key)) found.leftovers.push({ kind: 'probe', key, sizeBytes })
    else if (key !== VOLUME_KEY && key !== ROOT_KEY && !WRITER_PATTERN.test(key)) found.foreign.push(key)
    if (index % 256 === 0) {
      onProgress(index, listed.length)
      await options.clock.yield()
    }
  }
  onProgress(listed.length, listed.length)
  return found
}

async function judgeSegment(
  id: SegmentId,
  { key, sizeBytes }: ListedObject,
  found: Leftovers,
  { database, segments, uses }: LeftoverOptions & { uses: SegmentUses },
): Promise<void> {
  if (database.rootInForce.pageSegments.has(id)) return
  if (await uses.hasRow(id)) {
    found.segmentBytes.set(id, sizeBytes)
    return
  }
  if (id >= database.firstOwnSegment) return
  try {
    const contents = (await segments.readTable(id)).filter((entry) => entry.tableKind === 0)
    if (await uses.isReferredTo(id, contents)) found.miscounted.push(key)
    else found.leftovers.push({ kind: 'segment', key, sizeBytes })
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    // Gone since it was listed, or nothing that this volume wrote.
    if (!(error.cause instanceof StoreError)) found.foreign.push(key)
    else if (error.cause.kind !== 'not-found') throw error
  }
}

function usesByTables({ clock, database, identity }: LeftoverOptions): SegmentUses {
  const metadata = new Metadata({ database, nameKeys: nameKeys(identity.hashKey) })
  return {
    hasRow: async (id) => (await database.run(() => database.table(USAGE).get(id))) !== null,
    async isReferredTo(id, contents) {
      const sharers = await database.run(() => sharersOf(database, id))
      return isReferredTo({ id, contents, sharers }, { metadata, yieldTurn: () => clock.yield() })
    },
  }
}

/** Whether it is an object of the journal that a mount would read. */
function isNeededJournal(database: Database, key: string): boolean {
  const journal = JOURNAL_PATTERN.exec(key)
  if (journal === null) return false
  const [slot, epoch, seq] = journal.slice(1).map((hex) => Number.parseInt(hex, 16)) as [number, number, number]
  const root = database.rootInForce
  if (slot !== root.slot || epoch > root.epoch) return true
  const tenure = root.tenures.find((each) => each.epoch === epoch)
  // Its own tenure is trimmed by its writer.
  if (epoch === root.epoch && tenure === undefined) return true
  return tenure !== undefined && seq >= tenure.firstSeq && (tenure.sealSeq === null || seq <= tenure.sealSeq)
}

async function isSealOrForeign(
  { key }: ListedObject,
  found: Leftovers,
  { store, identity }: LeftoverOptions,
): Promise<boolean> {
  try {
    return decodeCommit((await store.get(key)).body, key, identity.uuid).isSeal
  } catch (error) {
    if (error instanceof StoreError) {
      if (error.kind === 'not-found') return true
      throw error
    }
    found.foreign.push(key)
    return true
  }
}
