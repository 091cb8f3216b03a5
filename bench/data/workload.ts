// What `bench -- data` measures: one program, run in a directory of a mount.

import type { Figures, Output, Temperature } from '../workloads/index.ts'
import type { Command } from '../workspace.ts'

/** How much is written and read, and where what is copied into the mount lies. */
export interface Scale {
  /** Of the large file. */
  sizeBytes: number
  /** Of the source tree. */
  treeFiles: number
  /** In the one directory that `many` reads. */
  manyFiles: number
  /** Of random reads and writes. */
  runtimeSec: number
}

/** Where it runs, and what the harness has made on the local disk. */
export interface Scene extends Scale {
  /** In the mount; it is there. */
  directory: string
  /** The tar of the source tree, and the sum of its files' lengths. */
  tar: string
  treeBytes: number
  /** A bare repository. */
  repository: string
}

export interface DataWorkload {
  /** For --workloads and in the JSON. */
  id: string
  /** In Markdown. */
  title: string
  /** `cold`: mounted again before it, with empty caches. */
  temperature: Temperature
  /** What must have run on the volume before; is run without being measured if nobody wants it measured. */
  needs: DataWorkload | null
  command(scene: Scene): Command
  /** Whether the filesystem's barrier counts; a program that syncs what it writes needs none. */
  hasBarrier: boolean
  /** Throws when the program did not see what is there. */
  judge(output: Output, scene: Scene): Figures
  /** Brings the program into memory, where it does not tell its own time. */
  warmUp?: Command
  /** What our client of S3 does without a filesystem for the same; null: nothing comes near. */
  onStore: 'write' | 'read' | null
  /** What it moves, where the rate is what a reader looks for. */
  bytes?(scale: Scale): number
  files?(scale: Scale): number
  /** Of cairnfs, unless the run says otherwise. */
  memory?: string
  /** Says something of cairnfs only: it alone runs it, on a volume of its own whose segments are counted. */
  isOfSegments?: boolean
}
