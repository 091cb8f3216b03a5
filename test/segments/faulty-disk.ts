// Node's disk with faults: what a test arms fails, or does not answer.
import { type Disk, type DiskFile, nodeDisk } from '../../src/store/index.ts'

export type DiskCall = 'open' | 'writev' | 'read' | 'rename' | 'unlink' | 'mkdir' | 'readdir' | 'stat'

export class FaultyDisk implements Disk {
  /** Asked before each call: an errno name has it fail, a promise has it wait. */
  fault: (call: DiskCall, path: string) => string | Promise<void> | null = () => null
  readonly calls: { call: DiskCall; path: string }[] = []

  async #call<T>(call: DiskCall, path: string, action: () => Promise<T>): Promise<T> {
    this.calls.push({ call, path })
    const fault = this.fault(call, path)
    if (typeof fault === 'string') throw Object.assign(new Error(`${fault}: ${call} ${path}`), { code: fault })
    if (fault !== null) await fault
    return action()
  }

  open(path: string, flags: 'r' | 'wx'): Promise<DiskFile> {
    return this.#call('open', path, async () => {
      const file = await nodeDisk.open(path, flags)
      return {
        writev: (parts) => this.#call('writev', path, () => file.writev(parts)),
        read: (...given) => this.#call('read', path, () => file.read(...given)),
        utimes: (...given) => file.utimes(...given),
        stat: (options) => file.stat(options),
        sync: () => file.sync(),
        close: () => file.close(),
      }
    })
  }

  rename = (from: string, to: string) => this.#call('rename', to, () => nodeDisk.rename(from, to))
  unlink = (path: string) => this.#call('unlink', path, () => nodeDisk.unlink(path))
  mkdir = (path: string) => this.#call('mkdir', path, () => nodeDisk.mkdir(path))
  readdir = (path: string) => this.#call('readdir', path, () => nodeDisk.readdir(path))
  stat = (path: string) => this.#call('stat', path, () => nodeDisk.stat(path))
  link = nodeDisk.link
  openLock = nodeDisk.openLock
}
