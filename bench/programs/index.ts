// Where the programs lie that workloads run, and how they are called. They tell times in JSON on their last line: a
// program that measures itself leaves out how long it took to start.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '../workspace.ts'

/** The repository: scripts/bench and the tests run the bench there. What is compiled lies elsewhere. */
export const REPOSITORY = process.cwd()

const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3'

export function python(script: string, ...args: (string | number)[]): Command {
  return { program: PYTHON, args: [join(REPOSITORY, 'bench/programs', script), ...args.map(String)] }
}

/** The program of a bucket without a filesystem. */
export function listBucket(...args: (string | number)[]): Command {
  return compiled('list-bucket', args)
}

/** The program that lets a directory of cairnfs grow. */
export function grow(...args: (string | number)[]): Command {
  return compiled('grow', args)
}

/** The program of our own client of S3 without a filesystem. */
export function rawStore(...args: (string | number)[]): Command {
  return compiled('raw-store', args)
}

/** They are compiled beside this file. */
function compiled(name: string, args: (string | number)[]): Command {
  return { program: process.execPath, args: [join(import.meta.dirname, `${name}.js`), ...args.map(String)] }
}
