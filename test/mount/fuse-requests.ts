// Counting the requests that the kernel sends to a mount while a script runs, by the kernel's own trace point.
import { FuseRequests } from '../../bench/fuse-requests.ts'
import { Workspace } from '../../bench/workspace.ts'
import { findMount } from '../../src/fuse/index.ts'
import type { TestVolume } from './volume-fixture.ts'

/** Counts for one test; `cleanUp` at its end. */
export class RequestCounter {
  readonly #workspace = new Workspace()
  #requests: FuseRequests | null = null

  /** Why it cannot; null when it can. */
  async open(): Promise<string | null> {
    this.#requests = await FuseRequests.open(this.#workspace)
    return this.#requests === null ? 'the kernel does not count FUSE requests (Linux 6.11)' : null
  }

  /** How many requests came while the script ran in the mount. */
  async during(volume: TestVolume, script: string): Promise<number> {
    const { majorMinor } = findMount(volume.mountpoint)!
    this.#requests!.begin(majorMinor)
    await volume.shell(script)
    return this.#requests!.end()
  }

  async cleanUp(): Promise<void> {
    await this.#workspace.cleanUp()
  }
}
