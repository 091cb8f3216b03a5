// Medians and spreads over rounds.
import type { Measurement } from './results.ts'

export interface Summary {
  median: number
  least: number
  most: number
}

/** Of at least one number. */
export function summarize(numbers: readonly number[]): Summary {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, least: sorted[0]!, most: sorted.at(-1)! }
}

/** What all rounds of one system, work, size and latency say together. */
export type Verdict =
  | { kind: 'measured'; seconds: Summary; rounds: Measurement[] }
  /** One round or more took longer than the limit. */
  | { kind: 'over limit' }
  | { kind: 'failed' }
  | { kind: 'nothing' }

/** A verdict on something that was measured. */
export type Measured = Extract<Verdict, { kind: 'measured' }>

export function judgeRounds(rounds: readonly Measurement[]): Verdict {
  if (rounds.length === 0) return { kind: 'nothing' }
  if (rounds.some(({ outcome }) => outcome === 'failed')) return { kind: 'failed' }
  if (rounds.some(({ outcome }) => outcome === 'over limit')) return { kind: 'over limit' }
  return { kind: 'measured', seconds: summarize(rounds.map(({ seconds }) => seconds)), rounds: [...rounds] }
}

/** Which measurements: what is left out may be any. */
export type Query = Partial<Pick<Measurement, 'system' | 'workload' | 'temperature' | 'entries' | 'latencyMs'>>

export function select(measurements: readonly Measurement[], query: Query): Measurement[] {
  const wanted = Object.entries(query) as [keyof Query, string | number][]
  return measurements.filter((each) => wanted.every(([key, value]) => each[key] === value))
}

/** The verdict, if it was measured. */
export function measuredOf(measurements: readonly Measurement[], query: Query): Measured | null {
  const verdict = judgeRounds(select(measurements, query))
  return verdict.kind === 'measured' ? verdict : null
}
