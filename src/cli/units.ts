// Sizes and durations as people write them, in both directions.
//
// Must stay true: K, M, G and T are powers of 1024 everywhere (DESIGN section 8); a text that is not wholly understood is
// refused, never guessed.
import { UsageError } from './errors.ts'

const SIZE_FACTORS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }
const DURATION_FACTORS: Record<string, number> = { '': 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Bytes: `1048576`, `1024K`, `1M`, `1MiB`, `0.5G`. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:iB)?|B)?$/i.exec(text.trim())
  const bytes = match === null ? Number.NaN : Number(match[1]) * SIZE_FACTORS[(match[2] ?? '').toUpperCase()]!
  if (bytes > Number.MAX_SAFE_INTEGER) throw new UsageError(`'${text}' is too large: sizes end at 8191T`)
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`'${text}' is not a size: give bytes, or K, M, G, T as in 64M`)
  return bytes
}

/** Milliseconds. A bare number counts seconds, as ext4's commit= does; `500ms`, `30s`, `5m`, `1h` are understood. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(text.trim())
  const ms = match === null ? Number.NaN : Number(match[1]) * DURATION_FACTORS[match[2] ?? '']!
  if (!Number.isFinite(ms)) throw new UsageError(`'${text}' is not a time: give seconds, or ms, s, m, h as in 30s`)
  return ms
}

/** A whole number of at least `least`. */
export function parseCount(text: string, least: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!(value >= least)) throw new UsageError(`'${text}' is not a whole number of at least ${least}`)
  return value
}

/** `parse` for the value of an option: errors name the option. */
export function ofOption<T>(name: string, parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`--${name}: ${error.message}`)
      throw error
    }
  }
}

/** `0 B`, `12 KiB`, `1.5 GiB`: three digits at most before the unit. */
export function formatSize(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1000) return `${unit === 'B' || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${unit}`
    value /= 1024
  }
  return `${Number(value.toFixed(1))} TiB`
}

/** `3 s`, `2 min 5 s`, `4 h 10 min`, `3 d 2 h`: the two largest units. */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const
  const firstCounting = parts.findIndex(([count]) => count > 0)
  const first = firstCounting < 0 ? parts.length - 1 : firstCounting
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}
