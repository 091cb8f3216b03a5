// How many requests the kernel sends to a FUSE filesystem, whoever serves it: the kernel's trace point
// fuse:fuse_request_send (Linux 6.11 and later), in a trace instance of our own.
//
// Only counts are wanted: the events overwrite each other in a small ring, and the ring says how many there were.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Workspace } from './workspace.ts'

const EVENT = 'events/fuse/fuse_request_send'

export class FuseRequests {
  readonly #instance: string

  private constructor(instance: string) {
    this.#instance = instance
  }

  /** Null where the kernel cannot count, or does not let us. */
  static async open(workspace: Workspace): Promise<FuseRequests | null> {
    const tracing = workspace.makeFolder('tracing')
    const limitMs = 10_000
    const { status } = await workspace.run({ program: 'mount', args: ['-t', 'tracefs', 'none', tracing] }, { limitMs })
    if (status !== 0) return null
    workspace.onCleanUp(tracing, async () => {
      await workspace.expect({ program: 'umount', args: [tracing] }, { limitMs })
    })
    const instance = join(tracing, 'instances', `cairnfs-bench-${workspace.name}`)
    if (!existsSync(join(tracing, EVENT))) return null
    mkdirSync(instance)
    const counter = new FuseRequests(instance)
    workspace.onCleanUp(instance, () => {
      counter.#write(`${EVENT}/enable`, '0')
      rmdirSync(instance)
    })
    return counter
  }

  /** Counts from now on what is sent over the connection of the mount with this device, `MAJOR:MINOR`. */
  begin(majorMinor: string): void {
    const [major, minor] = majorMinor.split(':').map(Number) as [number, number]
    // The kernel's own dev_t: 12 bits of major, 20 of minor.
    this.#write(`${EVENT}/filter`, `connection == ${major * 2 ** 20 + minor}`)
    this.#write('trace', '')
    this.#write(`${EVENT}/enable`, '1')
  }

  /** How many there were since `begin`. */
  end(): number {
    this.#write(`${EVENT}/enable`, '0')
    return readdirSync(join(this.#instance, 'per_cpu'))
      .map((cpu) => readFileSync(join(this.#instance, 'per_cpu', cpu, 'stats'), 'utf8'))
      .reduce((sum, stats) => sum + field(stats, 'entries') + field(stats, 'overrun'), 0)
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.#instance, file), text)
  }
}

function field(stats: string, name: string): number {
  return Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(stats)?.[1] ?? 0)
}
