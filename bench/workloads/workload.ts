// What is measured: one program, run on a directory of so many entries.
import type { Command } from '../workspace.ts'

export type Temperature = 'cold' | 'warm'

/** What a program printed, by a workload's own reading. */
export interface Figures {
  /** Instead of the time from the program's start to its end. */
  seconds?: number
  /** Of `create`: how many a second at its beginning and at its end. */
  firstPerSec?: number
  lastPerSec?: number
  /** Of random reads and writes: how many a second in all, and in each second. */
  perSec?: number
  eachSec?: number[]
  /** Of random writes, and part of `seconds`: the fsync at the end. */
  syncSec?: number
}

/** Standard output of a program: how many lines, and the last one. */
export interface Output {
  lines: number
  lastLine: string
}

export type BucketMode = 'names' | 'attributes' | 'first' | 'stat' | 'missing'

export interface Workload {
  /** For --workloads and in the JSON. */
  id: string
  /** As a reader would type it, in Markdown. */
  title: string
  /** `create` makes the directory; `remove` takes it away; `read` changes nothing. `mount` mounts it, cold, before its
   *  command, which counts. */
  kind: 'create' | 'mount' | 'read' | 'remove'
  /** Of `read`: cold, and then the same once more, or cold alone. */
  temperatures: readonly Temperature[]
  /** What runs on the directory, a path in a mount. */
  command(directory: string, entries: number, temperature: Temperature): Command
  /** Brings a program that is timed from its start into memory: the same on an empty folder. */
  warmUp?(emptyFolder: string): Command
  /** What comes nearest without a filesystem, straight from the bucket: a mode of programs/list-bucket.ts; null where
   *  nothing does. */
  onBucket: BucketMode | null
  /** Reads the output; throws when the program did not see what is there. */
  judge(output: Output, entries: number): Figures
}

const FIGURES = ['seconds', 'firstPerSec', 'lastPerSec', 'perSec', 'eachSec', 'syncSec'] as const

/** Figures as the programs in programs/ print them. */
export function printedFigures({ lastLine }: Output): Figures {
  const printed = JSON.parse(lastLine) as Figures
  return Object.fromEntries(FIGURES.flatMap((name) => (printed[name] === undefined ? [] : [[name, printed[name]]])))
}

/** Throws unless so many lines were printed. */
export function expectLines({ lines, lastLine }: Output, expected: number): Figures {
  if (lines !== expected) throw new Error(`printed ${lines} lines in place of ${expected}; the last: ${lastLine}`)
  return {}
}
