// What happens to a mount besides what its programs do: checkpoints and passes of the cleaner that somebody begins, outages,
// jumps of the wall clock, and somebody who tries to mend it when it failed.
import { FsError } from '../../src/platform/index.ts'
import { StoreError } from '../../src/store/index.ts'
import type { MountedFilesystem } from '../../src/vfs/index.ts'
import type { Volume } from '../../src/volume/index.ts'
import type { Client } from './client.ts'
import type { Oracle } from './oracle.ts'
import type { Process } from './process.ts'
import type { Scheduler } from './scheduler.ts'
import type { Traits } from './traits.ts'

/** An open volume, and what works on it from below. */
export interface Opened {
  volume: Volume
  filesystem: MountedFilesystem
}

export interface Mounted extends Opened {
  process: Process
  oracle: Oracle
  client: Client
  /** Its unmount has begun. */
  isLeaving: boolean
}

export interface Surroundings {
  scheduler: Scheduler
  traits: Traits
  say: (message: string) => void
  /** Nobody reaches the store for so long. */
  cutOff: (ms: number) => void
}

/** Checkpoints and passes of the cleaner, at any moment. */
export function keepUp(mounted: Mounted, { scheduler, traits, say }: Surroundings): void {
  const { client, filesystem, process, volume } = mounted
  const { graceMs, upkeepMs } = traits
  if (upkeepMs === null) return
  const { random } = scheduler
  let seen = -1
  const again = () => {
    scheduler.after(random.next() * 2 * upkeepMs, 'upkeep', () => {
      if (!process.isAlive || mounted.isLeaving || volume.status.failure !== null) return
      // Less often once the programs have ended.
      const isIdle = client.operations === seen
      seen = client.operations
      if (isIdle && random.next() < 0.9) return again()
      const isHurried = random.next() < 0.5
      const work = random.next() < 0.5 ? filesystem.checkpointNow() : filesystem.clean({ graceMs, isHurried })
      work.then(again, (error: Error) => {
        const isExpected = mounted.isLeaving || error instanceof FsError || error instanceof StoreError
        if (!isExpected) scheduler.fail(error)
        say(`upkeep of ${process.name}: ${error.message}`)
        again()
      })
    })
  }
  again()
}

/** The rest of it. */
export function disturb(mounted: Mounted, around: Surroundings): void {
  mend(mounted, around)
  const { process } = mounted
  const { cutOff, scheduler, traits } = around
  const { random } = scheduler
  if (random.next() < 0.2 && !traits.isCalm) {
    scheduler.after(random.next() * 60_000, 'outage', () => {
      if (process.isAlive) cutOff(random.next() * 100_000)
    })
  }
  if (random.next() < 0.3)
    scheduler.after(random.next() * 60_000, 'clock jumps', () => process.jump((random.next() - 0.5) * 1e8))
}

function mend({ process, volume }: Mounted, { scheduler, say }: Surroundings): void {
  const { random } = scheduler
  const look = () => {
    if (!process.isAlive) return
    if (volume.status.failure !== null) {
      say(`${process.name} is to resume`)
      volume.resume().then(
        () => say(`${process.name} has resumed`),
        (error: Error) => say(`${process.name} cannot resume: ${error.message}`),
      )
    }
    scheduler.after(20_000 + random.next() * 60_000, 'mend', look)
  }
  scheduler.after(20_000, 'mend', look)
}
