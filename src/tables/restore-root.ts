// Putting back what is lost or damaged of `root` and writers/, so that the volume can be opened again.
//
// In this order (each step is safe to die after: what is found again is the same state):
//   1. writers/, when it is lost or damaged, with an epoch above all seen, as if its holder had left;
//   2. take the slot, so that nobody works on the volume meanwhile;
//   3. seal every tenure that is to be replayed, and the one that the last holder may have begun: whoever still thinks he
//      has the slot can acknowledge nothing any more;
//   4. put `root`, by If-None-Match where there is none, else by If-Match; release the slot.
//
// Must stay true: nothing is deleted, and no object but these is written.
import { type Clock, FsError, type Random } from '../platform/index.ts'
import { type Etag, type ObjectStore, StoreError } from '../store/index.ts'
import type { RecoveredRoot } from './inspect.ts'
import type { WriterOptions } from './open-database.ts'
import { recoverRoot } from './recover-root.ts'
import { encodeRoot, ROOT_KEY, type Root } from './root.ts'
import { salvageTenures } from './salvage.ts'
import { EMPTY_SLOT, encodeSlot, slotKey, WriterSlot } from './writer-slot.ts'

const SLOT = 0

export interface RestoreOptions {
  store: ObjectStore
  volumeUuid: Buffer
  clock: Clock
  random: Random
  log: (level: 'info' | 'warn' | 'error', message: string) => void
}

/** Puts back `root` and writers/ where `recoverRoot` finds damage; resolves to what was found. Puts nothing where there is
 *  none. Throws FsError EBUSY when somebody holds the slot, or put a root meanwhile. (volume.json is the caller's.) */
export async function restoreRoot(options: RestoreOptions, writer: WriterOptions): Promise<RecoveredRoot> {
  const { store, random } = options
  const found = await recoverRoot(options)
  if (found.slotDamage !== null) await putSlot(store, found)
  if (found.damage === null) return found
  const session = random.bytes(16)
  const { slot } = await WriterSlot.take({
    ...writer,
    store,
    clock: options.clock,
    slot: SLOT,
    holder: { ...writer.holder, session: session.toString('hex') },
    log: options.log,
    onLost: (by) => options.log('error', `the volume was taken over (${by})`),
  })
  slot.startHeartbeat()
  try {
    await putRoot(options, slot.epoch, session)
  } finally {
    // No commit is ours: whoever comes next replays the tenures of `root`.
    await slot.release(0)
  }
  return found
}

async function putSlot(store: ObjectStore, { root, slotDamage }: RecoveredRoot): Promise<void> {
  // Not the epoch of `root`: with that, its tenures would count as left with all contained.
  const body = [encodeSlot({ ...EMPTY_SLOT, epoch: root.epoch + 1, released: { lastSeq: 0 } })]
  const key = slotKey(SLOT)
  if (slotDamage?.kind === 'lost-slot') await store.putIfAbsent(key, body)
  else await store.putIfMatch(key, body, (await store.head(key)).etag)
}

/** With the slot in hand: what was found before may have moved on. */
async function putRoot(options: RestoreOptions, epoch: number, session: Buffer): Promise<void> {
  const { store, volumeUuid } = options
  const etag = await etagOf(store)
  const { root, damage } = await recoverRoot(options)
  if (damage === null) return
  const last = { epoch: epoch - 1, firstSeq: 1, sealSeq: null }
  const tenures = root.tenures.some((tenure) => tenure.epoch === last.epoch) ? root.tenures : [...root.tenures, last]
  const sealed = await salvageTenures(options, SLOT, tenures, { epoch: 'all', sealAs: { epoch, session } })
  const next: Root = {
    ...root,
    epoch,
    session,
    tenures: sealed.tenures.filter(({ firstSeq, sealSeq }) => firstSeq !== sealSeq),
  }
  const body = [encodeRoot(volumeUuid, next)]
  try {
    if (etag === null) await store.putIfAbsent(ROOT_KEY, body)
    else await store.putIfMatch(ROOT_KEY, body, etag)
  } catch (error) {
    if (!(error instanceof StoreError) || (error.kind !== 'precondition-failed' && error.kind !== 'not-found'))
      throw error
    if ((await store.get(ROOT_KEY)).body.equals(body[0]!)) return
    throw new FsError('EBUSY', `${ROOT_KEY} was put by somebody else meanwhile: look again`, { cause: error })
  }
}

async function etagOf(store: ObjectStore): Promise<Etag | null> {
  try {
    return (await store.head(ROOT_KEY)).etag
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return null
    throw error
  }
}
