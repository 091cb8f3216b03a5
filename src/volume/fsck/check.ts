// One check of a volume from end to end: every table, what they say of each other, and what is in the store.
import { DIRECTORY, EXTENTS, ORPHANS, SHARED, SHARERS, USAGE } from '../../meta/index.ts'
import { readU64 } from '../../platform/index.ts'
import type { TableDamage } from '../../tables/index.ts'
import type { CheckContext } from './context.ts'
import { isDeleted } from './deleted.ts'
import { judgeNames } from './judge-names.ts'
import { scanNames } from './names.ts'
import { checkObjects, judgeUsage } from './objects.ts'
import { Paths } from './paths.ts'
import { QuotaCount } from './quotas.ts'
import type { FsckCounts } from './report.ts'
import { checkSegments, LOST_SEGMENT, sharersIn } from './segment-pass.ts'
import { restoreUnreadable } from './unreadable.ts'
import { checkXattrTables } from './xattrs.ts'

const USAGE_BYTES = 9
/** Paths are found one by one: for so many findings. */
const PATHS_MAX = 10_000

/** Ids that the tenure which looks has not given out: whatever is in use lies below. */
export interface IdEnds {
  ino: number
  segment: number
}

export async function checkAll(
  context: CheckContext,
  ends: IdEnds,
  told: (damage: TableDamage) => boolean,
): Promise<FsckCounts> {
  const { inspector, survey } = context
  const quotas = new QuotaCount()
  await quotas.read(context)
  await scanUsage(context)
  await scanNames(context, quotas)
  await checkXattrTables(context)
  await scanRest(context)
  await judgeNames(context)
  await judgeTables(context, told)
  survey.carried = new Map(inspector.carried.map((data) => [data.id, data]))
  if (!hidesExtents(context)) judgeUsage(context)
  const { segments, dataBytes, dataBytesRead } = await checkSegments(context)
  await checkObjects(context)
  quotas.judge(context)
  judgeIds(context, ends)
  await nameFindings(context)
  const counts: FsckCounts = {
    directories: survey.directories.size,
    files: survey.files,
    otherInodes: survey.otherInodes,
    pages: inspector.pagesRead,
    segments,
    journalObjects: [...context.listed.keys()].filter((key) => key.startsWith('journal/')).length,
    dataBytes,
    dataBytesRead,
  }
  return counts
}

async function scanUsage({ findings, inspector, survey }: CheckContext): Promise<void> {
  await inspector.scan(USAGE, 0, (id, record) => {
    if (record.length === USAGE_BYTES)
      survey.usage.set(id, { liveBytes: readU64(record, 0), isCommit: (record[8]! & 1) !== 0 })
    else
      findings.damage('damaged-record', {
        message: `the live bytes of segment ${id} are damaged`,
        remedy: 'they are counted again',
        phase: 'counted-bytes',
        fix: (repair) => repair.change((transaction) => transaction.delete(USAGE, 0, id)),
      })
  })
  await inspector.scan(SHARERS, 0, (id, record) => {
    survey.sharers.set(id, sharersIn(record))
  })
}

/** Tables that nothing above has read, so that every page was. */
async function scanRest(context: CheckContext): Promise<void> {
  const { inspector, survey } = context
  for (const owner of await inspector.owners(DIRECTORY))
    if (isDeleted(context, DIRECTORY, owner)) await inspector.scan(DIRECTORY, owner, () => {})
  for (const owner of await inspector.owners(EXTENTS))
    if (!survey.tableFiles.has(owner)) await inspector.scan(EXTENTS, owner, () => {})
}

/** Whether what cannot be read may hold extents: then live bytes cannot be counted. */
export function hidesExtents({ inspector }: CheckContext): boolean {
  const kinds: readonly number[] = [DIRECTORY, EXTENTS, SHARED, ORPHANS]
  return inspector.damages.some(({ table }) => table !== undefined && kinds.includes(table.kind & 127))
}

async function judgeTables(context: CheckContext, told: (damage: TableDamage) => boolean): Promise<void> {
  const { database, findings, inspector } = context
  let areNew = false
  for (const damage of inspector.damages) {
    if (told(damage)) continue
    areNew = true
    const { kind, message, object, table } = damage
    findings.damage(kind, {
      object,
      message: table === undefined ? message : `${message} (${tableInWords(table)})`,
      remedy: remedyOf(damage),
      phase: 'tables',
      ...(table === undefined ? {} : { fix: (repair) => restoreUnreadable(context, repair, table) }),
    })
  }
  if (areNew) return
  const { pageSegments } = database.rootInForce
  for (const [id, { liveBytes }] of inspector.pageSegments()) {
    const known = pageSegments.get(id)?.liveBytes ?? 0
    if (known === liveBytes) continue
    findings.damage('wrong-live-bytes', {
      message: `segment ${id} counts ${known} live bytes of pages, there are ${liveBytes}`,
      remedy: `it counts ${liveBytes}`,
      phase: 'tables',
    })
  }
}

const TABLE_NAMES = [
  '',
  'directory',
  'extents of file',
  'xattrs of',
  'parents',
  'shared inodes',
  'orphans',
  'live bytes',
  'sharers',
  'quotas',
  'quotas',
  'quotas',
]

function tableInWords({ kind, owner }: NonNullable<TableDamage['table']>): string {
  const name = TABLE_NAMES[kind & 127] ?? `table ${kind}`
  if (kind > 127) return `where tables of the kind '${name}' lie`
  return owner === 0 ? name : `${name} ${owner}`
}

function remedyOf({ kind, table }: TableDamage): string {
  switch (kind) {
    case 'lost-root':
    case 'damaged-root':
    case 'stale-root':
      return 'root is put again, as the newest whole checkpoint says'
    case 'lost-slot':
    case 'damaged-slot':
      return 'the record of who writes is put again'
    case 'damaged-commit':
    case 'journal-gap':
      return 'what these commits changed is lost; all others of the journal count'
    case 'lost-segment':
    case 'damaged-page':
    case 'misplaced-page':
      return table === undefined
        ? 'nothing is lost'
        : 'what can be found of it elsewhere and in older pages is brought back, the rest is lost'
  }
}

function judgeIds({ database, findings, survey }: CheckContext, ends: IdEnds): void {
  const highestSegment = Math.max(
    LOST_SEGMENT,
    ...[survey.extents.segments, survey.usage.keys(), database.rootInForce.pageSegments.keys()].map((ids) => {
      let highest = 0
      for (const id of ids) highest = Math.max(highest, id)
      return highest
    }),
  )
  const judge = (sort: 'ino' | 'segment', highest: number, end: number) => {
    if (highest < end) return
    findings.damage('wrong-id-range', {
      message: `${sort} ${highest} is in use, though root says that numbers from ${end} on are not`,
      remedy: 'numbers up to there are skipped',
      phase: 'counted-bytes',
      fix: (repair) => {
        while (repair.database.takeId(sort) < highest) {
          // Each is one that is never given out.
        }
      },
    })
  }
  judge('ino', survey.highestIno, ends.ino)
  judge('segment', highestSegment, ends.segment)
}

async function nameFindings(context: CheckContext): Promise<void> {
  const paths = new Paths(context)
  let left = PATHS_MAX
  for (const { finding } of context.findings.found) {
    if (finding.inode === undefined || left-- <= 0) continue
    const path = await paths.of(finding.inode)
    if (path !== null) finding.path = path
  }
}
