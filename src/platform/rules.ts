// The rules of DESIGN section 5 that tests can switch off, one at a time: a simulation that does not notice a missing
// rule proves nothing of it (test/simulation/mutations.ts, docs/TESTING.md).
//
// Must stay true: nothing but tests calls `withoutRule`; where a rule holds, asking costs one comparison.

/** Each stands where it is kept: search for its name. */
export const RULES = [
  // Data before records, records before pages, pages before `root`, `root` before the trim.
  'data is durable before its record',
  'a checkpoint waits for its last commit',
  'pages are durable before root',
  'root is durable before the trim',
  'commits whose data is not packed are not trimmed',
  'what changed since is not moved',
  // A segment goes after a root without it, after the grace period, and when nothing in memory refers to it.
  'segments go after a root without them',
  'segments wait for the grace period',
  'segments being read stay',
  'segments that streams refer to stay',
  'page segments go after a root without them',
  'page segments wait for the grace period',
  'pages of a checkpoint that failed stay until another root',
  'unnamed segments go with their uploader',
  // Replaying what pages hold changes nothing; what checkpoints derive is not replayed.
  'a commit holds the last record of a key',
  'a clear stands before the records that follow it',
  'what checkpoints derive stays out of the journal',
  'copies of "." are derived before the trim',
  // Operations on names; streams.
  'check and append are one turn',
  'a sync waits for all that was written before',
  'size follows the data',
  'usage changes with the extents',
  // fsync, and what commits by itself.
  'fsync commits the stream',
  'fsync commits the names',
  'fsync of a directory commits the names',
  'fsync of the root commits all streams',
  'a commit begins every interval',
  'a rename over a name brings its data',
  'a checkpoint brings the data of renames',
  'a truncation is held',
  'a truncation is held for 30 s at most',
  'what was written before an O_TRUNC is kept apart',
  // Commits.
  'a commit is made before it is acknowledged',
  'commits are acknowledged in order',
  'commits behind a gap are void',
  'commits behind a seal are void',
  'all commits before a known seal are there',
  'a failed commit stays failed until it is durable',
  'a journal that failed takes no changes',
  'what is resumed is made',
  // Taking a slot, and giving it back.
  'the epoch is raised by If-Match',
  'a root of a higher epoch ends the taking',
  'all tenures that root lists are replayed',
  'the old tenure is sealed',
  'the seal goes where root says',
  "what occupies the seal's place is read",
  'root is replaced by If-Match',
  'a root of another writer is not replaced',
  'root lists tenures until they are contained',
  'an epoch stands in root before it has commits',
  'seals are not trimmed',
  'ids come from reserved ranges',
  'a holder is waited for',
  'a holder shows that it lives',
  'a lost slot serves nothing',
  'a release waits for the last checkpoint',
  'an unmount leaves no orphan',
  'a read-only mount reads root again',
  // Every 412 may be our own first try, or somebody else's.
  'an occupied place is read back before deciding',
  'a 412 of a commit may be our own',
  'a 412 of root may be our own',
  'a 412 of writers/ may be our own',
  'a 412 of a segment may be our own',
  // Bytes.
  'blocks are verified',
  'pages are verified',
  'commits are verified',
  'root is verified',
  'damage on the way is read again',
  // The local folder.
  'the local store syncs files before their names',
  'the local store syncs folders before it acknowledges',
] as const

/** What keeps the kernel's page cache from going back to older bytes: a model of it notices when one is missing
 *  (test/vfs/hand-over.test.ts). */
export const PAGE_CACHE_RULES = [
  'what may be written is not handed over',
  'what is handed over has arrived before it can change',
  'what is handed over is recorded',
] as const

export type Rule = (typeof RULES | typeof PAGE_CACHE_RULES)[number]

let off: Rule | null = null

/** Whether a rule is kept: always, but in a test that switched it off. */
export function ruleHolds(rule: Rule): boolean {
  return rule !== off
}

/** Test-only: runs `work` with a rule switched off. */
export async function withoutRule<T>(rule: Rule | null, work: () => Promise<T>): Promise<T> {
  off = rule
  try {
    return await work()
  } finally {
    off = null
  }
}
