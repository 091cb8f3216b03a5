// Names and inodes: every directory's table, PARENTS, SHARED and ORPHANS, each against the others.
//
// The scan looks at records one by one and gathers what only makes sense together; `judgeNames` then compares.
import {
  CASEFOLD_FLAG,
  DIRECTORY,
  DOT_KEY,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryType,
  FIRST_NAME_KEY,
  foldName,
  inodeFlags,
  ORPHANS,
  PARENTS,
  recordMode,
  recordNlink,
  recordRealm,
  S_IFDIR,
  S_IFMT,
  SHARED,
} from '../../meta/index.ts'
import { crc32c, printable, readU64 } from '../../platform/index.ts'
import { type CheckContext, isUnreadable } from './context.ts'
import { isDeleted } from './deleted.ts'
import { checkFile, checkTableFiles, type TableFile } from './files.ts'
import type { Fix } from './findings.ts'
import type { QuotaCount } from './quotas.ts'
import { dentryProblem, inodeProblem, isNameAllowed } from './records.ts'
import { type DirectoryState, SharedState } from './survey.ts'
import { checkInlineXattrs } from './xattrs.ts'

const ORDINALS = 256
const PARENT_BYTES = 16

export async function scanNames(context: CheckContext, quotas: QuotaCount): Promise<void> {
  await scanParents(context)
  await scanRows(context, SHARED, quotas)
  await scanRows(context, ORPHANS, quotas)
  const { inspector, progress } = context
  for (let owners = await inspector.owners(DIRECTORY); owners.length > 0; ) {
    const unnamed: number[] = []
    for (const owner of owners) {
      if (isDeleted(context, DIRECTORY, owner)) {
        unnamed.push(owner)
        continue
      }
      await scanDirectory(context, owner, quotas)
      progress(
        'reading directories',
        inspector.pagesRead,
        Math.max(inspector.pagesRead, inspector.pagesExpected),
        'pages',
      )
    }
    if (unnamed.length === owners.length) break
    // One that was scanned since may name them.
    owners = unnamed
  }
}

async function scanParents({ findings, inspector, survey }: CheckContext): Promise<void> {
  await inspector.scan(PARENTS, 0, (ino, record) => {
    if (record.length !== PARENT_BYTES) {
      findings.damage('damaged-record', {
        inode: ino,
        message: `the record of the parent of inode ${ino} is damaged`,
        remedy: 'it is made anew from the directories',
        fix: (repair) => repair.change((transaction) => transaction.delete(PARENTS, 0, ino)),
      })
    } else survey.parents.push(ino, readU64(record, 0), readU64(record, 8))
  })
}

async function scanRows(
  context: CheckContext,
  kind: typeof SHARED | typeof ORPHANS,
  quotas: QuotaCount,
): Promise<void> {
  const { findings, inspector, survey } = context
  const later: TableFile[] = []
  await inspector.scan(kind, 0, (ino, record) => {
    const problem = inodeProblem(record, 0, record.length) ?? (readU64(record, 0) === ino ? null : 'another inode')
    if (problem !== null) {
      findings.damage('damaged-record', {
        inode: ino,
        message: `the record of ${kind === SHARED ? 'shared' : 'nameless'} inode ${ino} is damaged: ${problem}`,
        remedy: 'it is taken out',
        fix: (repair) => repair.change((transaction) => transaction.delete(kind, 0, ino)),
      })
      return
    }
    if (kind === SHARED) survey.shared.set(ino, new SharedState(recordNlink(record, 0)))
    else survey.orphans.add(ino)
    quotas.add(record, 0, recordRealm(record, 0))
    const home = { kind: kind === SHARED ? ('shared' as const) : ('orphan' as const), ino, directory: 0, key: 0 }
    checkFile(context, record, 0, home, later)
  })
  await checkTableFiles(context, later)
}

async function scanDirectory(context: CheckContext, directory: number, quotas: QuotaCount): Promise<void> {
  const later: TableFile[] = []
  const scan = new DirectoryScan(context, directory, quotas, later)
  await context.inspector.scan(DIRECTORY, directory, (key, record) => scan.visit(key, record))
  await checkTableFiles(context, later)
}

/** One directory's records, in order of keys. */
class DirectoryScan {
  readonly #context: CheckContext
  readonly #directory: number
  readonly #quotas: QuotaCount
  readonly #later: TableFile[]
  #state: DirectoryState | null = null
  #realm = 0
  /** Whether names that fold alike are one; null while "." does not tell. */
  #folds: boolean | null = null
  /** Names of one hash, as they are hashed. */
  #base = 0
  #names: Uint8Array[] = []

  constructor(context: CheckContext, directory: number, quotas: QuotaCount, later: TableFile[]) {
    this.#context = context
    this.#directory = directory
    this.#quotas = quotas
    this.#later = later
  }

  visit(key: number, record: Buffer): void {
    if (this.#state === null) {
      this.#state = this.#context.survey.directory(this.#directory)
      this.#state.hasTable = true
    }
    if (key === DOT_KEY) this.#visitDot(record, this.#state)
    else if (key < FIRST_NAME_KEY) this.#bad(key, 'it has a key that no name has')
    else this.#visitName(key, record, this.#state)
  }

  #bad(key: number, why: string, remedy = 'it is taken out'): void {
    const directory = this.#directory
    this.#context.findings.damage('damaged-record', {
      inode: directory,
      message: `a record of directory ${directory} is damaged (key ${key}): ${why}`,
      remedy,
      fix: (repair) => repair.change((transaction) => transaction.delete(DIRECTORY, directory, key)),
    })
  }

  #visitDot(record: Buffer, state: DirectoryState): void {
    const problem = inodeProblem(record, 0, record.length)
    if (problem !== null || readU64(record, 0) !== this.#directory || (recordMode(record, 0) & S_IFMT) !== S_IFDIR) {
      this.#bad(
        DOT_KEY,
        problem ?? 'its own inode is another one',
        'its inode is made again from the copy in its parent',
      )
      return
    }
    state.hasDot = true
    state.nlink = recordNlink(record, 0)
    state.dotCrc = crc32c(record)
    this.#folds = (inodeFlags(record, 0) & CASEFOLD_FLAG) !== 0
    this.#realm = recordRealm(record, 0)
    this.#quotas.add(record, 0, this.#realm)
    const ino = this.#directory
    checkInlineXattrs(this.#context, record, 0, { kind: 'directory', ino, directory: 0, key: 0 })
  }

  #visitName(key: number, record: Buffer, state: DirectoryState): void {
    const { findings, survey } = this.#context
    const directory = this.#directory
    const problem = dentryProblem(record, 0, record.length)
    if (problem !== null) {
      this.#bad(key, problem)
      return
    }
    const name = Buffer.from(dentryName(record, 0))
    const ino = dentryIno(record, 0)
    survey.highestIno = Math.max(survey.highestIno, ino)
    if (!isNameAllowed(record, 0)) {
      findings.damage('misplaced-name', {
        inode: ino,
        message: `directory ${directory} has an entry with a name that none may have ('${printable(name)}')`,
        remedy: `it is put into lost+found as #${ino}`,
        phase: 'names',
        fix: (repair) => repair.names.moveToLostFound(directory, key),
      })
    } else this.#checkPlace(key, name, ino)
    if (dentryIsShared(record, 0)) this.#shared(key, ino)
    else this.#own(key, record, ino, state)
  }

  /** What of a name is hashed. */
  #hashed(key: number, name: Buffer): Uint8Array {
    const folded = foldName(name) ?? name
    if (this.#folds !== null) return this.#folds ? folded : name
    return this.#context.nameKeys(folded) === baseOf(key) ? folded : name
  }

  #checkPlace(key: number, name: Buffer, ino: number): void {
    const { findings, nameKeys } = this.#context
    const hashed = this.#hashed(key, name)
    const base = nameKeys(hashed)
    const directory = this.#directory
    const fix: Fix = (repair) => repair.names.rename(directory, key)
    if (baseOf(key) !== base) {
      findings.damage('misplaced-name', {
        inode: ino,
        message: `'${printable(name)}' in directory ${directory} stands where it is not looked for`,
        remedy: 'it is put where it belongs, or into lost+found where that name is there already',
        phase: 'names',
        fix,
      })
      return
    }
    if (this.#base !== base) {
      this.#base = base
      this.#names = []
    }
    if (this.#names.some((other) => Buffer.compare(other, hashed) === 0))
      findings.damage('misplaced-name', {
        inode: ino,
        message: `'${printable(name)}' stands in directory ${directory} twice`,
        remedy: `the second one is put into lost+found as #${ino}`,
        phase: 'names',
        fix: (repair) => repair.names.moveToLostFound(directory, key),
      })
    this.#names.push(hashed)
  }

  #shared(key: number, ino: number): void {
    const { findings, survey } = this.#context
    const directory = this.#directory
    const state = survey.shared.get(ino)
    if (state !== undefined) {
      state.links++
      if (state.directory === 0) {
        state.directory = directory
        state.key = key
      }
    } else if (!isUnreadable(this.#context, SHARED, 0, ino))
      this.#context.findings.damage('dangling-dentry', {
        inode: ino,
        message: `an entry of directory ${directory} names shared inode ${ino}, which is not there`,
        remedy: 'the entry is taken out: there is nothing that it could lead to',
        phase: 'names',
        fix: (repair) => repair.names.removeDangling(directory, key),
      })
    if (survey.orphans.has(ino)) this.#notAnOrphan(findings, ino)
  }

  #own(key: number, record: Buffer, ino: number, state: DirectoryState): void {
    const { survey, findings } = this.#context
    const directory = this.#directory
    const inodeAt = dentryInodeAt(record, 0)
    const { parents } = survey
    const row = parents.inos.find(ino)
    const isConfirmed = row >= 0 && parents.directories.get(row) === directory && parents.keys.get(row) === key
    if (isConfirmed) parents.seen.set(row, 1)
    const isDirectory = dentryType(record, 0) === S_IFDIR
    if (isDirectory) {
      state.subdirectories++
      this.#edge(key, ino, isConfirmed, crc32c(record.subarray(inodeAt)))
      return
    }
    if (!isConfirmed) {
      const others = survey.unconfirmed.get(ino)
      if (others === undefined) survey.unconfirmed.set(ino, [{ directory, key }])
      else others.push({ directory, key })
    }
    if (survey.orphans.has(ino)) this.#notAnOrphan(findings, ino)
    const nlink = recordNlink(record, inodeAt)
    if (nlink !== 1)
      findings.damage('wrong-link-count', {
        inode: ino,
        message: `inode ${ino} counts ${nlink} names, it has 1`,
        remedy: 'it counts 1',
        phase: 'counts',
        fix: (repair) => repair.names.setLinkCount({ kind: 'dentry', ino, directory, key }, 1),
      })
    this.#quotas.add(record, inodeAt, this.#realm)
    checkFile(this.#context, record, inodeAt, { kind: 'dentry', ino, directory, key }, this.#later)
  }

  #edge(key: number, ino: number, isConfirmed: boolean, copyCrc: number): void {
    const { survey } = this.#context
    const child = survey.directory(ino)
    const edge = { directory: this.#directory, key }
    if (child.upDirectory !== 0) {
      const more = survey.moreEdges.get(ino) ?? []
      if (isConfirmed) {
        more.push({ directory: child.upDirectory, key: child.upKey })
      } else more.push(edge)
      survey.moreEdges.set(ino, more)
      if (!isConfirmed) return
    }
    child.upDirectory = edge.directory
    child.upKey = edge.key
    child.isConfirmed = isConfirmed
    child.copyCrc = copyCrc
    child.hasCopy = true
  }

  #notAnOrphan(findings: CheckContext['findings'], ino: number): void {
    findings.damage('orphan', {
      inode: ino,
      message: `inode ${ino} counts as one without a name, but has one`,
      remedy: 'it counts as named',
      phase: 'names',
      fix: (repair) => repair.change((transaction) => transaction.delete(ORPHANS, 0, ino)),
    })
  }
}

function baseOf(key: number): number {
  return Math.floor(key / ORDINALS) * ORDINALS
}
