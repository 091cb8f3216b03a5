// What a world is asked to play, what it tells of it, and how it fails.

/** The command that plays a world alone. */
export const commandFor = ({ seed, disk }: WorldOptions) =>
  `CAIRNFS_SIM_SEED=${seed} npx vitest run --project unit test/simulation/${disk ? 'power' : 'simulation'}.test.ts`

export interface WorldOptions {
  seed: number
  /** The store is a folder on a simulated disk, whose power is cut (disk.ts), in place of a bucket. */
  disk?: boolean
  /** Prints what happens. */
  verbose?: boolean
  /** Called before each mount with what the store holds then, other mounts and late requests going on. */
  onMount?: (objects: ReadonlyMap<string, { body: Buffer }>) => Promise<void>
}

/** What a world went through, for the sums of a run. */
export interface WorldSummary {
  events: number
  operations: number
  acknowledged: number
  kills: number
  powerCuts: number
  takeOvers: number
  /** Looks of read-only mounts. */
  looks: number
  digest: string
}

export function emptySummary(): WorldSummary {
  return { events: 0, operations: 0, acknowledged: 0, kills: 0, powerCuts: 0, takeOvers: 0, looks: 0, digest: '' }
}

/** A promise was broken. */
export class Violation extends Error {
  override readonly name = 'Violation'
}
