// What lies in the disk cache, as far as this mount knows: runs by segment, and in the order of their use. In memory alone;
// what other mounts add or take away is seen at the next look into the folders.
//
// Must stay true: `bytes` is the sum of the files' bytes of all entries.
import { fileBytesOf, fileNameOf, type Run, shardOf } from './disk-cache-files.ts'
import type { SegmentId } from './segment-store.ts'

/** A file. */
export interface Entry {
  readonly run: Run
  /** From the cache's folder. */
  readonly path: string
  readonly fileBytes: number
  /** When it was used last (ms since 1970), and as what the file's time says it. */
  usedMs: number
  markedMs: number
}

/** Which bytes of which file are wanted. */
export interface Part {
  entry: Entry
  from: number
  to: number
}

export class DiskCacheIndex {
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>()
  readonly #bySegment = new Map<SegmentId, Entry[]>()
  bytes = 0

  get count(): number {
    return this.#entries.size
  }

  has(path: string): boolean {
    return this.#entries.has(path)
  }

  /** A file that is there. Replaces what is known of it. */
  add(run: Run, usedMs: number): Entry {
    const entry: Entry = {
      run,
      path: `${shardOf(run.id)}/${fileNameOf(run)}`,
      fileBytes: fileBytesOf(run),
      usedMs,
      markedMs: usedMs,
    }
    const old = this.#entries.get(entry.path)
    if (old !== undefined) this.remove(old)
    this.#entries.set(entry.path, entry)
    this.bytes += entry.fileBytes
    const others = this.#bySegment.get(run.id)
    if (others === undefined) this.#bySegment.set(run.id, [entry])
    else others.push(entry)
    return entry
  }

  remove(entry: Entry): void {
    if (this.#entries.get(entry.path) !== entry) return
    this.#entries.delete(entry.path)
    this.bytes -= entry.fileBytes
    const left = this.#bySegment.get(entry.run.id)!.filter((each) => each !== entry)
    if (left.length === 0) this.#bySegment.delete(entry.run.id)
    else this.#bySegment.set(entry.run.id, left)
  }

  use(entry: Entry, nowMs: number): void {
    if (this.#entries.get(entry.path) !== entry) return
    entry.usedMs = nowMs
    this.#entries.delete(entry.path)
    this.#entries.set(entry.path, entry)
  }

  of(segment: SegmentId): readonly Entry[] {
    return this.#bySegment.get(segment) ?? []
  }

  all(): Entry[] {
    return [...this.#entries.values()]
  }

  oldest(): Entry | undefined {
    return this.#entries.values().next().value
  }

  /** Puts them in the order of their use, after files were found whose use lies in the past. */
  sort(): void {
    const sorted = [...this.#entries.values()].sort((a, b) => a.usedMs - b.usedMs)
    this.#entries.clear()
    for (const entry of sorted) this.#entries.set(entry.path, entry)
  }

  /** Where bytes [from, to) of a segment lie, cut short where the segment ends; null when some are not there. */
  cover(segment: SegmentId, from: number, to: number): Part[] | null {
    const entries = this.of(segment)
    const parts: Part[] = []
    for (let at = from; at < to; ) {
      let best: Entry | undefined
      for (const entry of entries) {
        const { start, end } = entry.run
        if (start <= at && at < end && (best === undefined || end > best.run.end)) best = entry
      }
      if (best === undefined) return null
      const end = Math.min(to, best.run.end)
      parts.push({ entry: best, from: at, to: end })
      at = end
      if (best.run.isEnd && end === best.run.end) break
    }
    return parts
  }
}
