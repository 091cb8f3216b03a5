// What `root` should be, by all that the bucket says: when it is lost, damaged, or an older one than has been in force.
//
// Which states there were: the last page segment of a checkpoint carries a copy of the root that this checkpoint was about
// to put (FORMAT, "checkpoint trailer"). Whether it came to be `root` or not, it is a state that the volume was in: its
// pages hold all commits up to one that was acknowledged, and its tenures say from where on the journal is to be replayed
// on them. So the newest copy (by segment id: ids only grow) is taken whose live segments are all there. A copy whose
// segments are not all there, and that nothing was trimmed for, is that of a checkpoint that failed: the one before it says
// the same with more to replay. But where commits between an older state and a newer one are gone, the newer one was in
// force, and stays the better one though some of its pages are lost. So it does where nothing tells how a tenure between
// ended, and the newer state names pages that neither the older one nor its own tenure has written.
//
// Which tenures came after it: a writer makes commits only after a root with its epoch was durable, and epochs of roots
// only grow. So every epoch above that of the state of which an object is in the journal is to be replayed from its first
// commit on: had it made a checkpoint, a newer copy would be there. Where its seal is, it ends; without a seal it ends at
// the first gap.
//
// `root`, when it can be read, is called stale only by what cannot be otherwise:
//   1. a commit, or a copy, of a higher epoch than that of `root`;
//   2. writers/ says that the holder of this epoch released it with commits contained that `root` says are not;
//   3. a newer copy, all of whose segments are there, contains commits that `root` says are not contained, and one of these
//      is missing: so they were trimmed, which happens only after the newer root was durable. (Or one was lost: the newer
//      copy holds what it said, and is the better root all the same.)
//   4. segments that `root` needs are gone, and a newer copy does without;
//   5. there is a segment with an id that `root` has not reserved.
// A checkpoint that failed has trimmed nothing, so that its copy is none of these.
//
// Ids: a copy says up to where ids were reserved. Each taking of the slot since may have reserved one range more, and each
// range that was used up in a tenure one more again, with checkpoints in between, which leave copies. So two ranges more than
// there were takings, and beyond the last segment there is, were never given out: counters have room for half a million.
import { FsError } from '../platform/index.ts'
import { type SegmentId, segmentKey } from '../segments/index.ts'
import { type Etag, type ObjectStore, StoreError } from '../store/index.ts'
import { RANGE_IDS } from './id-ranges.ts'
import type { RecoveredRoot, TableDamage } from './inspect.ts'
import { readDecoded } from './read-object.ts'
import { decodeRoot, type IdRange, NEW_ROOT, ROOT_KEY, type Root, type Tenure } from './root.ts'
import {
  isSegmentOf,
  judgeTenure,
  type ListedSegment,
  type ListedTenure,
  listSegments,
  listTenures,
  type RootCopy,
  readSlotEvidence,
  rootCopies,
} from './root-evidence.ts'

const SLOT = 0
/** Epochs left out where writers/ is lost: by takings that left no other trace. */
const EPOCHS_UNSEEN = 1024
const SEGMENT_SORT = 2

export interface RecoveryOptions {
  store: ObjectStore
  /** Null when volume.json is lost too: then it is looked for. */
  volumeUuid: Buffer | null
}

/** Finds out what `root` should be. Throws FsError EIO when there is neither a root nor anything to make one from; and
 *  StoreError when the store does not answer. */
export async function recoverRoot(options: RecoveryOptions): Promise<RecoveredRoot> {
  for (;;) {
    const before = await tryRoot(options)
    const recovered = await new Recovery(options, before).run()
    const after = await tryRoot(options)
    if (before.etag === null || before.etag === after.etag) return recovered
    // On a mounted volume all of it moves on meanwhile, and what its writer replaces and puts is in force.
    if (before.root !== null && after.root !== null) return { ...recovered, root: after.root, damage: null }
  }
}

type Tried =
  | { root: Root; uuidPrefix: Buffer; etag: Etag; damage: null }
  | { root: null; etag: Etag | null; damage: TableDamage }

async function tryRoot({ store, volumeUuid }: RecoveryOptions): Promise<Tried> {
  let etag: Etag | null = null
  try {
    etag = (await store.head(ROOT_KEY)).etag
    const decode = (body: Buffer) => decodeRoot(body, volumeUuid ?? body.subarray(8, 16))
    const read = await readDecoded(store, ROOT_KEY, decode)
    return { root: read.decoded, uuidPrefix: read.body.subarray(8, 16), etag: read.etag, damage: null }
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') {
      const lost: TableDamage = { kind: 'lost-root', object: ROOT_KEY, message: `${ROOT_KEY} is missing` }
      return { root: null, etag: null, damage: lost }
    }
    if (!(error instanceof FsError)) throw error
    return { root: null, etag, damage: { kind: 'damaged-root', object: ROOT_KEY, message: error.message } }
  }
}

/** A state to begin from. */
interface Candidate {
  root: Root
  /** Stored bytes of live pages whose segments are gone. */
  missingBytes: number
}

class Recovery {
  readonly #store: ObjectStore
  readonly #tried: Tried
  #volumeUuid: Buffer | null
  #volumeJson: Buffer | null = null
  #segments: ListedSegment[] = []
  #present = new Set<number>()
  #journal = new Map<number, ListedTenure>()
  #maxEpoch = 0
  #maxNumber = 0
  /** By sort and slot: the highest end of a range in any root seen. */
  readonly #reserved = new Map<string, number>()

  constructor({ store, volumeUuid }: RecoveryOptions, tried: Tried) {
    this.#store = store
    this.#volumeUuid = volumeUuid
    this.#tried = tried
  }

  async run(): Promise<RecoveredRoot> {
    const { root } = this.#tried
    this.#segments = await listSegments(this.#store)
    this.#present = new Set(this.#segments.map(({ id }) => id))
    if (this.#volumeUuid === null) await this.#findVolume()
    const slot = await readSlotEvidence(this.#store, SLOT)
    for (const tenure of await listTenures(this.#store, SLOT)) this.#journal.set(tenure.epoch, tenure)
    if (root !== null) this.#noteRoot(root)
    if (slot.damage === null) this.#maxEpoch = Math.max(this.#maxEpoch, slot.epoch)

    const newer = root === null ? [] : await this.#newerCopies(root)
    const later = await this.#laterEpochs(root?.epoch ?? -1)
    const released = slot.damage === null && slot.epoch === root?.epoch ? slot.lastSeq : null
    const why = root === null ? null : await this.#whyStale(root, newer, later, released)
    if (root !== null && why === null) {
      return { root, damage: null, slotDamage: slot.damage, volumeJson: this.#volumeJson }
    }
    const base = await this.#newestState(newer)
    const damage = this.#tried.damage ?? { kind: 'stale-root', object: ROOT_KEY, message: `${ROOT_KEY} is old: ${why}` }
    if (slot.damage !== null) this.#maxEpoch += EPOCHS_UNSEEN
    return {
      root: await this.#rootFrom(base),
      damage,
      slotDamage: slot.damage,
      volumeJson: this.#volumeJson,
    }
  }

  /** Whose volume this is, when volume.json is lost: that of `root`, or of the newest copy of one. */
  async #findVolume(): Promise<void> {
    const tried = this.#tried
    if (tried.root !== null) this.#volumeUuid = tried.uuidPrefix
    for await (const copy of rootCopies(this.#store, this.#volumeUuid, this.#segments)) {
      this.#noteCopy(copy)
      this.#volumeUuid = copy.uuidPrefix
      return
    }
    if (tried.root === null)
      throw new FsError('EIO', `there is neither a ${ROOT_KEY} object nor a copy of one: nothing to recover`)
  }

  #noteRoot(root: Root): void {
    for (const { sort, slot, end } of root.idRanges)
      this.#reserved.set(`${sort}/${slot}`, Math.max(end, this.#reserved.get(`${sort}/${slot}`) ?? 0))
    this.#maxEpoch = Math.max(this.#maxEpoch, root.epoch)
    this.#maxNumber = Math.max(this.#maxNumber, root.number)
  }

  #noteCopy(copy: RootCopy): Candidate {
    this.#noteRoot(copy.root)
    this.#volumeJson ??= copy.volumeJson
    return this.#candidate(copy.root)
  }

  #candidate(root: Root): Candidate {
    let missingBytes = 0
    for (const [id, { liveBytes }] of root.pageSegments) if (!this.#present.has(id)) missingBytes += liveBytes
    return { root, missingBytes }
  }

  /** Copies in segments that `root` does not name yet, newest first. */
  async #newerCopies(root: Root): Promise<Candidate[]> {
    let lastId = 0
    for (const id of root.pageSegments.keys()) lastId = Math.max(lastId, id)
    const segments = this.#segments.filter(({ id }) => id > lastId)
    const copies: Candidate[] = []
    for await (const copy of rootCopies(this.#store, this.#volumeUuid, segments)) {
      // Of a writer that had lost the slot.
      if (copy.root.epoch >= root.epoch) copies.push(this.#noteCopy(copy))
    }
    return copies
  }

  /** Epochs above this one of which something is in the journal. */
  async #laterEpochs(epoch: number): Promise<{ epoch: number; hasCommits: boolean }[]> {
    const later: { epoch: number; hasCommits: boolean }[] = []
    const source = { store: this.#store, volumeUuid: this.#volumeUuid as Buffer }
    for (const tenure of this.#journal.values()) {
      if (tenure.epoch <= epoch) continue
      const what = await judgeTenure(source, SLOT, tenure)
      if (what !== 'foreign') later.push({ epoch: tenure.epoch, hasCommits: what === 'commits' })
    }
    for (const each of later) this.#maxEpoch = Math.max(this.#maxEpoch, each.epoch)
    return later
  }

  async #whyStale(
    root: Root,
    newer: readonly Candidate[],
    later: readonly { epoch: number; hasCommits: boolean }[],
    releasedSeq: number | null,
  ): Promise<string | null> {
    const epoch =
      later.find(({ hasCommits }) => hasCommits)?.epoch ??
      newer.find((each) => each.root.epoch > root.epoch)?.root.epoch
    if (epoch !== undefined) return `epoch ${epoch} has written, it is of epoch ${root.epoch}`
    const own = root.tenures.find((tenure) => tenure.epoch === root.epoch)
    if (releasedSeq !== null && own !== undefined && own.firstSeq <= releasedSeq)
      return `its writer left with all up to commit ${releasedSeq} contained, it contains those before ${own.firstSeq}`
    const unreserved = await this.#unreservedSegment(root)
    if (unreserved !== null) return `it has not reserved the id of ${segmentKey(unreserved)}`
    const whole = newer.find(({ missingBytes }) => missingBytes === 0)
    if (whole === undefined) return null
    const { number } = whole.root
    if (!this.#connects(root, whole.root)) return `commits that only number ${number} contains are trimmed`
    if (this.#candidate(root).missingBytes > 0) return `segments that it needs are gone, number ${number} does without`
    return null
  }

  async #unreservedSegment(root: Root): Promise<SegmentId | null> {
    const end = root.idRanges.find(({ sort, slot }) => sort === SEGMENT_SORT && slot === SLOT)?.end ?? 0
    for (const segment of this.#segments) {
      if (segment.id < end) return null
      if (await isSegmentOf(this.#store, this.#volumeUuid as Buffer, segment)) return segment.id
    }
    return null
  }

  /** The state to begin from: of those from which all commits up to every newer one are there, the first of which no
   *  segment is missing, or else the one of which least is. */
  async #newestState(newer: readonly Candidate[]): Promise<Root> {
    const seen: Candidate[] = []
    let best: Candidate | null = null
    for await (const candidate of this.#allStates(newer)) {
      if (!seen.every((each) => this.#connects(candidate.root, each.root))) break
      seen.push(candidate)
      if (best === null || candidate.missingBytes < best.missingBytes) best = candidate
      if (best.missingBytes === 0) break
    }
    return (best as Candidate).root
  }

  /** Newest first; at the end that of a new volume. */
  async *#allStates(newer: readonly Candidate[]): AsyncGenerator<Candidate> {
    const { root } = this.#tried
    yield* newer
    if (root !== null) yield this.#candidate(root)
    else for await (const copy of rootCopies(this.#store, this.#volumeUuid, this.#segments)) yield this.#noteCopy(copy)
    yield this.#candidate(NEW_ROOT)
  }

  /** Whether all commits are there that `newer` contains and `older` does not. */
  #connects(older: Root, newer: Root): boolean {
    const isThere = (epoch: number, from: number, to: number) => {
      const { commits = [] } = this.#journal.get(epoch) ?? {}
      return commits.filter((seq) => from <= seq && seq < to).length === Math.max(0, to - from)
    }
    const firstIn = (root: Root, epoch: number) => root.tenures.find((tenure) => tenure.epoch === epoch)?.firstSeq
    const epochs = new Set([...older.tenures, ...newer.tenures, ...this.#journal.values()].map(({ epoch }) => epoch))
    for (const epoch of epochs) {
      const from = firstIn(older, epoch) ?? (epoch > older.epoch ? 1 : Number.POSITIVE_INFINITY)
      const to = firstIn(newer, epoch) ?? (epoch < newer.epoch ? this.#endOf(older, epoch) : 0)
      if (!isThere(epoch, from, to)) return false
    }
    return this.#isTraced(older, newer) || ownsWhatIsNew(older, newer)
  }

  /** Whether it is known of all tenures between where they ended. Of one that was left cleanly nothing tells that, so that
   *  it may have made checkpoints, and trimmed their commits, after `older`. */
  #isTraced(older: Root, newer: Root): boolean {
    for (let epoch = Math.max(1, older.epoch); epoch < newer.epoch; epoch++) {
      const isListed = newer.tenures.some((tenure) => tenure.epoch === epoch)
      if (!isListed && this.#endOf(older, epoch) === 0) return false
    }
    return true
  }

  /** Where a tenure ended: 0 where nobody knows. */
  #endOf(root: Root, epoch: number): number {
    return root.tenures.find((tenure) => tenure.epoch === epoch)?.sealSeq ?? this.#journal.get(epoch)?.sealSeq ?? 0
  }

  async #rootFrom(base: Root): Promise<Root> {
    const later = await this.#laterEpochs(base.epoch)
    const tenures: Tenure[] = [...base.tenures, ...later.map(({ epoch }) => ({ epoch, firstSeq: 1, sealSeq: null }))]
    return {
      ...base,
      number: this.#maxNumber + 1,
      epoch: this.#maxEpoch,
      session: Buffer.alloc(16),
      tenures,
      idRanges: this.#idRanges(base),
    }
  }

  #idRanges(base: Root): IdRange[] {
    const beyond = (this.#maxEpoch - base.epoch + 2) * RANGE_IDS
    const lastSegment = this.#segments[0]?.id ?? 0
    return base.idRanges.map((range) => {
      const reserved = this.#reserved.get(`${range.sort}/${range.slot}`) ?? range.end
      return { ...range, end: Math.max(reserved, range.sort === SEGMENT_SORT ? lastSegment + 1 : 0) + beyond }
    })
  }
}

/** Whether all page segments that `newer` names and `older` does not are of the tenure that wrote `newer`: ids of the last
 *  range that it reserved were given out by none before. */
function ownsWhatIsNew(older: Root, newer: Root): boolean {
  const end = newer.idRanges.find(({ sort, slot }) => sort === SEGMENT_SORT && slot === SLOT)?.end ?? 0
  return [...newer.pageSegments.keys()].every((id) => older.pageSegments.has(id) || id >= end - RANGE_IDS)
}
