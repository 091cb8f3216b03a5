// What only makes sense once every directory was scanned: who can be reached from the root, whether PARENTS says what the
// directories say, link counts, copies of ".".
import { DIRECTORY, DOT_KEY, EXTENTS, PARENTS, ROOT_INO, SHARED } from '../../meta/index.ts'
import { type CheckContext, hasUnreadable, isUnreadable } from './context.ts'
import { isDeleted } from './deleted.ts'
import type { DirectoryState, Edge } from './survey.ts'

export async function judgeNames(context: CheckContext): Promise<void> {
  judgeRoot(context)
  judgeUnconfirmed(context)
  reach(context)
  judgeDirectories(context)
  judgeShared(context)
  judgeParents(context)
  await judgeExtentsTables(context)
}

/** A volume that was formatted and never mounted has no table at all; else there is a root directory. */
function judgeRoot(context: CheckContext): void {
  const { findings, survey } = context
  const root = survey.directories.get(ROOT_INO)
  if (root?.hasDot || (survey.directories.size === 0 && survey.parents.inos.length === 0)) return
  if (isUnreadable(context, DIRECTORY, ROOT_INO, DOT_KEY)) return
  findings.damage('damaged-record', {
    inode: ROOT_INO,
    message: 'the root directory has no inode',
    remedy: 'it gets one: owner root, mode 755',
    fix: (repair) => repair.names.makeDot(ROOT_INO, null),
  })
}

/** Inodes of files that an entry holds, and PARENTS does not confirm: its row is wrong, or the inode has several homes. */
function judgeUnconfirmed(context: CheckContext): void {
  const { findings, survey } = context
  for (const [ino, edges] of survey.unconfirmed) {
    const homes = survey.homesOf(ino)
    if (homes.length > 1) {
      findings.damage('wrong-parent', {
        inode: ino,
        message: `inode ${ino} stands in ${homes.length} places, which do not know of each other`,
        remedy: 'it becomes one file with several names; of its contents those changed last count',
        phase: 'names',
        fix: (repair) => repair.names.share(ino, homes),
      })
      continue
    }
    const edge = edges[0]!
    if (!isUnreadable(context, PARENTS, 0, ino)) wrongParent(context, ino, edge)
  }
}

function wrongParent({ findings }: CheckContext, ino: number, edge: Edge): void {
  findings.damage('wrong-parent', {
    inode: ino,
    message: `inode ${ino} lies in directory ${edge.directory}, which its parent record does not say`,
    remedy: 'its parent record says so',
    phase: 'names',
    fix: (repair) => repair.names.setParent(ino, edge),
  })
}

/** Follows the entries of directories from the root; what PARENTS confirms first. */
function follow(
  { survey }: CheckContext,
  from: readonly number[],
  children: ReadonlyMap<number, readonly Child[]>,
): void {
  const sure = [...from]
  const unsure: { ino: number; edge: Edge }[] = []
  const enter = (ino: number, edge: Edge) => {
    const state = survey.directory(ino)
    if (state.isReached) return
    state.isReached = true
    if (state.upDirectory !== edge.directory || state.upKey !== edge.key) swapEdge(survey.moreEdges, ino, state, edge)
    sure.push(ino)
  }
  for (;;) {
    const ino = sure.pop()
    if (ino !== undefined) {
      for (const { ino: child, edge, isConfirmed } of children.get(ino) ?? []) {
        if (isConfirmed) enter(child, edge)
        else unsure.push({ ino: child, edge })
      }
      continue
    }
    const next = unsure.pop()
    if (next === undefined) return
    enter(next.ino, next.edge)
  }
}

interface Child {
  ino: number
  edge: Edge
  isConfirmed: boolean
}

/** Makes the edge by which a directory was reached its first one. */
function swapEdge(more: Map<number, Edge[]>, ino: number, state: DirectoryState, edge: Edge): void {
  const others = more.get(ino)!
  const at = others.findIndex((other) => other.directory === edge.directory && other.key === edge.key)
  others[at] = { directory: state.upDirectory, key: state.upKey }
  state.upDirectory = edge.directory
  state.upKey = edge.key
  state.isConfirmed = false
}

function reach(context: CheckContext): void {
  const { findings, survey } = context
  const children = new Map<number, Child[]>()
  const addChild = (ino: number, edge: Edge, isConfirmed: boolean) => {
    const list = children.get(edge.directory)
    if (list === undefined) children.set(edge.directory, [{ ino, edge, isConfirmed }])
    else list.push({ ino, edge, isConfirmed })
  }
  for (const [ino, state] of survey.directories)
    if (state.upDirectory !== 0) addChild(ino, { directory: state.upDirectory, key: state.upKey }, state.isConfirmed)
  for (const [ino, edges] of survey.moreEdges) for (const edge of edges) addChild(ino, edge, false)

  const root = survey.directory(ROOT_INO)
  root.isReached = true
  follow(context, [ROOT_INO], children)
  const unreached = () => [...survey.directories].filter(([, state]) => !state.isReached)
  // Those that nothing names, each with all below it; what is left then are circles.
  for (const [ino, state] of unreached()) {
    if (state.upDirectory !== 0 || state.isReached) continue
    state.isReached = true
    if (!isNameUnreadable(context, ino)) {
      findings.damage('nameless-inode', {
        inode: ino,
        message: `no entry names directory ${ino}`,
        remedy: `it is put into lost+found as #${ino}`,
        phase: 'names',
        fix: (repair) => repair.names.attach(ino),
      })
    }
    follow(context, [ino], children)
  }
  for (const [start, state] of unreached()) {
    if (state.isReached) continue
    const onCircle = circleFrom(context, start)
    const circle = survey.directory(onCircle)
    circle.isReached = true
    const { upDirectory, upKey } = circle
    findings.damage('parent-cycle', {
      inode: onCircle,
      message: `directory ${onCircle} lies within itself: no way leads there from the root`,
      remedy: `it is put into lost+found as #${onCircle}`,
      phase: 'names',
      fix: (repair) => repair.names.moveToLostFound(upDirectory, upKey),
    })
    follow(context, [onCircle], children)
  }
  for (const [ino, edges] of survey.moreEdges)
    for (const { directory, key } of edges)
      findings.damage('wrong-parent', {
        inode: ino,
        message: `directory ${ino} is named by directory ${directory} too: a directory has one name`,
        remedy: 'that other entry is taken out',
        phase: 'names',
        fix: (repair) => repair.names.removeEdge(directory, key, ino),
      })
}

/** Walks up from a directory that no root leads to, until it comes to one again. */
function circleFrom({ survey }: CheckContext, start: number): number {
  const seen = new Set<number>()
  let at = start
  while (!seen.has(at)) {
    seen.add(at)
    at = survey.directory(at).upDirectory
  }
  return at
}

/** Whether the entry that names it may lie in what cannot be read. */
function isNameUnreadable(context: CheckContext, ino: number): boolean {
  const row = context.survey.parents.of(ino)
  return row !== null && isUnreadable(context, DIRECTORY, row.directory, row.key)
}

function judgeDirectories(context: CheckContext): void {
  const { database, findings, survey } = context
  for (const [ino, state] of survey.directories) {
    const edge = { directory: state.upDirectory, key: state.upKey }
    const isDotUnreadable = isUnreadable(context, DIRECTORY, ino, DOT_KEY)
    if (ino === ROOT_INO && state.upDirectory !== 0) {
      findings.damage('parent-cycle', {
        inode: ino,
        message: `directory ${edge.directory} names the root directory`,
        remedy: 'that entry is taken out',
        phase: 'names',
        fix: (repair) => repair.names.removeEdge(edge.directory, edge.key, ino),
      })
    }
    if (ino !== ROOT_INO && !state.hasDot && !isDotUnreadable) {
      findings.damage('dangling-dentry', {
        inode: ino,
        message: state.hasTable
          ? `directory ${ino} has no inode of its own`
          : `an entry of directory ${edge.directory} names directory ${ino}, which is not there`,
        remedy: state.hasCopy
          ? 'it is made again from the copy in its parent; what was in it and cannot be found is lost'
          : 'it gets an inode: owner root, mode 700',
        fix: (repair) => repair.names.makeDot(ino, state.hasCopy ? edge : null),
      })
    }
    if (ino !== ROOT_INO && state.upDirectory !== 0 && !state.isConfirmed && !isUnreadable(context, PARENTS, 0, ino))
      wrongParent(context, ino, edge)
    if (!state.hasDot) continue
    const nlink = 2 + state.subdirectories
    if (state.nlink !== nlink && !hasUnreadable(context, DIRECTORY, ino))
      findings.damage('wrong-link-count', {
        inode: ino,
        message: `directory ${ino} counts ${state.nlink} links, it has ${nlink}`,
        remedy: `it counts ${nlink}`,
        phase: 'counts',
        fix: (repair) => repair.names.setLinkCount({ kind: 'directory', ino, directory: 0, key: 0 }, nlink),
      })
    // A "." that changed since the checkpoint counts before its copy; the next checkpoint brings the copy up to date.
    const isStale = state.hasCopy && state.copyCrc !== state.dotCrc
    if (isStale && database.table(DIRECTORY, ino).getChanged(DOT_KEY) === undefined)
      findings.damage('stale-copy', {
        inode: ino,
        message: `the copy of directory ${ino}’s inode in its parent is not as its own`,
        remedy: 'the copy is made anew',
        phase: 'counts',
        fix: (repair) => repair.names.copyDot(edge, ino),
      })
  }
}

function judgeShared(context: CheckContext): void {
  const { findings, inspector, survey } = context
  const mayBeNamed = inspector.damages.some(({ table }) => table !== undefined && (table.kind & 127) === DIRECTORY)
  for (const [ino, { links, nlink }] of survey.shared) {
    if (mayBeNamed && links < nlink) continue
    if (links === 0)
      findings.damage('nameless-inode', {
        inode: ino,
        message: `no entry names inode ${ino}`,
        remedy: `it is put into lost+found as #${ino}`,
        phase: 'names',
        fix: (repair) => repair.names.attachShared(ino),
      })
    else if (links !== nlink)
      findings.damage('wrong-link-count', {
        inode: ino,
        message: `inode ${ino} counts ${nlink} names, it has ${links}`,
        remedy: `it counts ${links}`,
        phase: 'counts',
        fix: (repair) => repair.names.setLinkCount({ kind: 'shared', ino, directory: 0, key: 0 }, links),
      })
  }
  if (survey.orphans.size > 0)
    findings.notice(
      'orphan',
      `${survey.orphans.size} inodes have no name: they were open, or on their way out; the next mount drops them`,
    )
}

/** Rows of PARENTS that no entry confirms. */
function judgeParents(context: CheckContext): void {
  const { findings, survey } = context
  const { parents } = survey
  for (let row = 0; row < parents.inos.length; row++) {
    if (parents.seen.get(row) === 1) continue
    const ino = parents.inos.get(row)
    const directory = parents.directories.get(row)
    const isElsewhere = survey.unconfirmed.has(ino) || (survey.directories.get(ino)?.upDirectory ?? 0) !== 0
    if (isElsewhere || isUnreadable(context, DIRECTORY, directory, parents.keys.get(row))) continue
    // A directory that nothing names gets a name, and its row with it.
    if (survey.directories.get(ino)?.hasTable) continue
    findings.damage('wrong-parent', {
      inode: ino,
      message: `the parent record of inode ${ino} says directory ${directory}, where it is not`,
      remedy: survey.shared.has(ino)
        ? 'the record is taken out'
        : 'the record is taken out: there is no such inode any more',
      phase: 'names',
      fix: (repair) => repair.names.dropParent(ino),
    })
  }
}

/** Tables of extents that no inode owns. */
async function judgeExtentsTables(context: CheckContext): Promise<void> {
  const { findings, inspector, survey } = context
  const mayBeOwned = inspector.damages.some(
    ({ table }) => table !== undefined && ((table.kind & 127) === DIRECTORY || table.kind === SHARED),
  )
  if (mayBeOwned) return
  for (const ino of await inspector.owners(EXTENTS)) {
    if (survey.tableFiles.has(ino) || isDeleted(context, EXTENTS, ino)) continue
    let records = 0
    await inspector.scan(EXTENTS, ino, () => records++)
    if (records === 0) continue
    const hasHome = survey.homesOf(ino).length > 0
    findings.damage('nameless-inode', {
      inode: ino,
      message: hasHome
        ? `${records} extents of inode ${ino} count for nothing`
        : `${records} extents belong to inode ${ino}, which is lost`,
      remedy: hasHome ? 'they are taken out' : `a file is made of them: lost+found/#${ino}, owner root, mode 600`,
      phase: 'names',
      fix: (repair) =>
        hasHome ? repair.change((transaction) => transaction.clear(EXTENTS, ino)) : repair.names.makeFile(ino),
    })
  }
}
