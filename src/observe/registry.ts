// Numbers that say what the filesystem does: counters, gauges and histograms, as plain objects.
//
// Must stay true: adding to one costs an addition (hot paths hold the object, not its name); a name stands for one thing
// for the life of the process; a snapshot is plain data that JSON can carry (`.stats`, `status`, later an exporter).

export interface Counter {
  value: number
}

export interface Gauge {
  value: number
}

/** Counts of values by upper bound (inclusive); the last count is of everything above the last bound. */
export interface Histogram {
  readonly bounds: readonly number[]
  readonly counts: number[]
  sum: number
  count: number
}

export interface RegistrySnapshot {
  counters: Record<string, number>
  gauges: Record<string, number>
  histograms: Record<string, { bounds: number[]; counts: number[]; sum: number; count: number }>
}

/** Bounds for latencies in milliseconds: from a cached answer to a request that nearly failed. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536,
]

export class Registry {
  readonly #counters = new Map<string, Counter>()
  readonly #gauges = new Map<string, Gauge>()
  readonly #histograms = new Map<string, Histogram>()

  /** The counter of this name, made at the first call. */
  counter(name: string): Counter {
    return getOrMake(this.#counters, name, () => ({ value: 0 }))
  }

  gauge(name: string): Gauge {
    return getOrMake(this.#gauges, name, () => ({ value: 0 }))
  }

  histogram(name: string, bounds: readonly number[] = LATENCY_BOUNDS_MS): Histogram {
    return getOrMake(this.#histograms, name, () => ({
      bounds,
      counts: new Array<number>(bounds.length + 1).fill(0),
      sum: 0,
      count: 0,
    }))
  }

  snapshot(): RegistrySnapshot {
    const values = (from: ReadonlyMap<string, Counter>) =>
      Object.fromEntries([...from].map(([name, { value }]) => [name, value]))
    return {
      counters: values(this.#counters),
      gauges: values(this.#gauges),
      histograms: Object.fromEntries(
        [...this.#histograms].map(([name, { bounds, counts, sum, count }]) => [
          name,
          { bounds: [...bounds], counts: [...counts], sum, count },
        ]),
      ),
    }
  }
}

/** Adds one value to a histogram. */
export function observe(histogram: Histogram, value: number): void {
  let i = 0
  while (i < histogram.bounds.length && value > histogram.bounds[i]!) i++
  histogram.counts[i]!++
  histogram.sum += value
  histogram.count++
}

/** The bound below which the share `q` (0 to 1) of a histogram's values lies; 0 when it is empty. */
export function quantile(histogram: Pick<Histogram, 'bounds' | 'counts' | 'count'>, q: number): number {
  let left = q * histogram.count
  for (const [i, count] of histogram.counts.entries()) {
    left -= count
    if (left <= 0 && count > 0) return histogram.bounds[i] ?? Number.POSITIVE_INFINITY
  }
  return 0
}

function getOrMake<T>(map: Map<string, T>, name: string, make: () => T): T {
  let found = map.get(name)
  if (found === undefined) {
    found = make()
    map.set(name, found)
  }
  return found
}
