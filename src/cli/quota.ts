// `cairnfs quota`: limits on what a directory tree, a uid, a gid or the whole volume may take.
import { relative, sep } from 'node:path'
import { Command } from 'commander'
import type { MountEntry } from '../fuse/index.ts'
import type { ControlClient } from './control-client.ts'
import { CommandError, UsageError } from './errors.ts'
import type { QuotaCommand, QuotaLine, QuotaTarget } from './quota-protocol.ts'
import { formatSize, ofOption, parseCount, parseSize } from './units.ts'

const POLL_MS = 500
/** A uid or gid is at most this; the highest number stands for none. */
const ID_MAX = 0xffff_fffe
const NOTHING = 'nothing is limited\n'

interface TargetOptions {
  uid?: number
  gid?: number
  volume?: boolean
}

interface SetOptions extends TargetOptions {
  bytes?: number | 'none'
  inodes?: number | 'none'
  wait?: boolean
}

export function quotaCommand(): Command {
  const quota = new Command('quota')
    .summary('limit what a directory tree, a user or the volume may take')
    .description(
      'Limits bytes and inodes of a directory tree, a uid, a gid or the whole volume. Bytes are sizes of files as ls -l shows ' +
        'them, holes included; a copy that shares its bytes counts in full. A full tree, uid or gid gives EDQUOT, a full ' +
        'volume ENOSPC; nothing is ever passed, not by a byte. Trees may lie within trees: every limit above a file binds. ' +
        'df DIR shows what is left below DIR. Only who mounted it, or root, may do this.',
    )
    .addHelpText('after', EXAMPLES)
  const commands = [setCommand(), getCommand(), listCommand(), removeCommand(), checkCommand()]
  for (const command of commands) quota.addCommand(command)
  return quota
}

const EXAMPLES =
  '\nExamples:\n' +
  '  cairnfs quota set /mnt/vol/projects --bytes 10MiB --inodes 20\n' +
  '  cairnfs quota set /mnt/vol --uid 1000 --bytes 5GiB\n' +
  '  cairnfs quota set /mnt/vol --volume --bytes 1TiB\n' +
  '  cairnfs quota list /mnt/vol\n' +
  '  df -h /mnt/vol/projects'

function setCommand(): Command {
  return withTarget(new Command('set'))
    .summary('set a limit, or change it')
    .description(
      'Sets limits on the directory tree below DIR, or on what --uid, --gid or --volume name. What is there already is counted ' +
        'first, in the background where it is much, also after a crash: the limits bind when that is done. Directories, and ' +
        'files with several names, cannot be moved into a tree or out of it (EXDEV: mv copies them). A limit below what is ' +
        'used takes nothing away, but lets nothing be added. Where no limit is left its use goes on being counted: ' +
        'cairnfs quota remove ends that.',
    )
    .option(
      '--bytes <SIZE>',
      'at most so much in all: bytes, or K M G T (KiB MiB GiB TiB); none: no limit',
      limitOf('bytes', parseSize),
    )
    .option(
      '--inodes <N>',
      'at most so many files and directories, DIR among them; none: no limit',
      limitOf('inodes', (text) => parseCount(text, 0)),
    )
    .option('--wait', 'return when all is counted')
    .option('--json', 'one JSON object, for programs')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  cairnfs quota set /mnt/vol/projects --bytes 10MiB --inodes 20\n' +
        '  cairnfs quota set /mnt/vol/projects --inodes none\n' +
        '  cairnfs quota set /mnt/vol --uid 1000 --bytes 5GiB --wait',
    )
    .action(async (path: string, options: SetOptions & { json?: boolean }) => {
      const { bytes, inodes } = options
      if (bytes === undefined && inodes === undefined) throw new UsageError('give --bytes or --inodes, or both')
      await asking(path, async (ask, target) => {
        const limits = { ...given('bytes', bytes), ...given('inodes', inodes) }
        let [line] = await ask({ command: 'quota', action: 'set', target: target(options), ...limits })
        if (options.wait) line = await counted(ask, target(options), line!)
        if (options.json) print(line)
        else if (line!.counting) {
          const where = `cairnfs quota get ${path}${flagsOf(options)}`
          process.stdout.write(`what is there is being counted, the limits bind when that is done: ${where} shows it\n`)
        }
      })
    })
}

function getCommand(): Command {
  return withTarget(new Command('get'))
    .summary('show one limit, and what is used of it')
    .description('Shows the limits on the directory tree below DIR, or on what --uid, --gid or --volume name.')
    .option('--json', 'one JSON object, for programs')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  cairnfs quota get /mnt/vol/projects\n' +
        "  cairnfs quota get /mnt/vol --uid 1000 --json | jq '.bytes.used'",
    )
    .action((path: string, options: TargetOptions & { json?: boolean }) =>
      asking(path, async (ask, target) => {
        const lines = await ask({ command: 'quota', action: 'get', target: target(options) })
        if (options.json) print(lines[0])
        else process.stdout.write(await tableOf(lines))
      }),
    )
}

function listCommand(): Command {
  return new Command('list')
    .summary('show all limits of a volume')
    .description(
      'Shows every limit of the volume that DIR is on, and what is used of it. Paths are below its root directory; what is not ' +
        'printable in them shows as \\x and two digits.',
    )
    .argument('<DIR>', 'a directory on a mount of cairnfs')
    .option('--json', 'one JSON array, for programs')
    .addHelpText(
      'after',
      '\nWith --json each is {"kind": "tree", "path": "/projects", "bytes": {"used": 0, "limit": 1048576},\n' +
        '"inodes": {"used": 1, "limit": null}, "counting": false}: "kind" is tree, volume, uid or gid, the latter two with\n' +
        '"id" for "path"; "limit" null: none; "counting": its use is not known yet, and it does not bind.\n' +
        '\nExamples:\n' +
        '  cairnfs quota list /mnt/vol\n' +
        "  cairnfs quota list /mnt/vol --json | jq -r '.[] | select(.counting) | .path'",
    )
    .action((path: string, { json }: { json?: boolean }) =>
      asking(path, async (ask) => {
        const lines = await ask({ command: 'quota', action: 'list' })
        if (json) print(lines)
        else process.stdout.write(lines.length === 0 ? NOTHING : await tableOf(lines))
      }),
    )
}

function removeCommand(): Command {
  return withTarget(new Command('remove'))
    .summary('take a limit away')
    .description('Takes the limits on the directory tree below DIR away, or on what --uid, --gid or --volume name.')
    .addHelpText(
      'after',
      '\nExamples:\n  cairnfs quota remove /mnt/vol/projects\n  cairnfs quota remove /mnt/vol --uid 1000',
    )
    .action((path: string, options: TargetOptions) =>
      asking(path, async (ask, target) => {
        await ask({ command: 'quota', action: 'remove', target: target(options) })
      }),
    )
}

function checkCommand(): Command {
  return new Command('check')
    .summary('count everything again, and compare')
    .description(
      'Counts what there is against every limit of the volume that DIR is on, while it is in use, and compares it with what is ' +
        'kept of it in the tables: bytes that are not in the store yet count in neither. Where they differ it exits with ' +
        'status 1; cairnfs fsck --repair then puts it right.',
    )
    .argument('<DIR>', 'a directory on a mount of cairnfs')
    .option('--json', 'one JSON array, for programs')
    .addHelpText('after', '\nExample:\n  cairnfs quota check /mnt/vol')
    .action((path: string, { json }: { json?: boolean }) =>
      asking(path, async (ask) => {
        const lines = await ask({ command: 'quota', action: 'check' })
        const wrong = lines.filter(
          ({ counted, recorded }) => counted?.bytes !== recorded?.bytes || counted?.inodes !== recorded?.inodes,
        )
        if (json) print(lines)
        else {
          for (const line of wrong) {
            const { counted, recorded } = line
            const kept = `${recorded!.bytes} bytes and ${recorded!.inodes} inodes`
            process.stdout.write(
              `${await nameOf(line)}: ${kept} are kept, there are ${counted!.bytes} and ${counted!.inodes}\n`,
            )
          }
          const right = `${lines.length - wrong.length} of ${lines.length} are right`
          process.stdout.write(lines.length === 0 ? NOTHING : `${right}\n`)
        }
        if (wrong.length > 0) process.exitCode = 1
      }),
    )
}

function withTarget(command: Command): Command {
  const id = (name: 'uid' | 'gid') =>
    ofOption(name, (text) => {
      if (!/^\d+$/.test(text)) throw new UsageError(`'${text}' is not a number: ${NUMBERS[name]}`)
      const value = parseCount(text, 0)
      if (value > ID_MAX) throw new UsageError(`'${text}' is too large`)
      return value
    })
  return command
    .argument('<DIR>', 'the topmost directory of a tree; with --uid, --gid or --volume any on the mount')
    .option('--uid <N>', 'what this uid owns in the whole volume', id('uid'))
    .option('--gid <N>', 'what this gid has in the whole volume', id('gid'))
    .option('--volume', 'the whole volume')
}

const NUMBERS = { uid: 'id -u NAME tells that of a user', gid: 'getent group NAME tells that of a group' }

/** Commander takes null for no value at all. */
function limitOf(name: string, parse: (text: string) => number): (text: string) => number | 'none' {
  return ofOption(name, (text) => (text === 'none' ? 'none' : parse(text)))
}

function given(name: 'bytes' | 'inodes', limit: number | 'none' | undefined): Record<string, number | null> {
  return limit === undefined ? {} : { [name]: limit === 'none' ? null : limit }
}

function flagsOf({ uid, gid, volume }: TargetOptions): string {
  return uid !== undefined ? ` --uid ${uid}` : gid !== undefined ? ` --gid ${gid}` : volume ? ' --volume' : ''
}

type Ask = (command: QuotaCommand) => Promise<QuotaLine[]>

/** Finds the daemon of the mount that `path` is on. `target` says what the options mean there. */
async function asking(
  path: string,
  use: (ask: Ask, target: (options: TargetOptions) => QuotaTarget) => Promise<void>,
): Promise<void> {
  const { realpath } = await import('node:fs/promises')
  const { ControlClient } = await import('./control-client.ts')
  const { findMountOf, MOUNT_TYPE } = await import('../fuse/index.ts')
  const real = await realpath(path).catch((error: Error) => {
    const remedy = path.includes('\ufffd')
      ? 'for names that are not UTF-8 use setfattr -n ceph.quota.max_bytes -v BYTES, and ceph.quota.max_files'
      : 'check the path'
    throw new CommandError(`${path} cannot be reached: ${remedy}`, 1, { cause: error })
  })
  const entry = findMountOf(real)
  if (entry?.type !== MOUNT_TYPE)
    throw new CommandError(`${path} is not on a mount of cairnfs: give a directory on one`)
  const client = await ControlClient.connect(entry)
  if (client === null)
    throw new CommandError(`${entry.mountpoint} has no daemon any more: mounting it again repairs that`)
  const directory = relative(entry.mountpoint, real)
    .split(sep)
    .filter((part) => part !== '')
  try {
    await use(
      (command) => {
        assertChangeable(entry, command)
        return askLines(client, command)
      },
      (options) => targetOf(options, directory),
    )
  } finally {
    client.close()
  }
}

/** The daemon does not hear of a mount that `mount -o remount,ro` has made read-only. */
function assertChangeable({ mountpoint, options, superOptions }: MountEntry, { action }: QuotaCommand): void {
  const isReadOnly = [options, superOptions].some((words) => words.split(',').includes('ro'))
  if (isReadOnly && (action === 'set' || action === 'remove'))
    throw new CommandError(`${mountpoint} is mounted read-only, and takes no changes: mount it for writing`)
}

async function askLines(client: ControlClient, command: QuotaCommand): Promise<QuotaLine[]> {
  const lines: QuotaLine[] = []
  await client.ask(command, { onQuota: (line) => lines.push(line) })
  return lines
}

function targetOf({ uid, gid, volume }: TargetOptions, directory: string[]): QuotaTarget {
  const options = [uid, gid, volume].filter((value) => value !== undefined)
  if (options.length > 1) throw new UsageError('--uid, --gid and --volume are different limits: give one of them')
  if (uid !== undefined) return { kind: 'uid', id: uid }
  if (gid !== undefined) return { kind: 'gid', id: gid }
  return volume ? { kind: 'volume' } : { kind: 'tree', directory }
}

/** Waits until all is counted, and says how far it is where somebody looks. */
async function counted(ask: Ask, target: QuotaTarget, first: QuotaLine): Promise<QuotaLine> {
  const { showSteps } = await import('./step-progress.ts')
  const progress = await showSteps()
  try {
    for (let line = first; ; [line] = (await ask({ command: 'quota', action: 'get', target })) as [QuotaLine]) {
      if (!line.counting) return line
      progress.update('inodes counted', line.inodes.used, null)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  } finally {
    progress.stop()
  }
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

async function nameOf({ kind, path, id }: QuotaLine): Promise<string> {
  const { printable } = await import('../platform/index.ts')
  return kind === 'volume' ? 'the volume' : kind === 'tree' ? printable(Buffer.from(path!)) : `${kind} ${id}`
}

const HEADS = ['quota', 'bytes', 'limit', 'used', 'inodes', 'limit', 'used', '']

async function tableOf(lines: readonly QuotaLine[]): Promise<string> {
  const names = await Promise.all(lines.map(nameOf))
  const rows = lines.map((line, at) => [
    names[at]!,
    formatSize(line.bytes.used),
    line.bytes.limit === null ? '-' : formatSize(line.bytes.limit),
    shareOf(line.bytes),
    String(line.inodes.used),
    String(line.inodes.limit ?? '-'),
    shareOf(line.inodes),
    line.counting ? 'counting' : '',
  ])
  const all = [HEADS, ...rows]
  const widths = HEADS.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  return all
    .map((row) => {
      const cells = row.map((cell, at) =>
        at === 0 || at === row.length - 1 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!),
      )
      return `${cells.join('  ').trimEnd()}\n`
    })
    .join('')
}

function shareOf({ used, limit }: { used: number; limit: number | null }): string {
  if (limit === null) return '-'
  return `${limit === 0 ? 100 : Math.floor((used / limit) * 100)} %`
}
