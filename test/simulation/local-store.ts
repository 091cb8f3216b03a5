// One seed, one world of the local store alone: processes change a few keys in one folder of a simulated disk, several at a
// time; the power is cut, or they are killed, between any two calls; and what is there afterwards is compared with what was
// acknowledged. A call that was not answered, or with an error, may have taken effect or not; nothing is ever half there.
import { type Random, seededRandom } from '../../src/platform/index.ts'
import { type Etag, type ObjectStore, openLocalStore, StoreError } from '../../src/store/index.ts'
import { SimulatedDisk } from './disk.ts'
import { Process } from './process.ts'
import { Scheduler } from './scheduler.ts'

const FOLDER = '/mnt/store'
const KEYS = ['a', 'b', 'd/a', 'd/b', 'd/e/a', 'd/e/b', 'f/a', 'f/g/h/a']
const LIFE_MS = 60_000
const DAY_MS = 86_400_000

export interface LocalSummary {
  acknowledged: number
  powerCuts: number
  /** Calls without an answer that had taken effect, and that had not. */
  tookEffect: number
  didNot: number
  digest: string
}

/** What may lie under a key: bodies, null for nothing. */
type Possible = Set<string | null>

class LocalWorld {
  readonly summary: LocalSummary = { acknowledged: 0, powerCuts: 0, tookEffect: 0, didNot: 0, digest: '' }
  readonly scheduler: Scheduler
  readonly #random: Random
  readonly #disk: SimulatedDisk
  readonly #possible = new Map<string, Possible>(KEYS.map((key) => [key, new Set([null])]))
  readonly #etags = new Map<string, Etag>()
  /** Calls under way: what each would leave. One at a time for each key. */
  readonly #underWay = new Map<string, string | null>()
  #processes = 0
  #bodies = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    this.scheduler = new Scheduler(this.#random)
    this.#disk = new SimulatedDisk(this.scheduler)
    const rate = this.#random.next() < 0.5 ? 0 : this.#random.next() * 0.05
    this.#disk.errorRate = () => rate
  }

  async play(): Promise<LocalSummary> {
    for (let lives = 4; lives > 0; lives--) await this.#life()
    await this.#leftovers()
    this.summary.digest = this.scheduler.digest()
    return this.summary
  }

  #process(): Process {
    return new Process(`p${++this.#processes}`, this.scheduler)
  }

  async #open(process: Process): Promise<ObjectStore> {
    const disk = this.#disk.diskFor(process)
    for (;;) {
      try {
        return await openLocalStore({
          path: FOLDER,
          create: true,
          clock: process.clock,
          random: this.#random,
          disk,
        })
      } catch (error) {
        if (!(error instanceof StoreError) || error.kind !== 'retryable') throw error
      }
    }
  }

  async #life(): Promise<void> {
    const { scheduler } = this
    const { random } = scheduler
    const processes = Array.from({ length: 1 + Math.floor(random.next() * 2) }, () => this.#process())
    const end = new Promise<void>((resolve) => scheduler.after(random.next() ** 3 * 2000, 'the end', resolve))
    const work = processes.map(async (process) => {
      const store = await this.#open(process)
      await Promise.all(Array.from({ length: 3 }, () => this.#program(store)))
    })
    for (const each of work) each.catch((error: unknown) => scheduler.fail(error))
    await scheduler.until(end, LIFE_MS, 'a life')
    for (const process of processes) process.kill()
    const isCut = random.next() < 0.7
    if (isCut) {
      this.#disk.cutPower()
      this.summary.powerCuts++
    }
    await this.#compare(isCut)
  }

  /** What is there is what may be. After a power cut it is all there is to know. */
  async #compare(isCut: boolean): Promise<void> {
    const rate = this.#disk.errorRate
    this.#disk.errorRate = () => 0
    const process = this.#process()
    const compared = async () => {
      const store = await this.#open(process)
      const there: string[] = []
      for (const [key, possible] of this.#possible) {
        const pending = this.#underWay.get(key)
        if (pending !== undefined) possible.add(pending)
        const found = await bodyOf(store, key)
        if (!possible.has(found)) throw new Error(`${key} holds ${brief(found)}, not ${[...possible].map(brief)}`)
        if (found !== null) there.push(key)
        if (possible.size > 1) {
          if (found === pending) this.summary.tookEffect++
          else this.summary.didNot++
        }
        const etag = found === null ? undefined : this.#etags.get(found)
        if (etag !== undefined && (await store.head(key)).etag !== etag) throw new Error(`${key} has another etag`)
        if (isCut) this.#possible.set(key, new Set([found]))
      }
      const { objects } = await store.list('')
      const listed = objects.map((object) => object.key)
      if (listed.join() !== there.sort().join()) throw new Error(`listed are ${listed}, there are ${there}`)
    }
    await this.scheduler.until(compared(), LIFE_MS, 'comparing')
    process.kill()
    this.#underWay.clear()
    this.#disk.errorRate = rate
  }

  /** A day later the first write leaves nothing in the store's own folder but the lock. */
  async #leftovers(): Promise<void> {
    this.#disk.errorRate = () => 0
    const process = this.#process()
    process.jump(2 * DAY_MS)
    const written = async () => {
      await (await this.#open(process)).put('last', [])
    }
    await this.scheduler.until(written(), LIFE_MS, 'the last put')
    const left = [...this.#disk.files(`${FOLDER}/.cairnfs`).keys()].filter((name) => name !== 'lock')
    if (left.length > 0) throw new Error(`${left} are left over`)
  }

  async #program(store: ObjectStore): Promise<void> {
    for (;;) {
      const free = KEYS.filter((key) => !this.#underWay.has(key))
      const key = free[Math.floor(this.#random.next() * free.length)] as string
      if (this.#random.next() < 0.1) await this.#look(store, key)
      else await this.#operation(store, key)
    }
  }

  /** What is listed is durable, whatever became of who made it. */
  async #look(store: ObjectStore, key: string): Promise<void> {
    const possible = this.#possible.get(key) as Possible
    const [asItIs] = possible
    this.#underWay.set(key, asItIs as string | null)
    try {
      const { objects } = await store.list(key)
      if (objects.some((object) => object.key === key)) possible.delete(null)
      else if (!possible.has(null)) throw new Error(`${key} is not listed`)
      if (possible.size === 0) throw new Error(`${key} is listed though it was not there`)
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'retryable') throw error
    }
    this.#underWay.delete(key)
  }

  async #operation(store: ObjectStore, key: string): Promise<void> {
    const random = this.#random
    const possible = this.#possible.get(key) as Possible
    const dice = random.next()
    const text = `${++this.#bodies}:${'x'.repeat(Math.floor(random.next() * 200))}`
    const body = [Buffer.from(text.slice(0, 7)), Buffer.from(text.slice(7))]
    const isDelete = dice < 0.2
    const leaves = isDelete ? null : text
    this.#underWay.set(key, leaves)
    this.scheduler.note(
      `${isDelete ? 'delete' : dice < 0.4 ? 'put' : dice < 0.7 ? 'create' : 'replace'} ${key} ${brief(leaves)}`,
    )
    try {
      if (isDelete) await store.delete([key])
      else if (dice < 0.4) this.#etags.set(text, await store.put(key, body))
      else if (dice < 0.7) {
        this.#etags.set(text, await store.putIfAbsent(key, body))
        if (!possible.has(null)) throw new Error(`${key} was created though it was there`)
      } else {
        const found = await store.head(key)
        const isStale = random.next() < 0.2
        this.#etags.set(text, await store.putIfMatch(key, body, isStale ? ('"stale"' as Etag) : found.etag))
        if (isStale) throw new Error(`${key} was replaced though its etag is another`)
      }
      this.summary.acknowledged++
      this.scheduler.note(`acknowledged ${key} ${brief(leaves)}`)
      this.#possible.set(key, new Set([leaves]))
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.scheduler.note(`${key} ${brief(leaves)}: ${error.kind} ${error.message}`)
      if (error.kind === 'precondition-failed' && dice < 0.7) {
        // Somebody's object is there, and durable.
        possible.delete(null)
        if (possible.size === 0) throw new Error(`${key} was not created though it was not there`)
      } else if (error.kind === 'not-found') {
        if (!possible.has(null)) throw new Error(`${key} is gone`)
      } else if (error.kind === 'retryable') possible.add(leaves)
      else if (error.kind !== 'precondition-failed') throw error
    }
    this.#underWay.delete(key)
  }
}

async function bodyOf(store: ObjectStore, key: string): Promise<string | null> {
  try {
    return (await store.get(key)).body.toString()
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return null
    throw error
  }
}

function brief(body: string | null): string {
  return body === null ? 'nothing' : `${body.length} bytes (${JSON.stringify(body.slice(0, 7))})`
}

/** Plays one seed; rejects with what broke. */
export async function playLocalStore(seed: number): Promise<LocalSummary> {
  const world = new LocalWorld(seed)
  try {
    return await world.play()
  } catch (error) {
    const trace = world.scheduler.recent.slice(-400).join('\n  ')
    throw new Error(`seed ${seed}: ${(error as Error).message}\n  ${trace}`, { cause: error })
  }
}
