// A slot: the right to write a volume, held through `writers/<slot>.json`. One tenure of it is an epoch.
//
// Must stay true:
// - The epoch in writers/ only grows, by If-Match; whoever raised it goes on to put `root` (open-database.ts) before
//   serving. Until then its epoch has no commits.
// - A holder is dead when the object did not change for the lease by our own monotonic clock, or when `judge` knows so at
//   once (same host, lock file free). One change may be a heartbeat that was on its way when its holder died: there is at
//   most one, for updates go one after the other. So only a second change shows that it lives. An empty or released slot
//   is free.
// - Every 412 may be our own first try: it is read back before anything is concluded.
import { z } from 'zod'
import { type Clock, checksumHolds, encodeCheckedJson, FsError, ruleHolds } from '../platform/index.ts'
import { type Etag, type ObjectStore, StoreError } from '../store/index.ts'
import { readDecoded } from './read-object.ts'

export interface Holder {
  /** Hex of the 16-byte session. */
  session: string
  host: string
  bootId: string
  pid: number
  /** ISO 8601. */
  since: string
  /** Its lock file; where this very file is there and free, the holder is dead. */
  lock: { path: string; device: number; inode: number } | null
}

const stateSchema = z.object({
  slot: z.number().int(),
  epoch: z.number().int().nonnegative(),
  session: z.string(),
  host: z.string(),
  bootId: z.string(),
  pid: z.number().int(),
  since: z.string(),
  lock: z.object({ path: z.string(), device: z.number(), inode: z.number() }).nullable(),
  /** Set when the holder left cleanly: everything up to this commit is contained, there is nothing to seal. */
  released: z.object({ lastSeq: z.number().int().nonnegative() }).nullable(),
  beat: z.number().int().nonnegative(),
  /** Endpoints through which the store was probed. */
  probed: z.array(z.string()),
})
export type SlotState = z.infer<typeof stateSchema>

/** That of a new volume. */
export const EMPTY_SLOT: SlotState = {
  slot: 0,
  epoch: 0,
  session: '',
  host: '',
  bootId: '',
  pid: 0,
  since: '',
  lock: null,
  released: { lastSeq: 0 },
  beat: 0,
  probed: [],
}

interface Seen {
  state: SlotState
  etag: Etag
}

/** What is known of a holder without waiting: `leaving` is on this host and unmounting. */
export type Judgement = 'dead' | 'alive' | 'leaving' | 'unknown'

export interface SlotOptions {
  store: ObjectStore
  clock: Clock
  slot: number
  holder: Holder
  leaseMs: number
  judge: (holder: Holder) => Promise<Judgement>
  /** Takes the slot from a holder that lives. */
  takeOver: boolean
  log: (level: 'info' | 'warn' | 'error', message: string) => void
  /** Called when somebody else has the slot. */
  onLost: (by: string) => void
}

const LEAVING_POLL_MS = 100
const LEAVING_MAX_MS = 120_000

export function slotKey(slot: number): string {
  return `writers/${slot}.json`
}

export function encodeSlot(state: SlotState): Buffer {
  return encodeCheckedJson(state)
}

export async function readSlot(store: ObjectStore, slot: number): Promise<Seen> {
  const key = slotKey(slot)
  const { decoded, etag } = await readDecoded(store, key, (body) => {
    try {
      const parsed: unknown = JSON.parse(body.toString())
      if (!checksumHolds(parsed)) throw new Error('its checksum does not match')
      return stateSchema.parse(parsed)
    } catch (error) {
      throw new FsError('EIO', `${key} is damaged: \`cairnfs fsck STORE --repair\` makes it anew`, { cause: error })
    }
  })
  return { state: decoded, etag }
}

/** How messages name a holder. */
export function describeHolder(holder: Pick<Holder, 'host' | 'pid' | 'since'>): string {
  return `host ${holder.host}, pid ${holder.pid}, since ${holder.since}`
}

function held(holder: Holder): FsError {
  return new FsError(
    'EBUSY',
    `the volume is mounted elsewhere (${describeHolder(holder)}): unmount it there first, or take it over (cairnfs mount --take-over): what it has not stored is lost`,
  )
}

/** Who has the slot after a tenure of ours, in brackets for a message; empty when that cannot be read now. */
export async function describeTaker(store: ObjectStore, slot: number, epoch: number): Promise<string> {
  try {
    const { state } = await readSlot(store, slot)
    return state.epoch > epoch ? ` (${describeHolder(state)})` : ''
  } catch {
    // The message does without: that we lost the slot is known from elsewhere.
    return ''
  }
}

export class WriterSlot {
  readonly #options: SlotOptions
  #state: SlotState
  #etag: Etag
  #updates: Promise<void> = Promise.resolve()
  #stopped = false

  private constructor(options: SlotOptions, state: SlotState, etag: Etag) {
    this.#options = options
    this.#state = state
    this.#etag = etag
  }

  get epoch(): number {
    return this.#state.epoch
  }

  get probed(): readonly string[] {
    return this.#state.probed
  }

  /** Raises the epoch. Returns the slot and what the tenure before left behind. Throws FsError EBUSY naming the holder
   *  when it is held. */
  static async take(options: SlotOptions): Promise<{ slot: WriterSlot; before: SlotState }> {
    const deadlineMs = options.clock.monotonicMs() + LEAVING_MAX_MS + options.leaseMs
    for (;;) {
      const seen = await WriterSlot.#freeToTake(options, await readSlot(options.store, options.slot), deadlineMs)
      if (seen === null) continue
      const state: SlotState = {
        ...seen.state,
        ...options.holder,
        epoch: seen.state.epoch + 1,
        released: null,
        beat: 0,
      }
      const etag = ruleHolds('the epoch is raised by If-Match')
        ? await putState(options.store, options.slot, state, seen.etag)
        : await options.store.put(slotKey(options.slot), [encodeSlot(state)])
      if (etag !== null) return { slot: new WriterSlot(options, state, etag), before: seen.state }
    }
  }

  /** As it was when it was found free. Null: look again. Throws when it is held. */
  static async #freeToTake(options: SlotOptions, seen: Seen, deadlineMs: number): Promise<Seen | null> {
    const { clock, log } = options
    const { state } = seen
    if (state.epoch === 0 || state.released !== null || !ruleHolds('a holder is waited for')) return seen
    const who = describeHolder(state)
    if (options.takeOver) {
      log('warn', `taking the volume over from ${who}`)
      return seen
    }
    switch (await options.judge(state)) {
      case 'dead':
        log('info', `the holder is gone (${who}): its lock file is free, not waiting for the lease`)
        return seen
      case 'alive':
        throw held(state)
      case 'leaving':
        if (clock.monotonicMs() > deadlineMs) throw held(state)
        await clock.sleep(LEAVING_POLL_MS)
        return null
      case 'unknown':
        return WriterSlot.#unchanged(options, seen)
    }
  }

  /** Waits until the object has not changed for the lease. Null: it was released. Throws when its holder lives. */
  static async #unchanged({ store, clock, slot, leaseMs, log }: SlotOptions, first: Seen): Promise<Seen | null> {
    log('info', `the volume was held by ${describeHolder(first.state)}: waiting ${leaseMs / 1000} s for a sign of life`)
    let seen = first
    for (let untilMs = clock.monotonicMs() + leaseMs; clock.monotonicMs() < untilMs; ) {
      await clock.sleep(Math.min(1000, leaseMs / 10))
      const again = await readSlot(store, slot)
      if (again.state.released !== null) return null
      if (again.etag === seen.etag) continue
      if (seen !== first) throw held(again.state)
      seen = again
      untilMs = clock.monotonicMs() + leaseMs
    }
    log('info', `no sign of life from ${describeHolder(seen.state)} for ${leaseMs / 1000} s: taking the volume over`)
    return seen
  }

  /** Heartbeats every third of the lease until released or lost. */
  startHeartbeat(): void {
    const { clock, leaseMs } = this.#options
    if (!ruleHolds('a holder shows that it lives')) return
    clock.after(leaseMs / 3, () => {
      if (this.#stopped) return
      this.beat().finally(() => {
        if (!this.#stopped) this.startHeartbeat()
      })
    })
  }

  /** One sign of life. Never rejects: an unreachable store is logged, a lost slot reported. */
  async beat(): Promise<void> {
    try {
      await this.#update({ beat: this.#state.beat + 1 })
    } catch (error) {
      this.#options.log('warn', `no heartbeat: ${(error as Error).message}`)
    }
  }

  async noteProbed(endpoint: string): Promise<void> {
    await this.#update({ probed: [...this.#state.probed, endpoint] })
  }

  stop(): void {
    this.#stopped = true
  }

  /** Leaves the slot free, saying that everything up to `lastSeq` is contained. */
  async release(lastSeq: number): Promise<void> {
    this.stop()
    await this.#update({ released: { lastSeq } })
  }

  /** Updates go one after the other: each needs the etag of the one before. */
  #update(change: Partial<SlotState>): Promise<void> {
    const update = this.#updates.then(() => this.#put(change))
    this.#updates = update.catch(() => {
      // Whoever asked for it was told.
    })
    return update
  }

  async #put(change: Partial<SlotState>): Promise<void> {
    const { store, slot } = this.#options
    const state = { ...this.#state, ...change }
    for (;;) {
      const etag = await putState(store, slot, state, this.#etag)
      if (etag !== null) {
        this.#state = state
        this.#etag = etag
        return
      }
      const now = await readSlot(store, slot)
      const isOurs =
        now.state.session === state.session &&
        now.state.epoch === state.epoch &&
        ruleHolds('a 412 of writers/ may be our own')
      if (!isOurs) {
        this.stop()
        const by = describeHolder(now.state)
        this.#options.onLost(by)
        throw new FsError('EIO', `the volume was taken over (${by})`)
      }
      // An update of ours whose answer never came: it is replaced.
      if (now.etag !== this.#etag) this.#etag = now.etag
      else throw new FsError('EIO', `${slotKey(slot)} cannot be replaced though nobody changed it`)
    }
  }
}

/** Puts the state by If-Match; null when somebody else changed the object first. */
async function putState(store: ObjectStore, slot: number, state: SlotState, etag: Etag): Promise<Etag | null> {
  try {
    return await store.putIfMatch(slotKey(slot), [encodeSlot(state)], etag)
  } catch (error) {
    if (!(error instanceof StoreError) || (error.kind !== 'precondition-failed' && error.kind !== 'not-found'))
      throw error
    if (!ruleHolds('a 412 of writers/ may be our own')) return null
    const now = await readSlot(store, slot)
    const isOurs =
      now.state.session === state.session &&
      now.state.epoch === state.epoch &&
      now.state.beat === state.beat &&
      (now.state.released === null) === (state.released === null)
    return isOurs ? now.etag : null
  }
}
