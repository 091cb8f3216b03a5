// What a world is like, drawn from its seed before it begins.
//
// Must stay true: what was added later is drawn from a stream of its own, so that it does not change what older traits the
// seeds have.
import { type Random, seededRandom } from '../../src/platform/index.ts'
import { type FaultRates, NO_FAULTS } from './bucket.ts'

export interface Traits {
  /** Nothing ever fails, nobody is killed. */
  isCalm: boolean
  faults: FaultRates
  memoryBytes: number
  commitMs: number
  inlineBytesMax: number
  /** How long what nothing refers to is kept. */
  graceMs: number
  /** Mean pause between checkpoints and cleanings that somebody begins besides; null: nobody does. */
  upkeepMs: number | null
  /** Programs remove and overwrite a lot. */
  isChurning: boolean
  /** The kernel gives references back. */
  forgets: boolean
  /** Read-only mounts look on. */
  hasOnlookers: boolean
  /** Programs copy by copy_file_range, as this decides. */
  copies: Random | null
  /** Programs set extended attributes, as this decides. */
  xattrs: Random | null
  /** What a mount reads until it has read all may arrive damaged, once. */
  garbledAtMount: number
}

export function traitsOf(seed: number, random: Random): Traits {
  const { next } = { next: () => random.next() }
  const mood = next()
  const isCalm = next() < 0.1
  const rate = (most: number) => (mood < 0.3 ? 0 : next() * most)
  const faults: FaultRates = {
    before: rate(0.1),
    after: rate(0.1),
    silent: rate(0.01),
    conflict: rate(0.05),
    garbled: rate(next() < 0.3 ? 0.2 : 0.02),
    slow: rate(0.2),
    slowMs: next() < 0.5 ? 500 : 20_000,
    slowReads: 0,
  }
  const memoryBytes = next() < 0.4 ? 4 << 20 : 64 << 20
  const commitMs = next() < 0.5 ? 1000 : 5000
  const inlineBytesMax = next() < 0.5 ? 4096 : 1 << 20
  const graceMs = [0, 5_000, 3_600_000][Math.floor(next() * 3)] as number
  const copies = someWith(seed ^ 0x9a3e, 0.3)
  return {
    isCalm,
    faults,
    memoryBytes,
    commitMs,
    inlineBytesMax,
    graceMs,
    copies,
    xattrs: someWith(seed ^ 0x8a77, 0.2),
    ...laterTraits(seed, isCalm),
    ...(copies === null || isCalm ? {} : unrecorded(seed)),
  }
}

/** Sometimes copies stay unrecorded for long, while what they were made of dies and is deleted. */
function unrecorded(seed: number): Partial<Traits> {
  const more = seededRandom(seed ^ 0xc0b1)
  return more.next() < 0.3 ? { ...hurried(more), commitMs: 20_000 } : {}
}

/** Of a stream of its own, which goes on through what it decides: worlds without that stay as they are. */
function someWith(seed: number, share: number): Random | null {
  const random = seededRandom(seed)
  return random.next() < share ? random : null
}

type Later = Pick<Traits, 'upkeepMs' | 'isChurning' | 'hasOnlookers' | 'garbledAtMount' | 'forgets'>

function laterTraits(seed: number, isCalm: boolean): Later & Partial<Traits> {
  const more = seededRandom(seed ^ 0x7ea175)
  const upkeepMs = more.next() < 0.6 ? 200 + more.next() ** 2 * 15_000 : null
  const isChurning = more.next() < 0.5
  const hasOnlookers = more.next() < 0.4
  const garbledAtMount = more.next() < 0.5 ? 0.3 : 0
  const forgets = more.next() < 0.7
  const traits: Later & Partial<Traits> = { upkeepMs, isChurning, hasOnlookers, garbledAtMount, forgets }
  // Answers may be slow where nothing fails.
  if (isCalm && more.next() < 0.6) traits.faults = { ...NO_FAULTS, slow: 0.3, slowMs: more.next() < 0.5 ? 500 : 5_000 }
  else if (isCalm) traits.faults = NO_FAULTS
  if (hasOnlookers) traits.graceMs = more.next() < 0.5 ? 15_000 : 60_000
  if (more.next() < 0.2) traits.memoryBytes = 1 << 20
  if (more.next() < 0.2 && !isCalm) Object.assign(traits, hurried(more))
  return traits
}

/** What is dropped is deleted soon, while slow reads are under way and little stays in memory. */
function hurried(more: Random): Partial<Traits> {
  return {
    memoryBytes: 128 << 10,
    inlineBytesMax: 4096,
    graceMs: 0,
    upkeepMs: 100 + more.next() * 900,
    isChurning: true,
    hasOnlookers: false,
    faults: { ...NO_FAULTS, slow: 0.02, slowReads: 0.4, slowMs: 20_000, before: more.next() * 0.1 },
  }
}
