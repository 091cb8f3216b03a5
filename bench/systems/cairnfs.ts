// cairnfs itself, as its users run it: dist/main.js, with the options that are the default.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { REGION } from '../minio.ts'
import { REPOSITORY } from '../programs/index.ts'
import type { Command } from '../workspace.ts'
import { probeProgram } from './binaries.ts'
import { MountedInstance } from './mounted.ts'
import { type Instance, NO_LIMITS, type Place, type System } from './system.ts'

/** In its bucket. */
export const VOLUME = 'volume'
/** Where root's daemons have their locks and sockets. */
const RUN = '/run/cairnfs'
const MAIN = join(REPOSITORY, 'dist/main.js')

export const cairnfs: System = {
  id: 'cairnfs',
  title: 'cairnfs',
  limits: NO_LIMITS,
  filling: 'created',
  probe: (workspace) => probeProgram(workspace, MAIN, '--version'),
  open: (place) => formatAndMount(place, []),
}

/** A fresh volume, mounted with `mountOptions` besides the place's. */
export async function formatAndMount(place: Place, mountOptions: readonly string[]): Promise<Instance> {
  const { store, options } = storeOf(place)
  const format = run('format', store, '--name', place.name, '--create-bucket', ...options)
  await place.workspace.expect(format, { limitMs: 60_000 })
  return mountVolume(place, mountOptions)
}

/** Mounts the volume that is there. */
export function mountVolume(place: Place, mountOptions: readonly string[] = []): Promise<Instance> {
  const { store, options } = storeOf(place)
  return MountedInstance.mount(place, {
    steps: (mountpoint) => [
      // The pool's size is in the environment already: the daemon need not start itself again.
      {
        daemon: {
          ...run('mount', '-f', store, mountpoint, ...options, ...memoryOf(place), ...mountOptions),
          env: { UV_THREADPOOL_SIZE: '8' },
        },
      },
    ],
    unmount: (mountpoint) => run('umount', mountpoint),
    filesLeftByForce: (mountpoint, device) => [
      ...locksOf(mountpoint),
      ...(device === null ? [] : [join(RUN, `${device.replace(':', '-')}.sock`)]),
    ],
    unmountByForce: (mountpoint) => run('umount', '--force', mountpoint),
  })
}

function storeOf({ endpoint, bucket }: Place): { store: string; options: string[] } {
  return {
    store: `s3://${bucket}/${VOLUME}`,
    options: ['--endpoint', endpoint, '--path-style', '--region', REGION],
  }
}

function memoryOf({ memory }: Place): string[] {
  return memory === undefined ? [] : ['--memory', memory]
}

function run(...args: string[]): Command {
  return { program: process.execPath, args: [MAIN, ...args] }
}

/** The locks of slots that a mount there holds, or held: they say so. */
function locksOf(mountpoint: string): string[] {
  if (!existsSync(RUN)) return []
  return readdirSync(RUN)
    .filter((name) => name.endsWith('.lock'))
    .map((name) => join(RUN, name))
    .filter((path) => textOf(path).includes(JSON.stringify(mountpoint)))
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Its owner has removed it meanwhile.
    return ''
  }
}
