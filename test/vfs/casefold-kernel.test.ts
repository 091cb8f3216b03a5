// What a kernel believes of names, by the times it is given and by what it is told, is so after any sequence of operations
// under any spellings, in directories that fold and that do not. The kernel here is a map: of each name in each directory
// what it leads to, as long as it may believe it.
import { expect, test } from 'vitest'
import { CASEFOLD_FLAG } from '../../src/meta/index.ts'
import { FsError, type MaybePromise, type Random, seededRandom } from '../../src/platform/index.ts'
import { type Entry, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { bytes, CALLER, mount, type World } from './world.ts'

const SEEDS = Number(process.env.CAIRNFS_TEST_SEEDS ?? 30)
const OPERATIONS = 250
const NAMES = ['name', 'Name', 'NAME', 'Straße', 'STRASSE', 'other', 'OTHER', 'Å', 'a\u030a']
const ABSENT = 0

class Kernel {
  /** `directory/name` -> ino, or ABSENT. */
  readonly #believed = new Map<string, Ino | typeof ABSENT>()
  readonly #world: World
  readonly counts = { believed: 0, absent: 0, told: 0 }

  constructor(world: World) {
    this.#world = world
  }

  /** LOOKUP, unless it believes something. */
  async find(directory: Ino, name: string): Promise<Ino | typeof ABSENT> {
    const known = this.#believed.get(`${directory}/${name}`)
    return known ?? (await this.#ask(directory, name))
  }

  async #ask(directory: Ino, name: string): Promise<Ino | typeof ABSENT> {
    const { fs } = this.#world
    try {
      return this.learn(directory, name, await fs.lookup(CALLER, directory, bytes(name)))
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOENT') throw error
      this.#believe(directory, name, fs.negativeTtlSec(directory) > 0 ? ABSENT : null)
      return ABSENT
    }
  }

  learn(directory: Ino, name: string, { attributes, entryTtlSec }: Entry): Ino {
    this.#believe(directory, name, entryTtlSec > 0 ? attributes.ino : null)
    return attributes.ino
  }

  /** A name that it took away itself: it asks when it needs to know. */
  removed(directory: Ino, name: string): void {
    this.#believe(directory, name, null)
  }

  /** It moves what it believes along. */
  renamed(from: { parent: Ino; name: string }, to: { parent: Ino; name: string }): void {
    const moved = this.#believed.get(`${from.parent}/${from.name}`)
    this.#believe(from.parent, from.name, null)
    this.#believe(to.parent, to.name, moved ?? null)
  }

  #believe(directory: Ino, name: string, what: Ino | typeof ABSENT | null): void {
    if (what === null) this.#believed.delete(`${directory}/${name}`)
    else this.#believed.set(`${directory}/${name}`, what)
  }

  /** INVAL_ENTRY: the name goes, and with a directory's name all that is known below it; null: all. */
  told(directory: Ino, name: Buffer | null): void {
    this.counts.told++
    const led = name === null ? ROOT_INO : this.#believed.get(`${directory}/${name}`)
    this.#believed.delete(`${directory}/${name}`)
    for (const key of [...this.#believed.keys()]) if (key.startsWith(`${led}/`)) this.#believed.delete(key)
  }

  /** Asks for all that it believes. */
  async check(what: string): Promise<void> {
    const { fs } = this.#world
    for (const [key, believed] of this.#believed) {
      const [directory, name] = key.split('/') as [string, string]
      let found: number = ABSENT
      try {
        found = (await fs.lookup(CALLER, Number(directory) as Ino, bytes(name))).attributes.ino
        fs.forget(found as Ino, 1)
      } catch (error) {
        if (!(error instanceof FsError) || !['ENOENT', 'ESTALE'].includes(error.code)) throw error
        if (error.code === 'ESTALE') continue
      }
      expect(found, `${what}: the kernel believes ${key} to lead to ${believed}`).toBe(believed)
      if (believed === ABSENT) this.counts.absent++
      else this.counts.believed++
    }
  }
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[Math.floor(random.next() * choices.length)] as T
}

async function play(seed: number): Promise<Kernel['counts']> {
  const random = seededRandom(seed)
  let kernel: Kernel | null = null
  const world = await mount({ onNameGone: (parent, name) => kernel?.told(parent, name), casefold: random.next() < 0.3 })
  const { fs } = world
  kernel = new Kernel(world)
  const known = kernel
  const directories: Ino[] = [ROOT_INO]

  const make = async (parent: Ino, name: string, made: () => MaybePromise<Entry>): Promise<void> => {
    if ((await known.find(parent, name)) === ABSENT) known.learn(parent, name, await made())
  }
  const step = async (): Promise<string> => {
    const [parent, name] = [pick(random, directories), pick(random, NAMES)]
    const [otherParent, otherName] = [pick(random, directories), pick(random, NAMES)]
    const at = `${parent}/${name}`
    switch (Math.floor(random.next() * 9)) {
      case 0:
        await make(parent, name, () => fs.mknod(CALLER, parent, bytes(name), 0o100644, 0))
        return `mknod ${at}`
      case 1:
        await make(parent, name, async () => (await fs.create(CALLER, parent, bytes(name), 0o644, { flags: 1 })).entry)
        return `create ${at}`
      case 2: {
        await make(parent, name, () => fs.mkdir(CALLER, parent, bytes(name), 0o755))
        const ino = await known.find(parent, name)
        if (ino !== ABSENT && !directories.includes(ino) && directories.length < 6) directories.push(ino)
        return `mkdir ${at}`
      }
      case 3: {
        const ino = await known.find(otherParent, otherName)
        if (ino !== ABSENT) await make(parent, name, () => fs.link(CALLER, ino, parent, bytes(name)))
        return `link ${otherParent}/${otherName} ${at}`
      }
      case 4:
      case 5: {
        if ((await known.find(parent, name)) === ABSENT) return 'nothing'
        await fs.unlink(CALLER, parent, bytes(name))
        known.removed(parent, name)
        return `unlink ${at}`
      }
      case 6: {
        const ino = await known.find(parent, name)
        if (ino === ABSENT) return 'nothing'
        await fs.rmdir(CALLER, parent, bytes(name))
        known.removed(parent, name)
        const listed = directories.indexOf(ino)
        if (listed >= 0) directories.splice(listed, 1)
        return `rmdir ${at}`
      }
      case 7: {
        const [ino, target] = [await known.find(parent, name), await known.find(otherParent, otherName)]
        // Two names of one file: the kernel does nothing.
        if (ino === ABSENT || ino === target) return 'nothing'
        const [from, to] = [
          { parent, name },
          { parent: otherParent, name: otherName },
        ]
        await fs.rename(CALLER, { parent, name: bytes(name) }, { parent: otherParent, name: bytes(otherName) }, 0)
        known.renamed(from, to)
        const replaced = directories.indexOf(target as Ino)
        if (replaced >= 0) directories.splice(replaced, 1)
        return `rename ${at} ${otherParent}/${otherName}`
      }
      default:
        await fs.setFlags!(CALLER, parent, random.next() < 0.7 ? CASEFOLD_FLAG : 0)
        return `chattr ${parent}`
    }
  }
  for (let operation = 0; operation < OPERATIONS; operation++) {
    let what = 'refused'
    try {
      what = await step()
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      expect(['EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EINVAL', 'EPERM'], error.message).toContain(error.code)
    }
    await known.check(`seed ${seed}, operation ${operation}, ${what}`)
  }
  return known.counts
}

test('what the kernel believes of names is so, whatever they are called', async () => {
  const sum = { believed: 0, absent: 0, told: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const counts = await play(seed)
    for (const what of Object.keys(sum) as (keyof typeof sum)[]) sum[what] += counts[what]
  }
  expect(sum.believed).toBeGreaterThan(SEEDS * 100)
  expect(sum.absent).toBeGreaterThan(SEEDS * 100)
  expect(sum.told).toBeGreaterThan(SEEDS * 5)
}, 600_000)
