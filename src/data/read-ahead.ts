// Read-ahead of one open file: tells from the requests alone what to fetch next. Pure.
//
// Sequential: two requests in order (the kernel may swap two). Then a request up to 1 MiB behind or 16 MiB ahead of the
// furthest one still belongs to the stream; any other begins anew. The window begins at 1 MiB and doubles each time more
// is asked for, which is when less than half of it is left.
//
// Must stay true: nothing is asked for twice while the stream lasts, and never more than the window ahead.

const FIRST_WINDOW_BYTES = 1024 * 1024
const BACK_BYTES = 1024 * 1024
const FORWARD_BYTES = 16 * 1024 * 1024

export interface Prefetch {
  prefetchFrom: number
  prefetchLength: number
}

export interface ReadAheadOptions {
  /** Largest window. 0 turns read-ahead off. */
  maxReadAheadBytes: number
}

export interface ReadAhead {
  /** A request for `length` bytes at `offset` arrived. What to fetch now, if anything; it may reach past the file's end. */
  onRead(offset: number, length: number): Prefetch | null
}

export function createReadAhead(options: ReadAheadOptions): ReadAhead {
  const { maxReadAheadBytes } = options
  /** The last request, until a stream is seen. */
  let lastStart = -1
  let lastEnd = -1
  let sequential = false
  /** How far requests, and what was asked for, have come. */
  let position = 0
  let askedTo = 0
  let window = FIRST_WINDOW_BYTES

  const begin = (offset: number, end: number): null => {
    sequential = false
    lastStart = offset
    lastEnd = end
    return null
  }

  return {
    onRead(offset, length) {
      const end = offset + length
      if (!sequential) {
        if (offset !== lastEnd && end !== lastStart) return begin(offset, end)
        sequential = true
        position = Math.max(end, lastEnd)
        askedTo = position
        window = FIRST_WINDOW_BYTES
      } else {
        if (offset < position - BACK_BYTES || offset > position + FORWARD_BYTES) return begin(offset, end)
        position = Math.max(position, end)
      }
      const size = Math.min(window, maxReadAheadBytes)
      const prefetchFrom = Math.max(askedTo, position)
      const to = position + size
      if (to <= prefetchFrom || prefetchFrom - position >= size / 2) return null
      askedTo = to
      window = Math.min(window * 2, Math.max(FIRST_WINDOW_BYTES, maxReadAheadBytes))
      return { prefetchFrom, prefetchLength: to - prefetchFrom }
    },
  }
}
