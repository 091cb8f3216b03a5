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

/** What is needed to judge a measurement, of whichever benchmark. */
export type Judged = Pick<Measurement, 'outcome' | 'seconds'>

/** What all rounds of one system, work, size and latency say together. */
export type Verdict<M extends Judged = Measurement> =
  | { kind: 'measured'; seconds: Summary; rounds: M[] }
  /** One round or more took longer than the limit. */
  | { kind: 'over limit' }
  | { kind: 'failed' }
  | { kind: 'nothing' }

/** A verdict on something that was measured. */
export type Measured<M extends Judged = Measurement> = Extract<Verdict<M>, { kind: 'measured' }>

export function judgeRounds<M extends Judged>(rounds: readonly M[]): Verdict<M> {
  if (rounds.length === 0) return { kind: 'nothing' }
  if (rounds.some(({ outcome }) => outcome === 'failed')) return { kind: 'failed' }
  if (rounds.some(({ outcome }) => outcome === 'over limit')) return { kind: 'over limit' }
  return { kind: 'measured', seconds: summarize(rounds.map(({ seconds }) => seconds)), rounds: [...rounds] }
}

/** Which measurements: what is left out may be any. */
export type Query = Partial<Pick<Measurement, 'system' | 'workload' | 'temperature' | 'entries' | 'latencyMs'>>

export function select<M extends object>(measurements: readonly M[], query: NoInfer<Partial<M>>): M[] {
  const wanted = Object.entries(query) as [keyof M, unknown][]
  return measurements.filter((each) => wanted.every(([key, value]) => each[key] === value))
}

/** The verdict, if it was measured. */
export function measuredOf<M extends Judged>(
  measurements: readonly M[],
  query: NoInfer<Partial<M>>,
): Measured<M> | null {
  const verdict = judgeRounds(select(measurements, query))
  return verdict.kind === 'measured' ? verdict : null
}
