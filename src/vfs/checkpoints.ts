// Checkpoints as the filesystem sees them: what the tables ask for during one, and when to begin one.
//
// Must stay true: a checkpoint closes the open commit, so no rename over a name may be in it whose data is not; the
// turn in which it does so follows directly on `sealRenames`.
import { deriveDirectoryCopies, repoint } from '../meta/index.ts'
import type { Timer } from '../platform/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { CheckpointHooks } from '../tables/index.ts'
import type { Context } from './context.ts'

/** How often it is looked whether one is due, while there is something to write. */
const LOOK_INTERVAL_MS = 5_000

export class Checkpoints {
  readonly #context: () => Context
  readonly #onWritten: () => void
  #underWay: Promise<void> | null = null
  #timer: Timer | null = null
  #stopped = false
  /** Segments of moves that may be unused, as deleting them failed. */
  readonly #taken = new Set<SegmentId>()

  /** `onWritten` is called after each that succeeded. */
  constructor(context: () => Context, onWritten: () => void) {
    this.#context = context
    this.#onWritten = onWritten
  }

  /** What the database calls during a checkpoint. */
  readonly hooks: CheckpointHooks = {
    repoint: async (data) => {
      const { clock, log, metadata, segments, streams, writeback } = this.#context()
      const { takeSegmentId } = streams
      const yieldTurn = () => clock.yield()
      await repoint(data, { metadata, segments, takeSegmentId, yieldTurn, log, taken: this.#taken })
      const unseal = await writeback.sealRenames()
      // The database goes on, and closes the commit, before anything but settled promises runs.
      void clock.yield().then(unseal)
    },
    derive: deriveDirectoryCopies,
  }

  /** Writes one; joins one under way. */
  now(): Promise<void> {
    this.#underWay ??= this.#write().finally(() => {
      this.#underWay = null
      this.#lookLater()
    })
    return this.#underWay
  }

  async #write(): Promise<void> {
    const { database, writeback } = this.#context()
    const unseal = await writeback.sealRenames()
    let written: Promise<void>
    try {
      // Either closes the open commit in this turn, or calls `repoint`.
      written = database.checkpoint(this.hooks)
    } finally {
      unseal()
    }
    await written
    this.#onWritten()
  }

  /** Begins one in the background if it is due; else looks again later, while anything is unwritten. */
  consider(): void {
    const { database, log } = this.#context()
    if (this.#stopped || this.#underWay !== null) return
    if (database.checkpointDue) {
      this.now().catch((error: Error) => log('error', `checkpoint failed (the next one tries again): ${error.message}`))
      return
    }
    this.#lookLater()
  }

  #lookLater(): void {
    const { clock, database } = this.#context()
    const { changeBytes, failure } = database.status
    if (this.#stopped || this.#timer !== null || changeBytes === 0 || failure !== null) return
    this.#timer = clock.after(LOOK_INTERVAL_MS, () => {
      this.#timer = null
      this.consider()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
  }
}
