// cairnfs behind libfuse 2 and the package fuse-native (`--binding fuse-native`): the same filesystem, the same requests to the
// store, another way to the kernel.
import { join } from 'node:path'
import { REPOSITORY } from '../programs/index.ts'
import { cairnfs, formatAndMount } from './cairnfs.ts'
import type { System } from './system.ts'

const FUSE = join(REPOSITORY, 'dist/fuse/index.js')
/** Loads it in a process of its own. */
const LOAD = `import(${JSON.stringify(FUSE)}).then(({ loadTransport }) => loadTransport('fuse-native'))
  .catch((error) => { console.log(error.message); process.exitCode = 1 })`

export const cairnfsNative: System = {
  id: 'cairnfs-native',
  title: 'cairnfs, fuse-native',
  limits: {
    ...{ entries: 100_000, withLatency: [] },
    reason: 'what it asks the store for is what cairnfs does, which its own column shows',
  },
  filling: 'created',
  note:
    'cairnfs through fuse-native (--binding fuse-native) has no READDIRPLUS, so that the kernel asks for each file, no lifetime ' +
    'of names and attributes beyond a second, requests of 128 KiB at most, and leaves out what is said of one time alone: files ' +
    'that tar unpacks have no times of their own.',
  async probe(workspace) {
    const found = await cairnfs.probe(workspace)
    if ('missing' in found) return found
    const { status, stdout } = await workspace.run(
      { program: process.execPath, args: ['--eval', LOAD] },
      { limitMs: 30_000 },
    )
    return status === 0 ? found : { missing: stdout.trim() }
  },
  open: (place) => formatAndMount(place, ['--binding', 'fuse-native']),
}
