// What a scan will want next is fetched before it gets there: the stored bytes of the leaves behind the one it reads, so
// many that a slow store has time to answer, and a few of them decoded while whoever reads is busy with what he has.
//
// Must stay true:
// - At most `pagesAheadBytes` are fetched ahead of a scan, whatever the table's size: they must not push each other out.
// - What is asked for ahead goes in few requests, none of which a scan waits for longer than for the leaf alone.
// - Nothing here fails: a page that cannot be had is met again, and reported, by the scan.
import type { Clock } from '../platform/index.ts'
import type { PagePointer, SegmentId, SegmentStore } from '../segments/index.ts'
import type { Page } from './page.ts'
import type { PageCache } from './page-cache.ts'

/** Leaves that are decoded ahead of a scan. */
const DECODED_AHEAD = 3
/** Of what lies between two leaves in a segment, so much is fetched with them rather than in a request more. */
const GAP_MAX_BYTES = 1 << 20

type TableName = { kind: number; owner: number }

/** An inner page, and one of its children. */
export interface Step {
  page: Page
  index: number
}

/** How far the children of an inner page have been asked for. */
interface Progress {
  /** First child that is not. */
  to: number
  /** From this child on, the scan asks for more. */
  askAt: number
  /** Children that were asked for ahead, and that no scan has come to. */
  unused: Set<number>
  /** The next inner page has been asked for. */
  isNextAsked: boolean
}

interface Span {
  segment: SegmentId
  start: number
  end: number
  /** Which children it holds. */
  children: number[]
}

export class ScanAhead {
  readonly #cache: PageCache
  readonly #segments: SegmentStore
  readonly #clock: Clock
  readonly #progress = new WeakMap<Page, Progress>()
  /** Which leaves are to be decoded. */
  #wanted: { table: TableName; page: Page; next: number; end: number } | null = null
  #isDecoding = false

  constructor(cache: PageCache, segments: SegmentStore, clock: Clock) {
    this.#cache = cache
    this.#segments = segments
    this.#clock = clock
  }

  /** A scan reads the leaf that is the child of `at`, and goes on behind it. `above`: where the inner page itself stands, if
   *  there is one above it. `isMissing`: the leaf has to be fetched. */
  reached(table: TableName, at: Step, above: Step | null, isMissing: boolean): void {
    const { page, index } = at
    let progress = this.#progress.get(page)
    if (progress === undefined) {
      progress = begun(index)
      this.#progress.set(page, progress)
    } else if (isMissing || index + 1 > progress.to) {
      // Fetched too early, or another scan: asking again for what is here or on its way costs no request.
      progress.to = index + 1
      progress.askAt = index
      progress.isNextAsked = false
    }
    if (progress.unused.delete(index)) this.#cache.counters.prefetchedUsed++
    if (index >= progress.askAt) this.#ask(table, at, progress, above)
    this.#decodeSoon(table, page, index + 1)
  }

  /** Asks for children behind `index`, until enough is ahead. */
  #ask(table: TableName, { page, index }: Step, progress: Progress, above: Step | null): void {
    const wantedBytes = this.#segments.pagesAheadBytes
    let aheadBytes = 0
    for (let child = index + 1; child < progress.to; child++) aheadBytes += page.storedBytes(child)
    const spans: Span[] = []
    let to = progress.to
    for (; to < page.count && aheadBytes < wantedBytes; to++) {
      const pointer = page.pointer(to)
      if (this.#cache.get(pointer, true) === undefined) extend(spans, pointer, to)
      aheadBytes += pointer.storedBytes
    }
    const refused = spans.find((span) => !this.#segments.prefetchPages(span))
    if (refused !== undefined) to = refused.children[0]!
    for (const { children } of spans) for (const child of children) if (child < to) this.#countAhead(progress, child)
    progress.to = to
    progress.askAt = index + Math.max(1, Math.floor((to - index) / 2))
    if (progress.to === page.count && above !== null) this.#askNext(table, above, progress)
  }

  #countAhead(progress: Progress, child: number): void {
    if (progress.unused.has(child)) return
    progress.unused.add(child)
    this.#cache.counters.prefetched++
  }

  /** The scan will go on below the next inner page. */
  #askNext(table: TableName, { page, index }: Step, progress: Progress): void {
    if (progress.isNextAsked || index + 1 >= page.count) return
    progress.isNextAsked = true
    this.#cache.load(page.pointer(index + 1), table).then(
      (next) => {
        if (next.level === 0 || this.#progress.has(next)) return
        const first = begun(-1)
        this.#progress.set(next, first)
        this.#ask(table, { page: next, index: -1 }, first, null)
      },
      () => {
        // The scan meets the error when it comes there, and asks anew before.
        progress.isNextAsked = false
      },
    )
  }

  #decodeSoon(table: TableName, page: Page, from: number): void {
    this.#wanted = { table, page, next: from, end: Math.min(page.count, from + DECODED_AHEAD) }
    if (!this.#isDecoding) void this.#decodeInTurns()
  }

  /** One leaf a turn: whatever else is to be done comes between. */
  async #decodeInTurns(): Promise<void> {
    this.#isDecoding = true
    try {
      do await this.#clock.yield()
      while (this.#decodeOne())
    } finally {
      this.#isDecoding = false
    }
  }

  #decodeOne(): boolean {
    const wanted = this.#wanted!
    while (wanted.next < wanted.end) {
      const pointer = wanted.page.pointer(wanted.next++)
      if (this.#cache.get(pointer, true) !== undefined) continue
      // What has not arrived yet is decoded when the scan comes nearer.
      return this.#cache.decode(pointer, wanted.table, true) !== undefined
    }
    return false
  }
}

function begun(index: number): Progress {
  return { to: index + 1, askAt: index, unused: new Set(), isNextAsked: false }
}

/** Adds a page to the last span of its segment, when it lies behind and near. */
function extend(spans: Span[], { segment, offset, storedBytes }: PagePointer, child: number): void {
  const end = offset + storedBytes
  const last = spans.findLast((span) => span.segment === segment)
  if (last !== undefined && offset >= last.start && offset <= last.end + GAP_MAX_BYTES) {
    last.end = Math.max(last.end, end)
    last.children.push(child)
  } else {
    spans.push({ segment, start: offset, end, children: [child] })
  }
}
