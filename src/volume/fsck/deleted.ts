// Tables of what was deleted. Where the rows of a kind cannot be read, its tables are found by their newest pages
// (tables/inspect.ts): also those of owners that were deleted since, as long as the pages are there.
//
// Must stay true: a table is taken out only where every other table that would know of its owner can be read, and does not.
import { DIRECTORY, EXTENTS, ORPHANS, PARENTS, ROOT_INO, SHARED, XATTRS } from '../../meta/index.ts'
import type { TableDamage, TableKind } from '../../tables/index.ts'
import { type CheckContext, isUnreadable, ROWS } from './context.ts'
import type { Repair } from './repair.ts'

const KINDS = [DIRECTORY, EXTENTS, XATTRS] as const

/** Whether a table was found by its pages alone, and belongs to nobody that is there, as far as was scanned. */
export function isDeleted(context: CheckContext, kind: TableKind, owner: number): boolean {
  const { survey } = context
  if (owner === ROOT_INO || !isUnreadable(context, (kind + ROWS) as TableKind, 0, owner)) return false
  const isKnown =
    survey.parents.of(owner) !== null ||
    survey.homesOf(owner).length > 0 ||
    (survey.directories.get(owner)?.upDirectory ?? 0) !== 0
  return !isKnown && [PARENTS, SHARED, ORPHANS].every((each) => !isUnreadable(context, each, 0, owner))
}

/** Empties the tables of deleted owners that were found again in a range of rows. */
export async function dropDeleted(
  context: CheckContext,
  repair: Repair,
  { kind: rows, from, to }: NonNullable<TableDamage['table']>,
): Promise<void> {
  const kind = KINDS.find((each) => each + ROWS === rows)
  if (kind === undefined) return
  for (const owner of await context.inspector.owners(kind)) {
    if (owner < from || owner >= to || !isDeleted(context, kind, owner)) continue
    await repair.change((transaction) => transaction.clear(kind, owner))
  }
}
