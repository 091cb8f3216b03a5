// The rules of DESIGN section 5 that tests can switch off, one at a time: a simulation that does not notice a missing
// rule proves nothing of it (test/simulation/mutations.ts, docs/TESTING.md).
//
// Must stay true: nothing but tests calls `withoutRule`; where a rule holds, asking costs one comparison.

/** Each stands where it is kept: search for its name. */
export const RULES = [
  // Journal and tables.
  'a commit is made before it is acknowledged',
  'commits are acknowledged in order',
  'commits behind a gap are void',
  'an occupied place is read back before deciding',
  'a checkpoint waits for its last commit',
  'pages are durable before root',
  'root is durable before the trim',
  'commits whose data is not packed are not trimmed',
  'copies of "." are derived before the trim',
  'a clear stands before the records that follow it',
  'ids come from reserved ranges',
  'a failed commit stays failed until it is durable',
  // Taking a slot.
  'the epoch is raised by If-Match',
  'a root of a higher epoch ends the taking',
  'the old tenure is sealed',
  'seals are not trimmed',
  'root is replaced by If-Match',
  'a holder is waited for',
  'a lost slot serves nothing',
  'a release waits for the last checkpoint',
  // Files.
  'data is durable before its record',
  'size follows the data',
  'fsync commits the stream',
  'fsync of a directory commits the names',
  'a rename over a name brings its data',
  'a truncation is held',
  'check and append are one turn',
  'usage changes with the extents',
  // Space.
  'segments go after a root without them',
  'segments in use in memory stay',
  'segments wait for the grace period',
  'unnamed segments go with their uploader',
  // Bytes.
  'blocks are verified',
  'pages are verified',
  'commits are verified',
  // The local folder.
  'the local store syncs files before their names',
  'the local store syncs folders before it acknowledges',
] as const

export type Rule = (typeof RULES)[number]

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
