// Cleaning of page segments: those without live bytes are deleted; pages that still live in sparse ones are written again
// by the next checkpoint, as if something near them had changed.
//
// Must stay true:
// - A page segment is deleted only after a root that counts no live byte in it is durable, the grace period has passed
//   since (on the monotonic clock), and no read under way wants it. Its entry leaves `root` after that, with the next
//   checkpoint; a crash between the two only has it deleted again.
// - Which pages are written again is bounded per checkpoint, and found by the segments' tables of contents.
import { type Clock, ruleHolds } from '../platform/index.ts'
import { chooseSparse, type PagePointer, type SegmentId, type SegmentStore } from '../segments/index.ts'
import { StoreError } from '../store/index.ts'
import type { DeletedPages, TableKind } from './database.ts'
import type { Engine } from './engine.ts'
import type { PageSegmentUse, Root } from './root.ts'
import type { TableState } from './table-state.ts'

/** Live bytes of sparse segments that one checkpoint writes again. */
const REWRITE_BYTES = 8 << 20
/** How many of them it looks into. */
const REWRITE_SEGMENTS = 64
const KEYS_PER_TURN = 64

/** A table, and keys whose paths from its root page are to be written again. */
export interface TouchedTable {
  kind: TableKind
  owner: number
  keys: number[]
}

export class PageCleaner {
  readonly #clock: Clock
  readonly #segments: SegmentStore
  readonly #log: (level: 'warn', message: string) => void
  /** Since when a durable root has counted nothing live in them (monotonic ms). */
  #deadSince = new Map<number, number>()
  /** Deleted, and still in the root in force. */
  readonly #deleted = new Set<number>()
  #chosen: ReadonlySet<number> = new Set()
  /** Their contents cannot be read: not looked into again. */
  readonly #unreadable = new Set<number>()

  constructor(options: { clock: Clock; segments: SegmentStore; log: (level: 'warn', message: string) => void }) {
    this.#clock = options.clock
    this.#segments = options.segments
    this.#log = options.log
  }

  /** A root is in force, and durable. */
  rootInForce(root: Root): void {
    const before = this.#deadSince
    this.#deadSince = new Map()
    for (const id of [...this.#deleted]) if (!root.pageSegments.has(id)) this.#deleted.delete(id)
    for (const [id, { liveBytes }] of root.pageSegments) {
      if (liveBytes > 0 || this.#deleted.has(id)) continue
      this.#deadSince.set(id, before.get(id) ?? this.#clock.monotonicMs())
    }
  }

  /** Takes what was deleted out of what the next root is to say. */
  dropDeleted(pageSegments: Map<number, PageSegmentUse>): void {
    for (const id of this.#deleted) pageSegments.delete(id)
  }

  /** Deletes what has been dead for `graceMs`. Rejects when the store fails: to be tried again. */
  async deleteDead(root: Root, graceMs: number): Promise<DeletedPages> {
    const nowMs = this.#clock.monotonicMs()
    const due: SegmentId[] = []
    let nextInMs: number | null = null
    for (const [id, sinceMs] of this.#deadSince) {
      const leftMs = ruleHolds('page segments wait for the grace period') ? sinceMs + graceMs - nowMs : 0
      if (leftMs <= 0 && !this.#segments.isBeingRead(id as SegmentId)) due.push(id as SegmentId)
      else nextInMs = Math.min(nextInMs ?? Number.POSITIVE_INFINITY, Math.max(leftMs, 0))
    }
    await this.#segments.delete(due)
    let bytes = 0
    for (const id of due) {
      bytes += root.pageSegments.get(id)?.totalBytes ?? 0
      this.#deadSince.delete(id)
      this.#deleted.add(id)
    }
    return { segments: due.length, bytes, waiting: this.#deadSince.size, nextInMs }
  }

  /** The checkpoint that was to write them again failed, maybe because of a damaged page there: they are left alone, so that
   *  the next one does not. */
  gaveUp(): void {
    for (const id of this.#chosen) this.#unreadable.add(id)
    this.#chosen = new Set()
  }

  /** What a checkpoint is to write again besides what has changed. */
  async findSparse(engine: Engine, root: Root): Promise<TouchedTable[]> {
    const uses = [...root.pageSegments].map(([id, use]) => ({ id, ...use }))
    const sparse = chooseSparse(
      uses.filter(({ id }) => !this.#unreadable.has(id)),
      REWRITE_BYTES,
    ).slice(0, REWRITE_SEGMENTS)
    const ids = new Set(sparse.map(({ id }) => id))
    this.#chosen = ids
    const touched = new Map<string, TouchedTable>()
    for (const id of ids) {
      for (const { tableKind, owner, key } of await this.#contentsOf(id as SegmentId)) {
        const kind = tableKind as TableKind
        if (!engine.specs.has(kind)) continue
        const table = touched.get(`${kind}/${owner}`) ?? { kind, owner, keys: [] }
        table.keys.push(key)
        touched.set(`${kind}/${owner}`, table)
      }
    }
    const found: TouchedTable[] = []
    let looked = 0
    for (const { kind, owner, keys } of touched.values()) {
      const state = engine.state(kind, owner)
      // Where a page on the way is damaged, what lies behind it stays where it is.
      const rootPage = await this.#rootPage(engine, state)
      if (rootPage === null) continue
      const still: number[] = []
      for (const key of new Set(keys)) {
        const isOnPath = this.#isOnPath(engine, rootPage, { kind, owner, key }, ids)
        if (await isOnPath.catch(() => false)) still.push(key)
        if (++looked % KEYS_PER_TURN === 0) await this.#clock.yield()
      }
      if (still.length > 0) found.push({ kind, owner, keys: still.sort((a, b) => a - b) })
    }
    return found
  }

  async #contentsOf(id: SegmentId) {
    try {
      return await this.#segments.readTable(id)
    } catch (error) {
      // A store that does not answer now may later.
      const { cause } = error as Error
      if (cause instanceof StoreError && cause.kind !== 'not-found') return []
      this.#unreadable.add(id)
      this.#log('warn', `pages in a sparse segment are not written again: ${(error as Error).message}`)
      return []
    }
  }

  /** Null where there is no page, or no way to it. */
  async #rootPage(engine: Engine, state: TableState): Promise<PagePointer | null> {
    try {
      return await engine.run(() => engine.rootOf(state))
    } catch {
      // Whoever wants the table is told; cleaning has no need of it.
      return null
    }
  }

  /** Whether the path to `key` goes through a page in one of these segments, and all of it can be read. */
  async #isOnPath(
    { cache }: Engine,
    root: PagePointer,
    { kind, owner, key }: { kind: TableKind; owner: number; key: number },
    segments: ReadonlySet<number>,
  ): Promise<boolean> {
    let isSparse = false
    for (let pointer = root; ; ) {
      isSparse ||= segments.has(pointer.segment)
      const page = await cache.load(pointer, { kind, owner })
      if (page.level === 0) return isSparse
      pointer = page.pointer(page.childIndex(key))
      // A leaf that is not to be written needs no loading.
      if (page.level === 1 && !isSparse && !segments.has(pointer.segment)) return false
    }
  }
}
