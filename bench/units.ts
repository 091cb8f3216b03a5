// Numbers as people read them.

/** Three digits, or nearly: 52.1 s, 1.23 s, 0.630 s, 5.30 ms, 41.0 us. */
export function formatSeconds(seconds: number): string {
  if (seconds >= 0.0995) return `${digits(seconds)} s`
  return seconds >= 0.000_999_5 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds * 1e6)} us`
}

/** Both ends in the unit of the greater: 0.51-0.55. */
export function formatSpread(least: number, most: number): string {
  const [text, unit] = formatSeconds(most).split(' ') as [string, string]
  const scale = { s: 1, ms: 1e3, us: 1e6 }[unit]!
  return `${digits(least * scale)}-${text}`
}

function digits(number: number): string {
  if (number >= 99.95) return String(Math.round(number))
  if (number >= 9.995) return number.toFixed(1)
  return number.toFixed(number >= 0.9995 ? 2 : 3)
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}
