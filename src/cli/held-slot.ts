// Who holds a volume on this host: taking the slot's lock file, and judging the holder that writers/ names.
//
// Must stay true: a holder is called dead only when it ran since this boot of this host, and its very lock file is there
// and free, or is the one that we hold now; what cannot be known stays `unknown`, and the lease decides.
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Holder, Judgement } from '../tables/index.ts'
import { CommandError } from './errors.ts'
import { lockName, ownRuntimeDirectory } from './runtime-directory.ts'
import { isOwnerLeaving, type LockOwner, lockState, readOwner, SlotLock } from './slot-lock.ts'

/** A daemon that is unmounting may still have much to upload. */
const LEAVING_MAX_MS = 120_000
const LEAVING_POLL_MS = 50

/** Takes the lock of a volume's slot for a mount at `mountpoint`. Waits for an owner that is unmounting; CommandError
 *  naming it when it is not. */
export async function takeSlotLock(options: {
  uuid: string
  slot: number
  storeName: string
  mountpoint: string
  /** Takes it from an owner that lives. */
  takeOver?: boolean
}): Promise<SlotLock> {
  const path = join(ownRuntimeDirectory(), lockName(options.uuid, options.slot))
  const owner = {
    pid: process.pid,
    since: new Date().toISOString(),
    mountpoint: options.mountpoint,
    majorMinor: null,
    isLeaving: false,
  }
  for (const deadline = performance.now() + LEAVING_MAX_MS; ; await sleep(LEAVING_POLL_MS)) {
    const taken = await SlotLock.take(path, owner)
    if (taken instanceof SlotLock) return taken
    if (options.takeOver) {
      SlotLock.disown(path)
      continue
    }
    const { heldBy } = taken
    const isWorthWaiting = heldBy === null || isOwnerLeaving(heldBy)
    if (isWorthWaiting && performance.now() < deadline) continue
    throw new CommandError(heldLine(options.storeName, heldBy))
  }
}

function heldLine(storeName: string, owner: LockOwner | null): string {
  const who = owner === null ? '' : `, pid ${owner.pid}, since ${owner.since}`
  // gc and fsck put their own name in the mountpoint's place.
  if (owner !== null && !owner.mountpoint.startsWith('/')) {
    return `${storeName} is in use by ${owner.mountpoint} (host ${hostname()}${who}): wait for its end`
  }
  const where = owner === null ? '' : `, at ${owner.mountpoint}`
  return (
    `${storeName} is mounted already (host ${hostname()}${who}${where}): cairnfs umount it there first, or take it over ` +
    '(cairnfs mount --take-over): what it has not stored is lost'
  )
}

/** Judges holders for a mount that has taken `own` (null: it takes no slot). */
export function holderJudge(own: SlotLock | null): (holder: Holder) => Promise<Judgement> {
  return async ({ lock, host, bootId }) => {
    // Hosts made from one image may share name, path, device and inode: only the boot id says that it is this one. After
    // a reboot the lease decides.
    if (lock === null || host !== hostname() || bootId !== ownBootId()) return 'unknown'
    if (own !== null && lock.path === own.path && lock.device === own.device && lock.inode === own.inode) return 'dead'
    const state = lockState(lock)
    if (state !== 'held') return state === 'free' ? 'dead' : 'unknown'
    const owner = readOwner(lock.path)
    return owner !== null && isOwnerLeaving(owner) ? 'leaving' : 'alive'
  }
}

/** This host and process, as writers/ names a holder; without a lock file where the slot is held for a moment only. */
export function describeSelf(lock: SlotLock | null): Omit<Holder, 'session'> {
  return {
    host: hostname(),
    bootId: ownBootId(),
    pid: process.pid,
    since: new Date().toISOString(),
    lock: lock === null ? null : { path: lock.path, device: lock.device, inode: lock.inode },
  }
}

function ownBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
