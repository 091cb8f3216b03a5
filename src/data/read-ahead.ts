// Read-ahead of one open file: tells from its reads alone what to fetch next, and what is not wanted any more. Pure.
//
// Reads that follow each other are a *run*: two in order begin one (the kernel may swap two), and then a read up to 1 MiB
// behind or 16 MiB ahead of the furthest one still belongs to it. A file may have several at once: several threads, or the
// parts of an archive. The window is how far ahead of its reader a run is fetched: a segment at first, for with any part of
// it all of it comes. It grows by the fourfold each time the reader has to wait for what was asked for, and halves when that
// was not wanted; but it is never more than twice what was read in order so far: whoever reads the head of a file, and for
// whom the kernel reads on, costs two segments. More is asked for as soon as there is room for another segment (half a
// window, where that is less): with half of a large window empty, half of the requests would not be under way.
//
// All who read at the same time share what there is room for (ReadAheadRoom): what pushes out what others have not read yet
// is fetched twice.
//
// Must stay true:
// - Nothing is asked for twice while its run lasts, but for what could not be begun or was lost again; never more than the
//   window ahead; of many runs each no more than its share, or 1 MiB.
// - Reads in no order ask for nothing.

const SEGMENT_BYTES = 8 * 1024 * 1024
const FIRST_WINDOW_BYTES = SEGMENT_BYTES
const GROWTH = 4
/** So many times what was read. */
const TRUST = 2
/** However many read. */
const LEAST_WINDOW_BYTES = 1024 * 1024
const BACK_BYTES = 1024 * 1024
const FORWARD_BYTES = 16 * 1024 * 1024
/** A gap that the kernel's own reordering does not make: what it leaves out is not wanted. */
const SKIPPED_BYTES = 4 * 1024 * 1024
/** Runs, and single reads that might begin one. */
const RUNS_MAX = 8
/** A run that was not among so many reads of all files is not being read at the moment. */
const LATELY_READS = 512

/** How well it does, over all files that share them. */
export interface ReadAheadCounters {
  /** Reads of a run that found all there. */
  hits: number
  /** Those that had to wait. */
  waits: number
  askedBytes: number
  /** Asked for and passed by, or left behind at the end. */
  wastedBytes: number
}

export interface ReadAheadOptions {
  /** Largest window. 0 turns read-ahead off. */
  maxReadAheadBytes: number
  counters?: ReadAheadCounters
  /** Shared by all that are read at the same time; without one there is room for all. */
  room?: ReadAheadRoom
}

/** What there is room for ahead of all readers together, divided among those who read at the moment. */
export class ReadAheadRoom {
  readonly #roomBytes: () => number
  /** When each was read last, in reads; the latest is at the end. */
  readonly #runs = new Map<object, number>()
  #reads = 0

  /** `roomBytes`: how much fits, asked at each read. */
  constructor(roomBytes: () => number) {
    this.#roomBytes = roomBytes
  }

  /** A run is read. How far ahead of it may be fetched: of its share a segment is taken up by what it reads just now. */
  windowBytes(run: object): number {
    this.#runs.delete(run)
    this.#runs.set(run, ++this.#reads)
    for (const [longest, lastRead] of this.#runs) {
      if (this.#reads - lastRead < LATELY_READS) break
      this.#runs.delete(longest)
    }
    return Math.max(LEAST_WINDOW_BYTES, Math.floor(this.#roomBytes() / this.#runs.size) - SEGMENT_BYTES)
  }

  /** It is over. */
  leave(run: object): void {
    this.#runs.delete(run)
  }
}

/** [from, to) of a file. */
export interface Span {
  from: number
  to: number
}

/** Of one run, by a number of its own. */
export interface RunSpan extends Span {
  run: number
}

export interface Advice {
  /** What to begin to fetch; it may reach past the file's end. */
  fetch: RunSpan | null
  /** What was asked for by runs that are over: most of it is there already, what is not may be given up. */
  giveUp: readonly RunSpan[]
}

export interface ReadAhead {
  /** Whether a read would go on with others before it. */
  follows(offset: number, lengthBytes: number): boolean
  /** `lengthBytes` at `offset` are read. `waits`: not all of it is there. */
  onRead(offset: number, lengthBytes: number, waits: boolean): Advice
  /** Whether somebody may still read on in a run. */
  isOn(run: number): boolean
  /** Of what a run asked for last, nothing from here on was begun. */
  refused(run: number, from: number): void
  /** Nobody reads any more. Returns what is not wanted. */
  end(): RunSpan[]
}

interface Run {
  readonly id: number
  /** Where it began, or went on after it had left something out. */
  start: number
  /** How far reads have come. */
  position: number
  /** How far was asked for: never less than `position`. */
  askedTo: number
  /** As large as waiting made it. */
  windowBytes: number
  isSequential: boolean
}

const NOTHING: Advice = { fetch: null, giveUp: [] }

export function createReadAhead(options: ReadAheadOptions): ReadAhead {
  const { maxReadAheadBytes, counters = newCounters(), room = null } = options
  /** The one read last is at the end. */
  const runs: Run[] = []
  let lastId = 0
  const firstWindowBytes = Math.min(FIRST_WINDOW_BYTES, maxReadAheadBytes)

  const giveUp = (run: Run): RunSpan[] => {
    room?.leave(run)
    if (run.askedTo <= run.position) return []
    counters.wastedBytes += run.askedTo - run.position
    return [{ run: run.id, from: run.position, to: run.askedTo }]
  }

  const begin = (offset: number, end: number): Advice => {
    const at = { start: offset, position: end, askedTo: end }
    runs.push({ id: ++lastId, ...at, windowBytes: firstWindowBytes, isSequential: false })
    if (runs.length <= RUNS_MAX) return NOTHING
    return { fetch: null, giveUp: giveUp(runs.shift()!) }
  }

  /** A read takes a run further. */
  const advance = (run: Run, offset: number, end: number, waits: boolean): void => {
    if (!run.isSequential) {
      run.isSequential = true
      run.askedTo = run.position = Math.max(run.position, end)
      return
    }
    if (waits) {
      counters.waits += 1
      // It is the first that lies ahead of what was read: what waits behind it waits for the same.
      if (end > run.position)
        run.windowBytes = Math.min(run.windowBytes * GROWTH, Math.max(firstWindowBytes, maxReadAheadBytes))
    } else counters.hits += 1
    if (offset > run.position + SKIPPED_BYTES) {
      counters.wastedBytes += Math.max(0, Math.min(run.askedTo, offset) - run.position)
      run.windowBytes = Math.max(firstWindowBytes, run.windowBytes / 2)
      run.start = offset
    }
    run.position = Math.max(run.position, end)
    run.askedTo = Math.max(run.askedTo, run.position)
  }

  return {
    follows: (offset, lengthBytes) => findRun(runs, offset, offset + lengthBytes) >= 0,

    onRead(offset, lengthBytes, waits) {
      const end = offset + lengthBytes
      const index = findRun(runs, offset, end)
      if (index < 0) return begin(offset, end)
      const [run] = runs.splice(index, 1) as [Run]
      runs.push(run)
      advance(run, offset, end, waits)
      const { start, position, askedTo } = run
      const trustedBytes = Math.max(firstWindowBytes, TRUST * (position - start))
      const roomBytes = room?.windowBytes(run) ?? Number.POSITIVE_INFINITY
      const windowBytes = Math.min(run.windowBytes, trustedBytes, roomBytes)
      const enoughBytes = Math.max(windowBytes / 2, windowBytes - SEGMENT_BYTES)
      if (maxReadAheadBytes === 0 || askedTo - position >= enoughBytes) return NOTHING
      run.askedTo = position + windowBytes
      counters.askedBytes += run.askedTo - askedTo
      return { fetch: { run: run.id, from: askedTo, to: run.askedTo }, giveUp: [] }
    },

    isOn: (run) => runs.some(({ id }) => id === run),

    refused(id, from) {
      const run = runs.find((each) => each.id === id)
      if (run === undefined || from >= run.askedTo) return
      const refusedBytes = run.askedTo - Math.max(from, run.position)
      run.askedTo -= refusedBytes
      counters.askedBytes -= refusedBytes
    },

    end: () => runs.splice(0).flatMap(giveUp),
  }
}

export function newCounters(): ReadAheadCounters {
  return { hits: 0, waits: 0, askedBytes: 0, wastedBytes: 0 }
}

/** The run that a read belongs to; the latest one, where there are several. -1: none. */
function findRun(runs: readonly Run[], offset: number, end: number): number {
  return runs.findLastIndex(({ isSequential, start, position }) =>
    isSequential
      ? offset >= position - BACK_BYTES && offset <= position + FORWARD_BYTES
      : offset === position || end === start,
  )
}
