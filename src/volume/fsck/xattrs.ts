// Extended attributes: those in inodes, whether each table of large ones belongs to an inode that says so, and holds what that
// says; and whether the root directory tells of ACLs where there are any.
import {
  ACL_ACCESS_XATTR,
  ACL_DEFAULT_XATTR,
  ACL_MARK_XATTR,
  DIRECTORY,
  DOT_KEY,
  decodeXattrPiece,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  type Inode,
  inlineXattrs,
  ORPHANS,
  parentOf,
  piecesOf,
  ROOT_INO,
  recordXattrs,
  SHARED,
  XATTRS,
  XATTRS_INLINE_MAX,
  XattrEdit,
  type XattrPiece,
} from '../../meta/index.ts'
import { type CheckContext, hasUnreadable } from './context.ts'
import { isDeleted } from './deleted.ts'
import { dentryProblem, inodeProblem } from './records.ts'
import type { Repair } from './repair.ts'
import type { Home, XattrState } from './survey.ts'

const ORDINALS = 256
const NOTHING = Buffer.alloc(0)

/** Looks at the attributes in the inode at `at`, whose record is whole, and notes what it says of its table. */
export function checkInlineXattrs({ findings, survey }: CheckContext, bytes: Buffer, at: number, home: Home): void {
  const found = recordXattrs(bytes, at)
  if (found === null) return
  const { ino } = home
  const { area, tableNamesBytes, tableValuesBytes } = found
  const names = readable(area).map(({ name }) => name)
  if (tableNamesBytes > 0) {
    const inlineNames = new Set(names.map((name) => name.toString('latin1')))
    survey.xattrs.set(ino, { home, namesBytes: tableNamesBytes, valuesBytes: tableValuesBytes, inlineNames })
  }
  for (const name of names) noteAcl(survey, ino, name)
  const isWhole = area.length <= XATTRS_INLINE_MAX && encodedLength(readable(area)) === area.length
  if (isWhole) return
  findings.damage('wrong-xattrs', {
    inode: ino,
    message: `the extended attributes in inode ${ino} do not add up`,
    remedy: 'those that cannot be told apart are taken out',
    phase: 'names',
    fix: (repair) => repair.names.edit(home, (inode) => ({ ...inode, xattrs: joined(readable(inode.xattrs)) })),
  })
}

function noteAcl(survey: CheckContext['survey'], ino: number, name: Uint8Array): void {
  if (ACL_ACCESS_XATTR.equals(name) || ACL_DEFAULT_XATTR.equals(name)) survey.aclInode ||= ino
  if (ino === ROOT_INO && ACL_MARK_XATTR.equals(name)) survey.hasAclMark = true
}

type Entries = NonNullable<ReturnType<typeof inlineXattrs>>

/** The attributes that can be told apart, each name once. */
function readable(area: Buffer): Entries {
  let end = area.length
  let entries = inlineXattrs(area)
  // Nothing divides them but their own lengths: what stands behind a wrong one is lost.
  while (entries === null) entries = inlineXattrs(area.subarray(0, --end))
  const seen = new Set<string>()
  return entries.filter(({ name }) => {
    const text = name.toString('latin1')
    return !seen.has(text) && seen.add(text) !== undefined
  })
}

const encodedLength = (entries: Entries): number => entries.reduce((sum, { start, end }) => sum + end - start, 0)

/** The first of them that have room. */
function joined(entries: Entries): Buffer {
  let length = 0
  const kept = entries.filter(({ start, end }) => {
    const fits = length + end - start <= XATTRS_INLINE_MAX
    if (fits) length += end - start
    return fits
  })
  return Buffer.concat(kept.map(({ name, value, start, end }) => encoded(name, value, end - start)))
}

function encoded(name: Buffer, value: Buffer, lengthBytes: number): Buffer {
  const entry = Buffer.alloc(lengthBytes)
  entry[0] = name.length
  entry.writeUInt16LE(value.length, 1)
  entry.set(name, 3)
  entry.set(value, 3 + name.length)
  return entry
}

/** Reads every table of attributes, once all inodes were seen, and compares. */
export async function checkXattrTables(context: CheckContext): Promise<void> {
  const { inspector, survey } = context
  const owners = new Set(await inspector.owners(XATTRS))
  for (const owner of owners) {
    const state = survey.xattrs.get(owner)
    const table = new TableCheck(context, state?.inlineNames ?? new Set())
    await inspector.scan(XATTRS, owner, (key, record) => table.add(key, record, 0, record.length))
    for (const name of table.names()) noteAcl(survey, owner, Buffer.from(name, 'latin1'))
    if (isDeleted(context, XATTRS, owner) || hasUnreadable(context, XATTRS, owner)) continue
    if (state !== undefined) judgeTable(context, state, table)
    // One that was emptied since the last checkpoint has pages still.
    else if (table.records > 0) judgeStray(context, owner)
  }
  for (const [owner, state] of survey.xattrs)
    if (!owners.has(owner) && !hasUnreadable(context, XATTRS, owner))
      judgeTable(context, state, new TableCheck(context, state.inlineNames))
  judgeMark(context)
}

/** Whether an inode may stand where nothing can be read. */
function hidesInodes({ inspector }: CheckContext): boolean {
  const kinds: readonly number[] = [DIRECTORY, SHARED, ORPHANS]
  return inspector.damages.some(({ table }) => table !== undefined && kinds.includes(table.kind & 127))
}

function judgeStray(context: CheckContext, owner: number): void {
  const directory = context.survey.directories.get(owner)
  // What has no inode yet is judged when it has one again.
  if (hidesInodes(context) || (directory !== undefined && !directory.hasDot)) return
  context.findings.damage('wrong-xattrs', {
    message: `there are extended attributes of inode ${owner}, which is not there or knows nothing of them`,
    remedy: 'they are taken out',
    phase: 'counts',
    fix: (repair) =>
      repair.change((transaction) => {
        if (!isClaimed(repair, owner)) transaction.clear(XATTRS, owner)
      }),
  })
}

/** Whether any inode of this number says now that it has such a table. */
function isClaimed({ database }: Repair, ino: number): boolean {
  const parent = parentOf(database, ino)
  const dentry = parent === null ? null : database.table(DIRECTORY, parent.directory).get(parent.key)
  const isOwn = dentry !== null && dentryProblem(dentry, 0, dentry.length) === null && !dentryIsShared(dentry, 0)
  const places: [record: Buffer | null, at: number][] = [
    [database.table(DIRECTORY, ino).get(DOT_KEY), 0],
    [database.table(SHARED).get(ino), 0],
    [database.table(ORPHANS).get(ino), 0],
    [isOwn && dentryIno(dentry, 0) === ino ? dentry : null, isOwn ? dentryInodeAt(dentry, 0) : 0],
  ]
  return places.some(
    ([record, at]) =>
      record !== null &&
      inodeProblem(record, at, record.length) === null &&
      (recordXattrs(record, at)?.tableNamesBytes ?? 0) > 0,
  )
}

function judgeTable({ findings }: CheckContext, state: XattrState, table: TableCheck): void {
  const { home, namesBytes, valuesBytes } = state
  const whole = table.whole()
  if (table.bad === 0 && whole.namesBytes === namesBytes && whole.valuesBytes === valuesBytes) return
  findings.damage('wrong-xattrs', {
    inode: home.ino,
    message: `the large extended attributes of inode ${home.ino} are not what it says that they are`,
    remedy: 'those that are whole are kept, and counted again',
    phase: 'counts',
    fix: (repair) => mendTable(repair, home, new TableCheck(repair.metadata, state.inlineNames)),
  })
}

function mendTable(repair: Repair, home: Home, table: TableCheck): Promise<void> {
  return repair.names.edit(home, (inode, transaction): Inode => {
    table.clear()
    const keys: number[] = []
    repair.database.table(XATTRS, home.ino).scan(0, Number.MAX_SAFE_INTEGER, (key, bytes, start, end) => {
      keys.push(key)
      table.add(key, bytes, start, end)
      return true
    })
    const { kept, namesBytes, valuesBytes } = table.whole()
    if (kept.size === 0) transaction.clear(XATTRS, home.ino)
    else for (const key of keys) if (!kept.has(key)) transaction.delete(XATTRS, home.ino, key)
    return { ...inode, tableNamesBytes: namesBytes, tableValuesBytes: valuesBytes }
  })
}

/** What one table holds. */
class TableCheck {
  records = 0
  /** Records that are none, or not where they are looked for. */
  bad = 0
  readonly #keyOf: (name: Uint8Array) => number
  readonly #inlineNames: ReadonlySet<string>
  readonly #found = new Map<string, { key: number; piece: number; valueBytes: number }[]>()

  constructor({ nameKeys }: Pick<CheckContext, 'nameKeys'>, inlineNames: ReadonlySet<string>) {
    this.#keyOf = nameKeys
    this.#inlineNames = inlineNames
  }

  clear(): void {
    this.records = 0
    this.bad = 0
    this.#found.clear()
  }

  add(key: number, bytes: Buffer, start: number, end: number): void {
    this.records++
    const found: XattrPiece | null = decodeXattrPiece(bytes, start, end)
    const base = found === null ? -1 : this.#keyOf(found.name)
    const name = found?.name.toString('latin1') ?? ''
    if (found === null || key < base || key >= base + ORDINALS || this.#inlineNames.has(name)) {
      this.bad++
      return
    }
    const piece = { key, piece: found.piece, valueBytes: found.valueBytes }
    const others = this.#found.get(name)
    if (others === undefined) this.#found.set(name, [piece])
    else others.push(piece)
  }

  names(): Iterable<string> {
    return this.#found.keys()
  }

  /** The keys of values that have all their pieces, and what they add up to. */
  whole(): { kept: Set<number>; namesBytes: number; valuesBytes: number } {
    const kept = new Set<number>()
    let namesBytes = 0
    let valuesBytes = 0
    for (const [name, pieces] of this.#found) {
      const { valueBytes } = pieces[0]!
      pieces.sort((a, b) => a.piece - b.piece)
      const isWhole =
        pieces.length === piecesOf(valueBytes) &&
        pieces.every((each, index) => each.piece === index && each.valueBytes === valueBytes)
      if (!isWhole) {
        this.bad++
        continue
      }
      for (const { key } of pieces) kept.add(key)
      namesBytes += name.length + 1
      valuesBytes += valueBytes
    }
    return { kept, namesBytes, valuesBytes }
  }
}

function judgeMark({ findings, survey }: CheckContext): void {
  if (survey.aclInode === 0 || survey.hasAclMark || survey.directories.get(ROOT_INO)?.hasDot !== true) return
  findings.damage('wrong-xattrs', {
    inode: ROOT_INO,
    message: `inode ${survey.aclInode} has an ACL, but the root directory does not say that there are any: it would not be observed`,
    remedy: 'it says so',
    phase: 'counts',
    fix: (repair) =>
      repair.names.edit({ kind: 'directory', ino: ROOT_INO, directory: 0, key: 0 }, (inode, transaction) => {
        const edit = new XattrEdit(repair.database, repair.metadata.nameKeys, inode)
        edit.set(ACL_MARK_XATTR, NOTHING)
        edit.putInto(transaction)
        return inode
      }),
  })
}
