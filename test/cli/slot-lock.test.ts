// A slot's lock file: held once, free when its process is gone, and the only ground to call a holder dead at once.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { describeSelf, holderJudge } from '../../src/cli/held-slot.ts'
import { lockState, readOwner, SlotLock } from '../../src/cli/slot-lock.ts'

const owner = { pid: process.pid, since: '2026-01-01T00:00:00Z', mountpoint: '/m', majorMinor: null, isLeaving: false }
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cairnfs-lock-'))
  path = join(folder, 'x.lock')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function take(): Promise<SlotLock> {
  const lock = await SlotLock.take(path, owner)
  expect(lock).toBeInstanceOf(SlotLock)
  return lock as SlotLock
}

function identity({ path, device, inode }: SlotLock) {
  return { path, device, inode }
}

it('a lock is held once, tells its owner, and is gone with its file when released', async () => {
  const lock = await take()
  expect(await SlotLock.take(path, { ...owner, pid: 1 })).toEqual({ heldBy: owner })
  expect(lockState(identity(lock))).toBe('held')
  lock.note({ isLeaving: true })
  expect(readOwner(path)).toEqual({ ...owner, isLeaving: true })
  lock.release()
  lock.release()
  expect(existsSync(path)).toBe(false)
  expect(lockState(identity(lock))).toBe('unknown')
  const next = await take()
  next.release()
})

it('a process that is killed leaves a free lock: the very file that the next one takes over', async () => {
  const child = spawn('flock', [path, 'sleep', '60'], { detached: true })
  await vi.waitUntil(() => {
    const file = statSync(path, { throwIfNoEntry: false })
    return file !== undefined && lockState({ path, device: file.dev, inode: file.ino }) === 'held'
  })
  process.kill(-child.pid!, 'SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  const lock = await take()
  const before = identity(lock)
  lock.abandon()
  expect(lockState(before)).toBe('free')
  expect(identity(await take())).toEqual(before)
})

it('a holder is dead only by its very lock file', async () => {
  const lock = await take()
  const holder = {
    session: '',
    host: hostname(),
    bootId: describeSelf(null).bootId,
    pid: 1,
    since: '',
    lock: identity(lock),
  }
  expect(await holderJudge(null)(holder)).toBe('alive')
  expect(await holderJudge(lock)(holder)).toBe('dead')
  lock.note({ isLeaving: true })
  expect(await holderJudge(null)(holder)).toBe('leaving')
  expect(await holderJudge(null)({ ...holder, host: 'elsewhere' })).toBe('unknown')
  expect(await holderJudge(null)({ ...holder, bootId: 'of another host of that name' })).toBe('unknown')
  expect(await holderJudge(lock)({ ...holder, bootId: 'of another host of that name' })).toBe('unknown')
  expect(await holderJudge(null)({ ...holder, lock: null })).toBe('unknown')
  expect(await holderJudge(null)({ ...holder, lock: { ...holder.lock, inode: 1 } })).toBe('unknown')
  expect(await holderJudge(null)({ ...holder, lock: { ...holder.lock, path: `${path}.gone` } })).toBe('unknown')
  lock.abandon()
  expect(await holderJudge(null)(holder)).toBe('dead')
})
