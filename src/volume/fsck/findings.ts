// What a check has found, each with what mends it. Findings of one kind are bounded: what goes beyond is found again once
// the first were mended.

import type { Repair } from './repair.ts'
import type { Finding, FindingKind } from './report.ts'

/** In which order findings are mended: a later one may only be judged when the earlier ones are gone. */
export type Phase = 'counted-bytes' | 'tables' | 'records' | 'names' | 'counts'
export const PHASES: readonly Phase[] = ['counted-bytes', 'tables', 'records', 'names', 'counts']

/** Mends one thing, by transactions that look at what is there now. */
export type Fix = (repair: Repair) => Promise<void> | void

export interface Found {
  finding: Finding
  phase: Phase
  fix: Fix | null
}

const PER_KIND_MAX = 100_000

export interface Damage {
  message: string
  object?: string
  inode?: number
  /** Null: nothing can be done. */
  remedy: string | null
  phase?: Phase
  /** None where something else mends it (the tables' own mending). */
  fix?: Fix
}

export class Findings {
  readonly found: Found[] = []
  readonly #counts = new Map<FindingKind, number>()

  damage(kind: FindingKind, { message, object, inode, remedy, phase = 'records', fix }: Damage): void {
    this.#add({
      finding: { kind, severity: 'damage', ...about(object, inode), message, remedy, repaired: false },
      phase,
      fix: fix ?? null,
    })
  }

  notice(kind: FindingKind, message: string, { object, inode }: { object?: string; inode?: number } = {}): void {
    this.#add({
      finding: { kind, severity: 'notice', ...about(object, inode), message, remedy: null, repaired: false },
      phase: 'counts',
      fix: null,
    })
  }

  #add(found: Found): void {
    const { kind } = found.finding
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    if (count <= PER_KIND_MAX) this.found.push(found)
  }

  get damages(): Found[] {
    return this.found.filter(({ finding }) => finding.severity === 'damage')
  }
}

function about(object: string | undefined, inode: number | undefined): { object?: string; inode?: number } {
  return { ...(object === undefined ? {} : { object }), ...(inode === undefined ? {} : { inode }) }
}
