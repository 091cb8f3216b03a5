// Manifests of trees, made by manifest.py in a child process, and what differs between two of them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Fields of an entry by name; see manifest.py. */
export type Manifest = ReadonlyMap<string, ReadonlyMap<string, string>>

export const PROGRAMS = import.meta.dirname

/** The shell command that writes the manifest of the quoted path `tree` to standard output. */
export function manifestCommand(tree: string, options: '' | '--xattrs' = ''): string {
  return `python3 ${join(PROGRAMS, 'manifest.py')} ${tree} ${options}`
}

export function readManifest(path: string): Manifest {
  return parseManifest(readFileSync(path, 'utf8'))
}

export function parseManifest(text: string): Manifest {
  const lines = text.split('\n').filter((line) => line !== '')
  return new Map(
    lines.map((line) => {
      const [path, ...fields] = line.split('\t')
      const pairs = fields.map((field): [string, string] => {
        const at = field.indexOf('=')
        return [field.slice(0, at), field.slice(at + 1)]
      })
      return [path!, new Map(pairs)]
    }),
  )
}

/** What a filesystem decides for itself, so that it differs between a tree and its copy. */
export const OF_THE_COPY = ['ino', 'blocks', 'atime', 'ctime']

/** A line for each entry that is missing, new or different, at most `limit` of them. `ignore`: fields that may differ.
 *  The size of a directory is its filesystem's own affair, and compared only with `directorySizes`. */
export function differences(
  expected: Manifest,
  actual: Manifest,
  {
    ignore = [],
    directorySizes = false,
    limit = 20,
  }: { ignore?: string[]; directorySizes?: boolean; limit?: number } = {},
): string[] {
  const found: string[] = []
  for (const [path, fields] of expected) {
    const others = actual.get(path)
    if (others === undefined) {
      found.push(`${path}: missing`)
      continue
    }
    const isDirectory = fields.get('type') === 'directory'
    for (const name of new Set([...fields.keys(), ...others.keys()])) {
      if (ignore.includes(name) || (isDirectory && name === 'size' && !directorySizes)) continue
      const [a, b] = [fields.get(name), others.get(name)]
      if (a !== b) found.push(`${path}: ${name} is ${b ?? 'missing'}, not ${a ?? 'missing'}`)
    }
  }
  for (const path of actual.keys()) if (!expected.has(path)) found.push(`${path}: should not be there`)
  return found.length <= limit ? found : [...found.slice(0, limit), `... ${found.length} in all`]
}
