// Several processes on one local store: conditional puts hold between them, also when some are killed in the middle.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type ObjectStore, openLocalStore } from '../../src/store/index.ts'
import { type BuiltSource, buildSource } from './built-source.ts'
import { listAll } from './conformance.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

const PROCESSES = 4

let built: BuiltSource
let folder: TemporaryFolder
let store: ObjectStore

beforeAll(async () => {
  built = await buildSource('store')
})
afterAll(() => built.remove())
beforeEach(async () => {
  folder = await temporaryFolder()
  store = await openLocalStore({ path: folder.path })
  return async () => {
    await store.close()
    await folder.remove()
  }
})

interface Worker {
  process: ChildProcess
  /** What it did, line by line. */
  done: unknown[]
  ready: Promise<void>
  /** The signal that ended it, if one did. Rejects when it failed. */
  ended: Promise<NodeJS.Signals | null>
}

function startWorker(...args: string[]): Worker {
  const script = join(import.meta.dirname, 'local-process.mjs')
  const child = spawn(process.execPath, [script, built.path, folder.path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const done: unknown[] = []
  const lines = createInterface(child.stdout)
  const ready = once(lines, 'line').then(() => undefined)
  lines.on('line', (line) => {
    const value = JSON.parse(line)
    if (value !== 'ready') done.push(value)
  })
  const ended = once(child, 'close').then(([code, signal]) => {
    if (code !== 0 && signal === null) throw new Error(`worker ended with ${code}`)
    return signal as NodeJS.Signals | null
  })
  return { process: child, done, ready, ended }
}

test('counting up with putIfMatch from several processes loses no count', async () => {
  await store.put('counter', [Buffer.from('0')])
  const workers = Array.from({ length: PROCESSES }, () => startWorker('count', '40'))
  await Promise.all(workers.map(({ ended }) => ended))
  expect((await store.get('counter')).body.toString()).toBe(String(PROCESSES * 40))
  const told = workers.flatMap(({ done }) => done as number[]).sort((a, b) => a - b)
  expect(told).toEqual(Array.from({ length: PROCESSES * 40 }, (_, i) => i + 1))
})

test('of putIfAbsent from several processes exactly one wins each key', async () => {
  const workers = Array.from({ length: PROCESSES }, () => startWorker('absent', '100'))
  await Promise.all(workers.map(({ ended }) => ended))
  const told = workers.flatMap(({ done }) => done as number[]).sort((a, b) => a - b)
  expect(told).toEqual(Array.from({ length: 100 }, (_, i) => i))
  for (const { process: child, done } of workers)
    for (const round of done) expect((await store.get(`raced/${round}/key`)).body.toString()).toBe(String(child.pid))
})

test('a process killed in the middle of a put stops nobody else and spoils nothing', async () => {
  await store.put('counter', [Buffer.from('0')])
  const survivor = startWorker('count', '150')
  const told: number[] = []
  while (survivor.done.length < 120) {
    const victim = startWorker('count', '1000000')
    await victim.ready
    while (victim.done.length < 5 && survivor.process.exitCode === null) await once(victim.process.stdout!, 'data')
    victim.process.kill('SIGKILL')
    expect(await victim.ended).toBe('SIGKILL')
    told.push(...(victim.done as number[]))
    if (survivor.process.exitCode !== null) break
  }
  await survivor.ended
  told.push(...(survivor.done as number[]))
  expect(new Set(told).size, 'no number was given twice').toBe(told.length)
  const counted = Number((await store.get('counter')).body)
  expect(counted).toBeGreaterThanOrEqual(told.length)
  expect(await listAll(store, '', 1000)).toEqual(['counter'])
})
