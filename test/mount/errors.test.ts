// What goes wrong before there is a mount: for every command one line with the cause, the thing and the remedy, no two
// alike, the right exit status, no stack trace, and nothing left behind.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type BuiltProgram, buildProgram, LocalVolume, makeDirectory } from '../cli/built-program.ts'
import { minio } from '../s3/minio.ts'
import { MountHarness, type RunOptions, shellQuote } from './harness.ts'

const NOBODY = { uid: 65534, gid: 65534 }
/** A port that nobody listens on. */
const NOWHERE = 'http://127.0.0.1:1'
const KEYS = { AWS_ACCESS_KEY_ID: 'wrong-key-id', AWS_SECRET_ACCESS_KEY: 'wrong-secret', AWS_REGION: 'us-east-1' }

type CommandName = 'format' | 'mount' | 'mount -f' | 'helper'

interface Case {
  name: string
  commands: CommandName[]
  needsMinio?: boolean
  /** In the line. */
  thing: RegExp
  remedy: RegExp
  prepare(volume: LocalVolume): Promise<{
    store?: string
    mountpoint?: string
    args?: string
    options?: RunOptions
    /** A shell prefix around the command. */
    within?: (command: string) => string
    /** What is rightly there afterwards. */
    stays?: string[]
  }>
}

const MOUNTS: CommandName[] = ['mount', 'mount -f', 'helper']
const ALL: CommandName[] = ['format', ...MOUNTS]

/** Hides /dev/fuse: in a mount namespace of its own, with a /dev that holds only what programs need. */
const withoutDevice = (command: string) =>
  `unshare -m bash -c ${shellQuote(
    `mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && ${command}`,
  )}`

const CASES: Case[] = [
  {
    name: 'a folder that does not exist',
    commands: MOUNTS,
    thing: /file:\/\/\S*\/nowhere/,
    remedy: /cairnfs format/,
    prepare: async (volume) => ({ store: `${volume.store}/nowhere` }),
  },
  {
    name: 'a bucket that does not exist',
    commands: ALL,
    needsMinio: true,
    thing: /s3:\/\/cairnfs-test-missing/,
    remedy: /--create-bucket/,
    prepare: async () => ({ store: 's3://cairnfs-test-missing', args: `endpoint=${minio?.endpoint}` }),
  },
  {
    name: 'wrong credentials',
    commands: ALL,
    needsMinio: true,
    thing: /s3:\/\/cairnfs-test-denied.*InvalidAccessKeyId/,
    remedy: /--credentials-file/,
    prepare: async () => ({
      store: 's3://cairnfs-test-denied',
      args: `endpoint=${minio?.endpoint}`,
      options: { env: KEYS },
    }),
  },
  {
    name: 'no credentials',
    commands: ALL,
    thing: /s3:\/\/bucket: no keys were found/,
    remedy: /AWS_ACCESS_KEY_ID.*--credentials-file/,
    prepare: async () => ({
      store: 's3://bucket',
      args: `endpoint=${NOWHERE}`,
      options: { env: { AWS_EC2_METADATA_DISABLED: 'true', AWS_REGION: 'us-east-1', HOME: '/nonexistent' } },
      within: (command) => `env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_PROFILE ${command}`,
    }),
  },
  {
    name: 'a credentials file that does not exist',
    commands: ALL,
    thing: /--credentials-file \/nowhere\/keys cannot be read \(ENOENT\)/,
    remedy: /check the path/,
    prepare: async () => ({ store: 's3://bucket', args: 'credentials-file=/nowhere/keys' }),
  },
  {
    name: 'a file in the place of the folder',
    commands: ['format'],
    thing: /file:\/\/\S*\/store: a part of the path is a file/,
    remedy: /name a folder/,
    prepare: async (volume) => {
      writeFileSync(volume.folder, '')
      return {}
    },
  },
  {
    name: 'an endpoint that does not answer',
    commands: ALL,
    thing: /s3:\/\/bucket.*ECONNREFUSED/,
    remedy: /--endpoint/,
    prepare: async () => ({ store: 's3://bucket', args: `endpoint=${NOWHERE}`, options: { env: KEYS } }),
  },
  {
    name: 'not a volume',
    commands: MOUNTS,
    thing: /file:\/\/\S*\/store holds no cairnfs volume/,
    remedy: /cairnfs format/,
    prepare: async (volume) => {
      makeDirectory(volume.folder)
      return {}
    },
  },
  {
    name: 'foreign objects',
    commands: ['format'],
    thing: /file:\/\/\S*\/store.*photos\/cat\.jpg/,
    remedy: /choose an empty place/,
    prepare: async (volume) => {
      writeFileSync(join(makeDirectory(join(volume.folder, 'photos')), 'cat.jpg'), 'meow')
      return { args: 'force' }
    },
  },
  {
    name: 'a volume that exists',
    commands: ['format'],
    thing: /file:\/\/\S*\/store already holds/,
    remedy: /--force/,
    prepare: async (volume) => {
      await volume.format()
      return {}
    },
  },
  {
    name: 'a newer format',
    commands: MOUNTS,
    thing: /file:\/\/\S*\/store has format version 3/,
    remedy: /newer cairnfs/,
    prepare: async (volume) => {
      await volume.format()
      const path = join(volume.folder, 'volume.json')
      writeFileSync(path, readFileSync(path, 'utf8').replace('"formatVersion": 2', '"formatVersion": 3'))
      return {}
    },
  },
  {
    name: 'held by another',
    commands: ALL,
    thing: /host \S+, pid \d+, since 20\d\d-/,
    remedy: /umount/,
    prepare: async (volume) => {
      await volume.format()
      const elsewhere = harness.mountpoint('elsewhere')
      await volume.cairnfs(`mount ${volume.store} ${elsewhere}`)
      cleanUps.push(() => volume.cairnfs(`umount ${elsewhere}`))
      return { args: 'force', stays: ['process', 'lock', 'slot'] }
    },
  },
  {
    name: 'a mountpoint that does not exist',
    commands: MOUNTS,
    thing: /\/nowhere/,
    remedy: /mkdir/,
    prepare: async (volume) => {
      await volume.format()
      return { mountpoint: `${volume.mountpoint}/nowhere` }
    },
  },
  {
    name: 'a mountpoint that is a mount',
    commands: MOUNTS,
    thing: /\/proc is already a mount/,
    remedy: /umount/,
    prepare: async (volume) => {
      await volume.format()
      return { mountpoint: '/proc' }
    },
  },
  {
    name: 'no /dev/fuse',
    commands: MOUNTS,
    thing: /\/dev\/fuse is missing/,
    remedy: /modprobe fuse/,
    prepare: async (volume) => {
      await volume.format()
      return { within: withoutDevice }
    },
  },
  {
    name: 'no permission to mount there',
    commands: MOUNTS,
    thing: /no permission to mount on \S+/,
    remedy: /be able to write/,
    prepare: async (volume) => {
      await volume.format()
      return { options: NOBODY }
    },
  },
  {
    name: 'no permission to the store',
    commands: ALL,
    thing: /file:\/\/\S*\/store.*(EACCES|permission)/,
    remedy: /run as root/,
    prepare: async (volume) => {
      makeDirectory(volume.folder)
      chmodSync(volume.folder, 0o700)
      chmodSync(volume.mountpoint, 0o777)
      return { options: NOBODY }
    },
  },
  {
    name: 'an option that does not exist',
    commands: ALL,
    thing: /'bogus'|'--bogus'/,
    remedy: /--help/,
    prepare: async () => ({ args: 'bogus=secret-value' }),
  },
]

const harness = new MountHarness()
const cleanUps: (() => Promise<unknown>)[] = []
const lines = new Map<CommandName, Map<string, string>>()
let program: BuiltProgram

beforeAll(() => {
  program = buildProgram()
})
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
  await harness.cleanUp()
})
afterAll(() => program.remove())

function commandLine(name: CommandName, store: string, mountpoint: string, args: string | undefined): string {
  switch (name) {
    case 'format':
      return `${program.cairnfs} format ${store}${args === 'force' ? ' --force' : args ? ` -o ${args}` : ''}`
    case 'mount':
    case 'mount -f': {
      const options = args === undefined || args === 'force' ? '' : ` --${args.replace('=', ' ')}`
      return `${program.cairnfs} ${name} ${store} ${mountpoint}${options}`
    }
    case 'helper':
      return `${program.mountHelper} ${store} ${mountpoint} -o rw${args === undefined || args === 'force' ? '' : `,${args}`}`
  }
}

const PREFIX: Record<CommandName, RegExp> = {
  format: /^cairnfs format: /,
  mount: /^cairnfs mount: /,
  'mount -f': /^cairnfs mount: /,
  helper: /^mount\.cairnfs: /,
}

describe.each(CASES)('$name', ({ name, commands, needsMinio = false, thing, remedy, prepare }) => {
  const reason = needsMinio && minio === undefined ? ' (needs MinIO)' : ''
  it.skipIf(reason !== '').each(commands)(`%s${reason}`, async (command) => {
    const volume = new LocalVolume(harness, program)
    const { store, mountpoint, args, options, within, stays = [] } = await prepare(volume)
    const line = commandLine(command, store ?? volume.store, mountpoint ?? volume.mountpoint, args)
    const result = await harness.run(within === undefined ? line : within(line), { timeoutMs: 40_000, ...options })

    // With -f the log stands on standard error too, its lines begin with the time.
    const said = result.stderr.split('\n').filter((text) => text !== '' && !/^\d{4}-\d\d-\d\dT/.test(text))
    expect(said).toHaveLength(1)
    expect(result.stdout).toBe('')
    expect(said[0]).toMatch(PREFIX[command])
    expect(said[0]).toMatch(thing)
    expect(said[0]).toMatch(remedy)
    expect(result.stderr).not.toMatch(/^ +at |secret/m)
    expect(result.status).toBe(1)
    expect(volume.leftOvers().filter((left) => !stays.some((kind) => left.startsWith(kind)))).toEqual([])

    const ofCommand = lines.get(command) ?? new Map<string, string>()
    lines.set(command, ofCommand)
    ofCommand.set(name, said[0]!.replaceAll(/\/tmp\/\S+|\d+/g, ''))
  })
})

it('no two errors of a command are alike', () => {
  for (const [, byCase] of lines) expect(new Set(byCase.values()).size).toBe(byCase.size)
  expect(lines.get('mount')?.size).toBeGreaterThan(8)
})
