#!/usr/bin/env node
// How much CPU time single turns of the event loop take while many files are made in one directory, with commits and checkpoints as
// in a mount, over a store in memory; and what was done in the longest. Run `npm run build` before.
//
//   node --max-semi-space-size=64 scripts/stalls.mjs [--files N] [--remove] [--directories] [--memory MIB] [--shown N]
//
// Files are made as the kernel asks for them, by create and release, in bursts with a turn of the event loop between
// them; the directory grows from empty. --remove: then all are unlinked. --directories: each file gets a directory of its
// own. What a turn did is told by a profile, sampled every ms, that the process makes of itself.
import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { PerformanceObserver } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { systemClock, systemRandom } from '../dist/platform/index.js'
import { createMemoryStore } from '../dist/store/memory.js'
import { formatVolume, openVolume, readVolumeJson } from '../dist/volume/index.js'

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '1000000' },
    memory: { type: 'string', default: '1024' },
    shown: { type: 'string', default: '10' },
    remove: { type: 'boolean', default: false },
    directories: { type: 'boolean', default: false },
  },
})
const FILES = Number(values.files)
/** Turns from here on are kept; one burst takes some ms. */
const LONG_MS = 10
/** Operations answered in one turn: about 2 ms of work. */
const BURST = 32
const ROOT = 1
const CALLER = { uid: 0, gid: 0, pid: 1 }
const O_CREAT_WRONLY = 0o101
const DIRECTORY_MODE = 0o40755

const nowMs = () => Number(process.hrtime.bigint()) / 1e6

/** CPU time of this thread: what others on the machine take does not count. */
const cpuMs = () => Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[0]) / 1e6

/** Long turns of the event loop, by CPU time. */
class Turns {
  /** { endMs, wallMs, lengthMs: of CPU time, gcMs } */
  long = []
  counted = 0
  #on = true
  #collections = []
  #observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      this.#collections.push({ startMs: startTime + originMs, lengthMs: duration })
  })

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] })
    let [lastMs, lastCpuMs] = [nowMs(), cpuMs()]
    const look = () => {
      const [endMs, endCpuMs] = [nowMs(), cpuMs()]
      this.counted++
      const lengthMs = endCpuMs - lastCpuMs
      if (lengthMs >= LONG_MS) this.long.push({ endMs, wallMs: endMs - lastMs, lengthMs })
      lastMs = endMs
      lastCpuMs = endCpuMs
      if (this.#on) setImmediate(look)
    }
    setImmediate(look)
  }

  async stop() {
    this.#on = false
    await new Promise((resolve) => setTimeout(resolve, 50))
    this.#observer.disconnect()
    for (const turn of this.long) {
      const within = this.#collections.filter(({ startMs }) => startMs <= turn.endMs && startMs >= turn.endMs - turn.wallMs)
      turn.gcMs = within.reduce((sum, { lengthMs }) => sum + lengthMs, 0)
    }
  }
}
const originMs = nowMs() - performance.now()

const session = new Session()
session.connect()
const ask = (method, parameters) =>
  new Promise((resolve, reject) =>
    session.post(method, parameters, (error, result) => (error === null ? resolve(result) : reject(error))),
  )

/** The functions that most samples of a turn lie in, themselves and with what they called. */
function whatWasDone(profile, { endMs, wallMs }) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const own = new Map()
  const whole = new Map()
  let samples = 0
  let atMs = profile.startTime / 1000
  const count = (map, key) => map.set(key, (map.get(key) ?? 0) + 1)
  for (const [index, id] of profile.samples.entries()) {
    atMs += profile.timeDeltas[index] / 1000
    if (atMs < endMs - wallMs || atMs > endMs) continue
    samples++
    count(own, nameOf(nodes.get(id)))
    const seen = new Set()
    for (let at = id; at !== undefined; at = parents.get(at)) seen.add(nameOf(nodes.get(at)))
    for (const name of seen) count(whole, name)
  }
  const most = (map) =>
    [...map]
      .filter(([name]) => !/^\((root|program)\)|processImmediate|processTicks|runNextTicks/.test(name))
      .sort((a, b) => b[1] - a[1])
      .slice(0, 5)
      .map(([name, hits]) => `${name} ${Math.round((100 * hits) / samples)}%`)
      .join(', ')
  return { itself: most(own), calling: most(whole) }
}

function nameOf({ callFrame: { functionName, url, lineNumber } }) {
  const file = url.split('/').slice(-2).join('/')
  return file === '' ? functionName : `${functionName || '(anonymous)'} (${file}:${lineNumber + 1})`
}

const store = createMemoryStore()
const holder = { host: 'h', bootId: 'b', pid: process.pid, since: 'now', lock: null }
const judge = async () => 'dead'
const log = (level, message) => {
  if (level !== 'info') console.error(`${level}: ${message}`)
}
const common = { store, clock: systemClock, random: systemRandom, log, rootOwner: { uid: 0, gid: 0 } }
await formatVolume({
  ...common,
  name: 'stalls',
  segmentSizeBytes: 8 << 20,
  force: false,
  self: holder,
  leaseMs: 30_000,
  judge,
  probe: null,
})
const volume = await openVolume({
  ...common,
  identity: await readVolumeJson(store),
  writer: { self: holder, leaseMs: 30_000, judge, probe: null, onFailure: (error) => console.error(error) },
  memoryBytes: Number(values.memory) << 20,
  commitMs: 5000,
  parallelism: 20,
})
const { filesystem } = volume
const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

/** Does something for each of many, in bursts. */
async function burst(count, operation) {
  for (let index = 0; index < count; index++) {
    const answer = operation(index)
    if (answer instanceof Promise) await answer
    if (index % BURST === BURST - 1) await nextTurn()
  }
}

const nameOfFile = (index) => Buffer.from(`picture-${String(index).padStart(10, '0')}.jpg`)

async function make(parent, index) {
  const made = filesystem.create(CALLER, parent, nameOfFile(index), 0o644, { flags: O_CREAT_WRONLY })
  const { entry, opened } = made instanceof Promise ? await made : made
  await filesystem.release(opened.handle, entry.attributes.ino)
}

async function watched(title, work) {
  await ask('Profiler.enable')
  await ask('Profiler.setSamplingInterval', { interval: 1000 })
  await ask('Profiler.start')
  const checkpointsBefore = volume.status.checkpointNumber
  const turns = new Turns()
  const beganMs = nowMs()
  await work()
  const tookSec = (nowMs() - beganMs) / 1000
  await turns.stop()
  const { profile } = await ask('Profiler.stop')
  const checkpoints = volume.status.checkpointNumber - checkpointsBefore
  const { rss } = process.memoryUsage()
  console.log(`\n${title}: ${tookSec.toFixed(1)} s, ${Math.round(FILES / tookSec)}/s, ${checkpoints} checkpoints`)
  console.log(`resident ${Math.round(rss / 2 ** 20)} MiB, buffers ${storedMiB()} MiB`)
  const over = (ms) => turns.long.filter(({ lengthMs }) => lengthMs > ms).length
  const besides = (ms) => turns.long.filter(({ lengthMs, gcMs }) => lengthMs - gcMs > ms).length
  console.log(
    `${turns.counted} turns; longer than 20 ms: ${over(20)}, than 50 ms: ${over(50)}; without garbage collection: ${besides(20)}, ${besides(50)}`,
  )
  const longest = turns.long.sort((a, b) => b.lengthMs - a.lengthMs).slice(0, Number(values.shown))
  for (const turn of longest) {
    const { itself, calling } = whatWasDone(profile, turn)
    const atSec = ((turn.endMs - beganMs) / 1000).toFixed(1)
    console.log(`  ${turn.lengthMs.toFixed(0)} ms at ${atSec} s, ${turn.gcMs.toFixed(0)} ms of it garbage collection`)
    console.log(`    itself:  ${itself}\n    calling: ${calling}`)
  }
}

function storedMiB() {
  return Math.round(process.memoryUsage().arrayBuffers / 2 ** 20)
}

await watched(`${FILES} files made`, async () => {
  if (!values.directories) return burst(FILES, (index) => make(ROOT, index))
  return burst(FILES, async (index) => {
    const name = Buffer.from(`directory-${index}`)
    const made = filesystem.mkdir(CALLER, ROOT, name, DIRECTORY_MODE & 0o7777)
    const { attributes } = made instanceof Promise ? await made : made
    await make(attributes.ino, index)
  })
})
await watched('the last checkpoint', () => filesystem.checkpointNow())
if (values.remove) {
  await watched(`${FILES} files unlinked`, () =>
    burst(FILES, async (index) => {
      const ino = values.directories ? await inoOf(Buffer.from(`directory-${index}`)) : ROOT
      await filesystem.unlink(CALLER, ino, nameOfFile(index))
    }),
  )
  await watched('the last checkpoint', () => filesystem.checkpointNow())
}
await volume.close()

async function inoOf(name) {
  const { attributes } = await filesystem.lookup(CALLER, ROOT, name)
  return attributes.ino
}
