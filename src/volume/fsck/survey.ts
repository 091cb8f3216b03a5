// What one check gathers of a volume: the directories, who names whom, every extent. Columns of numbers for what there may
// be ten million of, objects for directories and shared inodes alone.
import type { Extent } from '../../data/index.ts'
import type { SegmentId } from '../../segments/index.ts'
import type { ReplayedData } from '../../tables/index.ts'
import { Column } from './columns.ts'

/** Where an inode stands. */
export interface Home {
  kind: 'dentry' | 'directory' | 'shared' | 'orphan'
  ino: number
  /** Of a dentry: the directory and the key. */
  directory: number
  key: number
}

export class DirectoryState {
  hasTable = false
  /** It has a "." that can be read. */
  hasDot = false
  /** Of the record of "."; and of the copy of it in the dentry that names the directory. */
  dotCrc = 0
  copyCrc = 0
  hasCopy = false
  nlink = 0
  subdirectories = 0
  /** The dentry that names it; 0: none was seen. */
  upDirectory = 0
  upKey = 0
  /** PARENTS says the same. */
  isConfirmed = false
  isReached = false
}

export class SharedState {
  links = 0
  /** One of its names. */
  directory = 0
  key = 0

  constructor(readonly nlink: number) {}
}

export interface TableFileState {
  sizeBytes: number
  /** As the inode says; and what its extents that can be read hold. */
  allocatedBytes: number
  foundBytes: number
}

/** What an inode says of its table of extended attributes. */
export interface XattrState {
  home: Home
  namesBytes: number
  valuesBytes: number
  /** Those that stand in the inode itself, as latin1. */
  inlineNames: ReadonlySet<string>
}

/** A place that names an inode. */
export interface Edge {
  directory: number
  key: number
}

/** PARENTS, in order of inos. */
export class ParentRows {
  readonly inos = new Column('wide')
  readonly directories = new Column('wide')
  readonly keys = new Column('wide')
  /** Whether a dentry was seen where the row says. */
  readonly seen = new Column('u32')

  push(ino: number, directory: number, key: number): void {
    this.inos.push(ino)
    this.directories.push(directory)
    this.keys.push(key)
    this.seen.push(0)
  }

  of(ino: number): Edge | null {
    const row = this.inos.find(ino)
    return row < 0 ? null : { directory: this.directories.get(row), key: this.keys.get(row) }
  }
}

/** Every extent, by segment. */
export class ExtentLog {
  readonly inos = new Column('wide')
  readonly #fileOffsets = new Column('wide')
  readonly #segments = new Column('wide')
  readonly #offsets = new Column('u32')
  readonly #pieces = new Column('u32')
  readonly #skips = new Column('u32')
  readonly #lengths = new Column('u32')
  readonly #next = new Column('u32')
  /** The last extent of each segment (plus 1). */
  readonly #heads = new Map<number, number>()
  /** Live bytes by segment. */
  readonly live = new Map<number, number>()

  push(ino: number, { fileOffset, range }: Extent): void {
    const index = this.inos.length
    this.inos.push(ino)
    this.#fileOffsets.push(fileOffset)
    this.#segments.push(range.segment)
    this.#offsets.push(range.offset)
    this.#pieces.push(range.pieceBytes)
    this.#skips.push(range.skipBytes)
    this.#lengths.push(range.lengthBytes)
    this.#next.push(this.#heads.get(range.segment) ?? 0)
    this.#heads.set(range.segment, index + 1)
    this.live.set(range.segment, (this.live.get(range.segment) ?? 0) + range.lengthBytes)
  }

  get segments(): IterableIterator<number> {
    return this.#heads.keys()
  }

  has(segment: number): boolean {
    return this.#heads.has(segment)
  }

  /** The extents in a segment. */
  *in(segment: number): Generator<{ ino: number; extent: Extent }> {
    for (let at = this.#heads.get(segment) ?? 0; at !== 0; at = this.#next.get(at - 1)) {
      const index = at - 1
      const range = {
        segment: this.#segments.get(index) as SegmentId,
        offset: this.#offsets.get(index),
        pieceBytes: this.#pieces.get(index),
        skipBytes: this.#skips.get(index),
        lengthBytes: this.#lengths.get(index),
      }
      yield { ino: this.inos.get(index), extent: { fileOffset: this.#fileOffsets.get(index), range } }
    }
  }
}

export class Survey {
  readonly parents = new ParentRows()
  readonly directories = new Map<number, DirectoryState>()
  /** Dentries of directories beyond the first that names each. */
  readonly moreEdges = new Map<number, Edge[]>()
  readonly shared = new Map<number, SharedState>()
  readonly orphans = new Set<number>()
  /** Dentries with an inode of their own that PARENTS does not confirm. */
  readonly unconfirmed = new Map<number, Edge[]>()
  readonly extents = new ExtentLog()
  /** Files whose extents lie in a table. */
  readonly tableFiles = new Map<number, TableFileState>()
  /** Inodes with a table of extended attributes. */
  readonly xattrs = new Map<number, XattrState>()
  /** An inode with an ACL; 0: none was seen. */
  aclInode = 0
  /** The root directory says that there are ACLs. */
  hasAclMark = false
  /** Rows of SHARERS and of USAGE, by segment. */
  readonly sharers = new Map<number, number[]>()
  readonly usage = new Map<number, { liveBytes: number; isCommit: boolean }>()
  /** What commits carry, by the id that extents name it by. */
  carried: ReadonlyMap<number, ReplayedData> = new Map()
  highestIno = 1
  files = 0
  otherInodes = 0

  directory(ino: number): DirectoryState {
    let state = this.directories.get(ino)
    if (state === undefined) {
      state = new DirectoryState()
      this.directories.set(ino, state)
    }
    return state
  }

  /** Every place where the inode of a file stands. */
  homesOf(ino: number): Home[] {
    const homes: Home[] = []
    if (this.shared.has(ino)) homes.push({ kind: 'shared', ino, directory: 0, key: 0 })
    if (this.orphans.has(ino)) homes.push({ kind: 'orphan', ino, directory: 0, key: 0 })
    const row = this.parents.inos.find(ino)
    if (row >= 0 && this.parents.seen.get(row) === 1)
      homes.push({ kind: 'dentry', ino, directory: this.parents.directories.get(row), key: this.parents.keys.get(row) })
    for (const edge of this.unconfirmed.get(ino) ?? []) homes.push({ kind: 'dentry', ino, ...edge })
    return homes
  }
}
