// What processes use, read from /proc, and finding those that the bench started: by a word in their environment, which
// their children inherit, so that a daemon which went to the background or left a child behind is found too.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Clock ticks of /proc/PID/stat (proc_pid_stat(5)): 100 a second on every Linux that Node runs on. */
const TICKS_PER_SEC = 100

/** The pids of processes that have `name=value` in their environment and have not ended. */
export function markedProcesses(name: string, value: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && isRunning(pid) && environment(pid).includes(`${name}=${value}`))
}

/** Whether a process runs; one that only waits to be collected by its parent has ended. */
export function isRunning(pid: number): boolean {
  const fields = statFields(pid)
  return fields !== null && !/^[ZX]/.test(fields[0]!)
}

/** CPU seconds of a process, with those of its children that have ended and been collected; 0 when it is gone. */
export function cpuSec(pid: number | 'self'): number {
  const fields = statFields(pid)
  // utime, stime, cutime, cstime: fields 14 to 17, the state being field 3.
  return fields === null ? 0 : fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SEC
}

/** CPU seconds of the children of this process that have ended. */
export function endedChildrenCpuSec(): number {
  return (
    statFields('self')!
      .slice(13, 15)
      .reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SEC
  )
}

/** Lets the peak of resident memory begin anew; needs to own the process, or root. */
export function resetPeakRss(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
  } catch {
    // It has ended meanwhile.
  }
}

/** The most resident memory a process had since resetPeakRss; 0 when it is gone. */
export function peakRssBytes(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    // It has ended meanwhile.
    return 0
  }
}

function environment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
  } catch {
    // It has ended meanwhile.
    return []
  }
}

/** The fields of /proc/PID/stat from the third on; the second, the name, may hold anything. */
function statFields(pid: number | 'self'): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    // No such process.
    return null
  }
}
