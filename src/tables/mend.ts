// Takes pages that cannot be read out of their trees, puts rows back that were found again, and what was counted of page
// segments into `root`.
//
// It is a checkpoint of nothing: the paths to these pages are written again without them, and `root` is put with the same
// tenures as before. So all that the journal says, and all that was applied since, stays on top of the mended trees, and is
// written by the checkpoint after it; a crash leaves the old state or the new one, and either can be mended again.
//
// Must stay true:
// - Only what the inspector told of is left out. A page that turns out unreadable besides is an error: what it held could
//   not be asked for.
// - Nothing is deleted: not the segments of the pages left out, nor the journal.
import { ok as assert } from 'node:assert'
import { FsError } from '../platform/index.ts'
import type { PagePointer, SegmentId } from '../segments/index.ts'
import { addLeftOver, type CheckpointContext, type LeftOver, noteLeftOver } from './checkpoint.ts'
import type { TableKind } from './database.ts'
import type { TableInspector } from './inspector.ts'
import { encodePointer, Page } from './page.ts'
import { ROWS, type RootTable } from './root.ts'
import { TableChanges } from './table-state.ts'
import { readPlaced } from './tree-reader.ts'
import { type PageReader, TreeWriter } from './tree-writer.ts'

interface DamagedTable {
  kind: TableKind
  owner: number
  /** Where its unreadable ranges begin, in order. */
  keys: number[]
}

export async function mendTables(
  context: CheckpointContext,
  inspector: TableInspector,
  leftOver: LeftOver,
): Promise<void> {
  const { engine, cleaner, root } = context
  assert(inspector.root.number === root.number, 'no checkpoint was made since the inspection')
  const pageSegments = inspector.pageSegments()
  cleaner.dropDeleted(pageSegments)
  addLeftOver(pageSegments, leftOver)
  const begun: SegmentId[] = []
  const packer = context.packer((id) => begun.push(id))
  const read = readerFor(context, inspector)
  const writer = new TreeWriter({ cache: engine.cache, packer, pageSegments, clock: engine.clock, read })
  try {
    const written = await writeDamaged(context, inspector, writer)
    const tables = new Map<string, RootTable>(root.tables.map((table) => [`${table.kind}/${table.owner}`, table]))
    for (const { kind, owner, pointer } of written) {
      if (!isInRoot(context, kind, owner)) continue
      if (pointer === null) tables.delete(`${kind}/${owner}`)
      else tables.set(`${kind}/${owner}`, { kind, owner, pointer })
    }
    cleaner.rootInForce(
      await context.putRoot({ tables: [...tables.values()], tenures: root.tenures, pageSegments }, packer),
    )
    leftOver.clear()
    // One turn: reads move to the mended trees.
    for (const { kind, owner, pointer } of written) engine.state(kind, owner).root = pointer
  } catch (error) {
    noteLeftOver(leftOver, begun, pageSegments)
    throw error
  }
}

function readerFor({ engine }: CheckpointContext, inspector: TableInspector): PageReader {
  return async (pointer, table, place) => {
    const page = await readPlaced(engine.cache, pointer, table, place)
    if (page instanceof Page) return page
    if (inspector.hasTold(table, place)) return null
    throw new FsError('EIO', `${page.message}, which was not seen before: look again`)
  }
}

type Written = { kind: TableKind; owner: number; pointer: PagePointer | null }

/** Writes all damaged tables, rows tables last: they get the new places, and those found again. */
async function writeDamaged(
  context: CheckpointContext,
  inspector: TableInspector,
  writer: TreeWriter,
): Promise<Written[]> {
  const { engine } = context
  const written: Written[] = []
  const rows = new Map<TableKind, TableChanges>()
  const rowsOf = (kind: TableKind) => {
    const changes = rows.get(kind) ?? new TableChanges()
    rows.set(kind, changes)
    return changes
  }
  const damaged = damagedTables(inspector)
  for (const { kind, owner, keys } of damaged.filter((table) => table.kind < ROWS)) {
    const groupBits = engine.specs.get(kind)?.groupBits ?? 0
    const before = await inspector.rootPointer({ kind, owner })
    const pointer = await writer.write({ kind, owner, groupBits }, before, new TableChanges(), keys)
    written.push({ kind, owner, pointer })
    if (isInRoot(context, kind, owner)) continue
    rowsOf((kind + ROWS) as TableKind).changes.set(owner, pointer === null ? null : encodePointer(pointer))
  }
  const damagedRows = new Map(damaged.filter(({ kind }) => kind >= ROWS).map(({ kind, keys }) => [kind, keys]))
  for (const kind of damagedRows.keys()) {
    const { changes } = rowsOf(kind)
    for (const [owner, row] of await inspector.rowsToRestore((kind - ROWS) as TableKind))
      if (changes.get(owner) === undefined) changes.set(owner, row)
  }
  for (const [kind, changes] of rows) {
    const before = engine.knownState(kind, 0)?.root ?? null
    const table = { kind, owner: 0, groupBits: 0 }
    written.push({ kind, owner: 0, pointer: await writer.write(table, before, changes, damagedRows.get(kind)) })
  }
  return written
}

/** Whether `root` itself names the root page of a table. */
function isInRoot({ engine }: CheckpointContext, kind: TableKind, owner: number): boolean {
  return !engine.specs.get(kind)?.perOwner || engine.pinned.has(engine.state(kind, owner))
}

/** In order of kinds and owners, as a checkpoint writes them. */
function damagedTables({ damages }: TableInspector): DamagedTable[] {
  const tables = new Map<string, DamagedTable>()
  for (const { table } of damages) {
    if (table === undefined) continue
    const { kind, owner, from } = table
    const damaged = tables.get(`${kind}/${owner}`) ?? { kind, owner, keys: [] }
    tables.set(`${kind}/${owner}`, damaged)
    damaged.keys.push(from)
  }
  for (const { keys } of tables.values()) keys.sort((a, b) => a - b)
  return [...tables.values()].sort((a, b) => a.kind - b.kind || a.owner - b.owner)
}
