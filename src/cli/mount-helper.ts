// What mount(8) and umount(8) run for cairnfs: `mount.cairnfs STORE DIR [-sfnv] [-N namespace] [-o options] [-t type]`
// and, from the script umount.fuse.cairnfs, `--umount DIR [-flnrv] ...`. See mount(8), "EXTERNAL HELPERS".
//
// Must stay true: on success nothing is printed, and the mount answers (the daemon is gone) when it returns; exit statuses
// are mount(8)'s.
import { spawnSync } from 'node:child_process'
import { CommandError, codeOf, describeError, UsageError } from './errors.ts'
import { endOnUncaught } from './last-resort.ts'
import { mount } from './mount.ts'
import { isRemount, readMountSettings } from './options.ts'

/** mount(8), "EXIT STATUS". */
/** Of mount(8)'s codes: a mount that does not come about ends with 1, as `cairnfs mount` does; an unmount with 32. */
const Exit = { mountFailed: 1, umountFailed: 32, usageOrPermission: 1 } as const

export interface HelperArguments {
  positional: string[]
  /** The letters of the flags given. */
  flags: Set<string>
  /** All -o texts. */
  options: string[]
  namespace: string | null
}

/** `argv` as process.argv. Resolves to the exit status. */
export async function runMountHelper(argv: readonly string[]): Promise<number> {
  process.removeAllListeners('warning')
  const isUmount = argv[2] === '--umount'
  const program = isUmount ? 'umount.fuse.cairnfs' : 'mount.cairnfs'
  const tell = (error: unknown) => process.stderr.write(`${program}: ${describeError(error)}\n`)
  endOnUncaught(tell)
  try {
    const args = parseHelperArguments(argv.slice(isUmount ? 3 : 2), isUmount ? 'flnrv' : 'sfnv')
    if (args.namespace !== null) return enterNamespace(args.namespace, argv)
    return isUmount ? await runUmount(args) : await runMount(args, program)
  } catch (error) {
    tell(error)
    return isUmount ? umountStatus(error) : Exit.mountFailed
  }
}

/** Parses what mount(8) gives; options may stand anywhere. `letters`: flags without a value. */
export function parseHelperArguments(args: readonly string[], letters: string): HelperArguments {
  const result: HelperArguments = { positional: [], flags: new Set(), options: [], namespace: null }
  for (let at = 0; at < args.length; at++) {
    const argument = args[at]!
    if (argument === '--') {
      result.positional.push(...args.slice(at + 1))
      break
    }
    if (!argument.startsWith('-') || argument === '-') {
      result.positional.push(argument)
      continue
    }
    for (let place = 1; place < argument.length; place++) {
      const letter = argument[place]!
      if (letters.includes(letter)) {
        result.flags.add(letter)
        continue
      }
      if (!'oNt'.includes(letter)) throw new UsageError(`unknown option -${letter}: see mount(8)`)
      const value = argument.slice(place + 1) || args[++at]
      if (value === undefined) throw new UsageError(`-${letter} needs a value: see mount(8)`)
      if (letter === 'o') result.options.push(value)
      else if (letter === 'N') result.namespace = value
      break
    }
  }
  return result
}

async function runMount({ positional, flags, options }: HelperArguments, program: string): Promise<number> {
  const [storeName, dir] = positional
  if (storeName === undefined || dir === undefined || positional.length > 2) {
    throw new UsageError('usage: mount.cairnfs STORE DIR [-sfnv] [-N namespace] [-o options]')
  }
  const isRoot = process.geteuid!() === 0
  if (isRemount(options)) {
    const { remount } = await import('./remount.ts')
    if (!flags.has('f')) await remount(dir, options)
    return 0
  }
  const settings = readMountSettings({ o: options }, { isRoot, isSloppy: flags.has('s') })
  // A fake mount ends before the system call (mount(8), -f).
  if (flags.has('f')) return 0
  return mount({ storeName, dir, settings, isForeground: false }, { program, statusOf: () => Exit.mountFailed })
}

async function runUmount({ positional, flags }: HelperArguments): Promise<number> {
  const [dir] = positional
  if (dir === undefined || positional.length > 1) throw new UsageError('usage: umount.fuse.cairnfs DIR [-flnrv]')
  if (flags.has('l')) {
    const { unmountAt } = await import('../fuse/index.ts')
    await unmountAt(dir, { mode: 'lazy' })
    return 0
  }
  const { unmount } = await import('./umount.ts')
  await unmount(dir, { force: flags.has('f') })
  return 0
}

/** Runs itself again in another mount namespace (mount -N): a process's, by its id, or one named by a file. */
function enterNamespace(namespace: string, argv: readonly string[]): number {
  const where = /^\d+$/.test(namespace) ? `/proc/${namespace}/ns/mnt` : namespace
  const at = argv.findIndex((argument) => argument.startsWith('-N'))
  const rest = argv.filter((_, index) => index !== at && !(argv[at] === '-N' && index === at + 1))
  const { status, error } = spawnSync('nsenter', [`--mount=${where}`, process.execPath, ...rest.slice(1)], {
    stdio: 'inherit',
  })
  if (error !== undefined) throw new CommandError(`nsenter cannot be run (${codeOf(error)}): install util-linux`)
  return status ?? Exit.mountFailed
}

function umountStatus(error: unknown): number {
  const code = codeOf(error)
  const isOurs = error instanceof UsageError || code === 'EPERM' || code === 'EACCES'
  return isOurs ? Exit.usageOrPermission : Exit.umountFailed
}
