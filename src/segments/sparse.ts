// Which segments are worth rewriting, of file data and of pages alike. Pure.
//
// The policy: those under 40 % live always; beyond that, while all that is stored is more than 1.25 times what lives, the
// sparsest of those under 80 %. So what a volume takes stays below 1.3 times its live bytes, and no segment that is mostly
// alive is moved while there is little garbage (docs/decisions/0012).
//
// Must stay true: a segment that was just rewritten is never chosen: its live bytes are its whole.

const ALWAYS_BELOW = 0.4
/** What is used to this part is left alone. */
export const NEVER_SPARSE_FROM = 0.8
const STORED_TO_LIVE_MAX = 1.25

export interface SegmentUse {
  id: number
  liveBytes: number
  /** What it held when it was written, counted as `liveBytes` is. */
  totalBytes: number
}

/** Those to rewrite, sparsest first, until they hold `budgetBytes` of live bytes; one at least. Segments without live
 *  bytes are left out: they go by themselves. */
export function chooseSparse(uses: Iterable<SegmentUse>, budgetBytes: number): SegmentUse[] {
  const living = [...uses].filter(({ liveBytes }) => liveBytes > 0)
  let stored = 0
  let live = 0
  for (const use of living) {
    stored += Math.max(use.totalBytes, use.liveBytes)
    live += use.liveBytes
  }
  const ratio = (use: SegmentUse) => use.liveBytes / use.totalBytes
  const chosen: SegmentUse[] = []
  let budget = budgetBytes
  for (const use of living.filter((each) => ratio(each) < NEVER_SPARSE_FROM).sort((a, b) => ratio(a) - ratio(b))) {
    if (ratio(use) >= ALWAYS_BELOW && stored <= STORED_TO_LIVE_MAX * live) break
    if (chosen.length > 0 && use.liveBytes > budget) break
    chosen.push(use)
    budget -= use.liveBytes
    stored -= use.totalBytes - use.liveBytes
  }
  return chosen
}
