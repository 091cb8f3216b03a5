// The reaper: drops orphans (inodes without a name) once nobody uses them, in the background, a bounded piece of work a
// turn. What it has not done when the filesystem stops stays in the table ORPHANS for the next writing mount.
//
// Must stay true: an orphan that is open or referenced is left alone.
import { orphanInos, reapTurn } from '../meta/index.ts'
import { isPromise } from '../platform/index.ts'
import type { Context } from './context.ts'
import { applyWith } from './quota.ts'

/** Orphans looked at in one turn. */
const INOS_PER_TURN = 256

export class Reaper {
  readonly #context: () => Context
  /** Inodes in ORPHANS, as far as this mount made them. */
  readonly #orphans = new Set<number>()
  #due = new Set<number>()
  #working: Promise<void> | null = null
  #stopped = false

  constructor(context: () => Context) {
    this.#context = context
  }

  isOrphan(ino: number): boolean {
    return this.#orphans.has(ino)
  }

  /** Called in the turn in which a file lost its last name. */
  orphaned(ino: number): void {
    this.#orphans.add(ino)
    this.unused(ino)
  }

  /** Called in the turn in which it gets a name. */
  named(ino: number): void {
    this.#orphans.delete(ino)
    this.#due.delete(ino)
  }

  /** Called when a handle or the last reference of an inode went. */
  unused(ino: number): void {
    if (!this.#orphans.has(ino)) return
    const { handles, metadata } = this.#context()
    if (handles.isOpen(ino) || metadata.places.isReferenced(ino)) return
    this.#due.add(ino)
    this.#begin()
  }

  #begin(): void {
    if (this.#working !== null || this.#stopped) return
    this.#working = this.#work().then((more) => {
      this.#working = null
      if (more && this.#due.size > 0) this.#begin()
    })
  }

  /** Resolves to whether it may go on when there is more. */
  async #work(): Promise<boolean> {
    const { clock, database, log, metadata, streams, writeback } = this.#context()
    await clock.yield()
    try {
      while (this.#due.size > 0 && !this.#stopped && writeback.failure === null) {
        const inos: number[] = []
        for (const ino of this.#due) {
          inos.push(ino)
          if (inos.length === INOS_PER_TURN) break
        }
        for (const ino of inos) streams.drop(ino)
        const left = database.run(() => this.#reapTurn(inos))
        const stay = new Set(isPromise(left) ? await left : left)
        for (const ino of inos) {
          if (stay.has(ino)) continue
          this.#due.delete(ino)
          this.#orphans.delete(ino)
          metadata.places.drop(ino)
        }
        writeback.changed()
        await clock.yield()
      }
      return !this.#stopped && writeback.failure === null
    } catch (error) {
      log('error', `orphans are not dropped (a later commit, or the next mount, will): ${(error as Error).message}`)
      return false
    }
  }

  /** Returns those not yet gone. */
  #reapTurn(inos: readonly number[]): number[] {
    const context = this.#context()
    const { database, quotas } = context
    const use = quotas.changes()
    return reapTurn(database, inos, {
      gone: (inode) => use !== null && quotas.gone(use, inode, quotas.ledger.effective(inode.realm)),
      apply: (transaction) => applyWith(context, transaction, use),
    })
  }

  /** A round of write-back succeeded: goes on with what a failure had stopped. */
  goOn(): void {
    if (this.#due.size > 0) this.#begin()
  }

  /** Finds what earlier mounts left, and drops it in the background. */
  async emptyOrphans(): Promise<void> {
    const { database } = this.#context()
    for (let from = 0; ; ) {
      const inos = await database.run(() => orphanInos(database, from, 1000))
      for (const ino of inos) this.orphaned(ino)
      const last = inos.at(-1)
      if (last === undefined) return
      from = last + 1
    }
  }

  /** At unmount nobody refers to anything any more: drops all orphans. */
  async reapAll(): Promise<void> {
    await this.idle()
    for (const ino of this.#orphans) this.#due.add(ino)
    if (this.#due.size > 0) this.#begin()
    await this.idle()
  }

  /** Waits until nothing is left that can be dropped. */
  async idle(): Promise<void> {
    while (this.#working !== null) await this.#working
  }

  stop(): void {
    this.#stopped = true
  }
}
