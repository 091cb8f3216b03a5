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

export function judgeRounds(rounds: readonly Measurement[]): Verdict {
  if (rounds.length === 0) return { kind: 'nothing' }
  if (rounds.some(({ outcome }) => outcome === 'failed')) return { kind: 'failed' }
  if (rounds.some(({ outcome }) => outcome === 'over limit')) return { kind: 'over limit' }
  return { kind: 'measured', seconds: summarize(rounds.map(({ seconds }) => seconds)), rounds: [...rounds] }
}
