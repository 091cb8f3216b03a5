// What a check of a volume finds and says. The command line prints it; --json gives it as it is, so that its fields keep
// their names and meanings. docs/FSCK.md has a line for every kind.

/** One sort of damage or oddity. */
export type FindingKind =
  // Objects.
  | 'lost-root'
  | 'damaged-root'
  | 'stale-root'
  | 'lost-volume-json'
  | 'lost-slot'
  | 'damaged-slot'
  | 'lost-segment'
  | 'damaged-contents'
  | 'damaged-page'
  | 'misplaced-page'
  | 'damaged-data'
  | 'damaged-commit'
  | 'journal-gap'
  | 'unreferenced-object'
  | 'foreign-object'
  // Names and inodes.
  | 'damaged-record'
  | 'dangling-dentry'
  | 'misplaced-name'
  | 'nameless-inode'
  | 'parent-cycle'
  | 'wrong-parent'
  | 'wrong-link-count'
  | 'stale-copy'
  | 'orphan'
  // Files and counters.
  | 'overlapping-extents'
  | 'extent-outside'
  | 'wrong-size'
  | 'lost-data'
  | 'wrong-live-bytes'
  | 'wrong-sharers'
  | 'wrong-quota'
  | 'wrong-xattrs'
  | 'wrong-id-range'

/** `damage`: something is wrong. `notice`: nothing to mend (garbage that gc takes, orphans of a crash that the next mount
 *  empties, bytes that an earlier repair found lost). */
export type Severity = 'damage' | 'notice'

export interface Finding {
  kind: FindingKind
  severity: Severity
  /** Key of the object concerned, where there is one. */
  object?: string
  inode?: number
  /** A path of the inode, where one is known. */
  path?: string
  /** One line: what is wrong. */
  message: string
  /** One line: what --repair does about it, and what is lost by it; null where nothing can be done. */
  remedy: string | null
  repaired: boolean
}

export interface FsckCounts {
  directories: number
  files: number
  otherInodes: number
  pages: number
  segments: number
  journalObjects: number
  /** Live file data, and what of it was read and verified (--data). */
  dataBytes: number
  dataBytesRead: number
}

export interface FsckReport {
  volume: string
  name: string
  /** The state that was checked: the checkpoint's number and its epoch, and how many commits were replayed on it. */
  checkpointNumber: number
  epoch: number
  replayedCommits: number
  /** Somebody has the volume mounted (or died with it): the state is that of its last commit. */
  mounted: boolean
  findings: Finding[]
  counts: FsckCounts
}

/** Told as work goes on: what is being done, how far it is, in which unit; `total` null while it is not known. */
export type FsckProgress = (
  step: string,
  done: number,
  total: number | null,
  unit: 'pages' | 'bytes' | 'objects',
) => void
