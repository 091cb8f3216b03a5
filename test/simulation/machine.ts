// A machine with a local folder as the store: processes of one world share it, and its power may be cut.
import type { Random } from '../../src/platform/index.ts'
import { type ObjectStore, openLocalStore } from '../../src/store/index.ts'
import { SimulatedDisk } from './disk.ts'
import type { Process } from './process.ts'
import type { Scheduler } from './scheduler.ts'

const FOLDER = '/mnt/store'

export class Machine {
  readonly disk: SimulatedDisk
  readonly #random: Random

  constructor(scheduler: Scheduler, random: Random) {
    this.disk = new SimulatedDisk(scheduler)
    this.#random = random
  }

  /** The folder as a process opens it. */
  storeFor(process: Process): ObjectStore {
    let opening: Promise<ObjectStore> | null = null
    const open = () => {
      opening ??= openLocalStore({
        path: FOLDER,
        create: true,
        clock: process.clock,
        random: this.#random,
        disk: this.disk.diskFor(process),
      }).catch((error: unknown) => {
        opening = null
        throw error
      })
      return opening
    }
    const later = async (method: keyof ObjectStore, args: unknown[]) => {
      const store = await open()
      return Reflect.apply(store[method] as (...args: unknown[]) => unknown, store, args)
    }
    return new Proxy({ name: `file://${FOLDER}` } as ObjectStore, {
      get: (target, property) =>
        property === 'name' ? target.name : (...args: unknown[]) => later(property as keyof ObjectStore, args),
    })
  }

  /** The objects in the folder as they are. */
  objects(): Map<string, { body: Buffer }> {
    const files = [...this.disk.files(FOLDER)].filter(([key]) => !key.startsWith('.cairnfs/'))
    return new Map(files.map(([key, body]) => [key, { body }]))
  }
}
