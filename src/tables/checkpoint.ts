// A checkpoint: the changes of a generation written into pages, then one conditional PUT of `root`, then the trim.
//
// Must stay true:
// - Pages hold the state at commit N, which is acknowledged before `root` is put. `root` names as contained only commits
//   whose file data is in segments: P <= N. Replaying P+1..N over the pages changes nothing.
// - Nothing of the old state is touched before `root` is durable; journal objects go only afterwards.
// - Reads move to the new pages table by table, in several turns: until the last has moved the old pages stay, and nothing of
//   the frozen generation goes from memory.
// - A checkpoint that fails leaves its generation frozen; the next one writes it together with what came since.
// - A checkpoint of changes writes at least one page: the copy of root behind the pages of its last segment is what `root` is
//   recovered from, and after the trim no older copy says the same. (One without changes says no more than the older copy.)
import { ok as assert } from 'node:assert'
import { inTurns, ruleHolds } from '../platform/index.ts'
import type { PagePacker, PagePointer, SegmentId } from '../segments/index.ts'
import type { CheckpointHooks, TableKind } from './database.ts'
import { type Engine, EngineTransaction, STATES_PER_TURN } from './engine.ts'
import type { JournalWriter } from './journal-writer.ts'
import { encodePointer } from './page.ts'
import type { PageCleaner, TouchedTable } from './page-cleaner.ts'
import { RecordArena } from './record-arena.ts'
import { type PageSegmentUse, ROWS, type Root, type RootTable } from './root.ts'
import { TableChanges, type TableState } from './table-state.ts'
import { TreeWriter } from './tree-writer.ts'

/** How long others wait while this works. */
const YIELD_MS = 5

export interface CheckpointContext {
  engine: Engine
  journal: JournalWriter
  /** The root that is in force. */
  root: Root
  packer: (onId: (id: SegmentId) => void) => PagePacker
  /** Puts a root that differs from the one in force by these; resolves to it. Upload of pages happens in between: the
   *  trailer of the last page segment is a copy of it. */
  putRoot: (change: Pick<Root, 'tables' | 'tenures' | 'pageSegments'>, packer: PagePacker) => Promise<Root>
  trim: (containedSeq: number) => Promise<void>
  /** Takes deleted page segments out of the root, and finds the pages in sparse ones. */
  cleaner: PageCleaner
  /** Whether pages in sparse segments are written again too. */
  cleansPages: boolean
  /** Only where a test has switched a rule off: page segments go through the cleaner. */
  deleteSegments: (ids: readonly SegmentId[]) => Promise<void>
}

/** Page segments of checkpoints that failed, and the bytes packed into them. Their root may have been in force all the same
 *  (its answer was lost), and somebody may read by it: so the next root says that they are dead, and they go as such. */
export type LeftOver = Map<SegmentId, number>

/** Puts what failed checkpoints left among the dead. */
export function addLeftOver(pageSegments: Map<number, PageSegmentUse>, leftOver: LeftOver): void {
  for (const [id, totalBytes] of leftOver) pageSegments.set(id, { liveBytes: 0, totalBytes })
}

/** A checkpoint failed: remembers what it had begun. */
export function noteLeftOver(
  leftOver: LeftOver,
  begun: readonly SegmentId[],
  pageSegments: ReadonlyMap<number, PageSegmentUse>,
): void {
  for (const id of begun) leftOver.set(id, pageSegments.get(id)?.totalBytes ?? 0)
}

export async function writeCheckpoint(
  context: CheckpointContext,
  hooks: CheckpointHooks,
  leftOver: LeftOver,
): Promise<Root> {
  const { cleaner, engine, journal } = context
  const acknowledged = journal.acknowledgedSeq
  const packing = engine.carried.filter((data) => data.seq <= acknowledged)
  if (packing.length > 0) await hooks.repoint(packing)

  // One turn: everything applied so far is in commits up to N, and in the frozen generation.
  const durable = engine.commit()
  const closedSeq = journal.closedSeq
  const packed = new Set(packing)
  const unpacked = engine.carried.filter((data) => !packed.has(data))
  engine.swapGenerations()
  if (ruleHolds('a checkpoint waits for its last commit')) await durable
  else durable.catch(() => {})

  const packedTo = Math.min(closedSeq, ...unpacked.map((data) => data.seq - 1))
  const containedSeq = ruleHolds('commits whose data is not packed are not trimmed') ? packedTo : closedSeq
  if (ruleHolds('copies of "." are derived before the trim')) await derive(engine, hooks)

  const touched = context.cleansPages ? await cleaner.findSparse(engine, context.root) : []
  const pageSegments = new Map(context.root.pageSegments)
  cleaner.dropDeleted(pageSegments)
  addLeftOver(pageSegments, leftOver)
  const begun: SegmentId[] = []
  const packer = context.packer((id) => begun.push(id))
  let written: Written
  let root: Root
  try {
    const hasPage = () => begun.length > 0
    written = await writeTables(engine, context.root, touched, packer, { pageSegments, hasPage })
    for (const [id, use] of pageSegments)
      if (use.liveBytes === 0 && begun.includes(id as SegmentId)) pageSegments.delete(id)
    const tenures = [{ epoch: context.root.epoch, firstSeq: containedSeq + 1, sealSeq: null }]
    if (!ruleHolds('root is durable before the trim')) await context.trim(containedSeq)
    if (!ruleHolds('page segments go after a root without them'))
      await context.deleteSegments(
        [...pageSegments].flatMap(([id, use]) => (use.liveBytes > 0 ? [] : [id as SegmentId])),
      )
    root = await context.putRoot({ tables: written.tables, tenures, pageSegments }, packer)
  } catch (error) {
    if (ruleHolds('pages of a checkpoint that failed stay until another root'))
      noteLeftOver(leftOver, begun, pageSegments)
    else await context.deleteSegments(begun)
    if (touched.length > 0) cleaner.gaveUp()
    throw error
  }

  await inTurns(engine.dropFrozen(written.roots), engine.clock)
  cleaner.rootInForce(root)
  engine.carried = engine.carried.filter((data) => !packed.has(data))
  for (const { id } of packing) engine.segments.dropFromMemory(id)

  leftOver.clear()
  await context.trim(containedSeq)
  return root
}

/** Derived records (copies of what other tables hold) go into the frozen generation, not into the journal. One table at
 *  a time: each may have to wait for pages. */
async function derive(engine: Engine, hooks: CheckpointHooks): Promise<void> {
  const { clock } = engine
  let lastYieldMs = clock.monotonicMs()
  for (const { kind, owner } of [...engine.frozenStates]) {
    if (!engine.specs.get(kind)?.perOwner) continue
    if (clock.monotonicMs() - lastYieldMs >= YIELD_MS) {
      await clock.yield()
      lastYieldMs = clock.monotonicMs()
    }
    const derived = await engine.run(() => {
      const out = new EngineTransaction()
      hooks.derive(engine.frozenView, [{ kind, owner }], out)
      return out
    })
    engine.applyDerived(derived)
    if (!ruleHolds('what checkpoints derive stays out of the journal')) engine.apply(derived)
  }
}

/** Each once, by kind and owner; rows tables are left out. Many tables may have changed: numbers are sorted faster. A step
 *  is a turn: the states must stay the same meanwhile, what they hold need not. */
export function* inOrder(...all: readonly Iterable<TableState>[]): Generator<void, TableState[]> {
  const byKind = new Map<number, Map<number, TableState>>()
  let looked = 0
  for (const states of all) {
    for (const state of states) {
      if (++looked % STATES_PER_TURN === 0) yield
      if (state.kind >= ROWS) continue
      const owners = byKind.get(state.kind) ?? new Map<number, TableState>()
      byKind.set(state.kind, owners.set(state.owner, state))
    }
  }
  const ordered: TableState[] = []
  for (const [, owners] of [...byKind].sort(([a], [b]) => a - b)) {
    const numbers = Float64Array.from(owners.keys())
    if (numbers.length > STATES_PER_TURN) yield
    for (const owner of numbers.sort()) {
      ordered.push(owners.get(owner) as TableState)
      if (ordered.length % STATES_PER_TURN === 0) yield
    }
  }
  return ordered
}

interface Written {
  tables: RootTable[]
  roots: [TableState, PagePointer | null][]
}

async function writeTables(
  engine: Engine,
  root: Root,
  touched: readonly TouchedTable[],
  packer: PagePacker,
  { pageSegments, hasPage }: { pageSegments: Map<number, PageSegmentUse>; hasPage: () => boolean },
): Promise<Written> {
  const { cache, clock, specs } = engine
  const segmentSizeBytes = engine.segments.maxPieceBytes
  const writer = new TreeWriter({ cache, packer, pageSegments, clock, segmentSizeBytes })
  const arena = new RecordArena()
  const roots: [TableState, PagePointer | null][] = []
  const inRoot = new Map<string, RootTable>(root.tables.map((table) => [`${table.kind}/${table.owner}`, table]))
  const setInRoot = (kind: number, owner: number, pointer: PagePointer | null) => {
    if (pointer === null) inRoot.delete(`${kind}/${owner}`)
    else inRoot.set(`${kind}/${owner}`, { kind, owner, pointer })
  }
  const rows = new Map<number, TableChanges>()
  const touchedKeys = new Map<TableState, readonly number[]>()
  for (const { kind, owner, keys } of touched) {
    if (kind >= ROWS) rows.set(kind, new TableChanges(arena))
    touchedKeys.set(engine.state(kind, owner), keys)
  }
  // Tables of one kind lie together, in order of their owners: those made together are read together.
  for (const state of await inTurns(inOrder(engine.frozenStates, touchedKeys.keys()), clock)) {
    const spec = specs.get(state.kind)
    const changed = state.frozen ?? new TableChanges(arena)
    assert(spec !== undefined)
    const before = await engine.run(() => engine.rootOf(state))
    const pointer = await writer.write(
      { kind: state.kind, owner: state.owner, groupBits: spec.groupBits },
      before,
      changed,
      touchedKeys.get(state),
    )
    roots.push([state, pointer])
    if (!spec.perOwner || engine.pinned.has(state)) {
      setInRoot(state.kind, state.owner, pointer)
    } else if (pointer !== null || before !== null) {
      const kind = state.kind + ROWS
      const changes = rows.get(kind) ?? new TableChanges(arena)
      changes.changes.set(state.owner, pointer === null ? null : encodePointer(pointer))
      rows.set(kind, changes)
    }
  }
  for (const [kind, changes] of rows) {
    const state = engine.state(kind as TableKind, 0)
    const pointer = await writer.write(
      { kind, owner: 0, groupBits: 0 },
      state.root ?? null,
      changes,
      touchedKeys.get(state),
    )
    roots.push([state, pointer])
    setInRoot(kind, 0, pointer)
  }
  const [first] = inRoot.values()
  if (engine.frozenStates.size > 0 && !hasPage() && first !== undefined) {
    // Records went, and nothing came: some page is written again as it is.
    const { kind, owner } = first
    const state = engine.state(kind as TableKind, owner)
    const { groupBits } = specs.get(kind)!
    const pointer = await writer.write({ kind, owner, groupBits }, first.pointer, new TableChanges(arena), [0])
    const same = roots.find(([each]) => each === state)
    if (same === undefined) roots.push([state, pointer])
    else same[1] = pointer
    setInRoot(kind, owner, pointer)
  }
  return { tables: [...inRoot.values()], roots }
}
