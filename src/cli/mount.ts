// `cairnfs mount`, and the part of it that the mount helper shares: going to the background, or staying in front.
import { resolve } from 'node:path'
import { Command } from 'commander'
import { becomeDaemon, type Report, sendReport, startDaemon, takeDaemonRole } from './background.ts'
import { CommandError, describeError } from './errors.ts'
import { addOptions, type MountSettings, readMountSettings } from './options.ts'

export function mountCommand(): Command {
  const command = new Command('mount')
    .summary('mount a volume')
    .description(
      'Mounts the volume in STORE at the directory DIR, and returns when the mount answers; the daemon that serves it ' +
        'goes on in the background. Errors are printed here, with exit status 1; later ones go to the log, ' +
        '/var/log/cairnfs/NAME.log for root, ~/.local/state/cairnfs/NAME.log for others.\n\n' +
        'fsync(2) makes a file durable in the store; what nobody syncs is durable after the commit interval. One host ' +
        'writes at a time; any number may mount with -o ro, and see the state at their mount, or, once the writer has ' +
        'cleaned part of that away (--grace), the newest.\n\n' +
        'With --cache-dir what is read and written is kept on a local disk too, for later mounts. The folder must be ' +
        'empty or such a cache, and nobody else may write to it; it may be deleted at any time, and is to be after the ' +
        'bucket was put back to an older state.\n\n' +
        'Credentials come from the AWS chain (AWS_ACCESS_KEY_ID and so on, ~/.aws, instance roles).',
    )
    .argument('<STORE>', 's3://BUCKET/PREFIX or file:///PATH, formatted before')
    .argument('<DIR>', 'an existing directory')
    .option('-f, --foreground', 'stay in front and log to standard error')
  addOptions(command, 'mount')
  return command
    .addHelpText(
      'after',
      '\nOf mount(8): ro, rw, suid, nosuid, dev, nodev, exec, noexec, sync, dirsync and\n' +
        'noatime are observed (for root the default is suid,dev, for others nosuid,nodev);\n' +
        '_netdev, nofail, user, x-* and the like are understood. Times of reading are never\n' +
        'kept. mount -o remount, after cairnfs install-helper, changes those that are observed;\n' +
        'everything else takes an unmount. Sizes are bytes, or K M G T (KiB MiB GiB TiB),\n' +
        'powers of 1024.\n' +
        '\nExamples:\n' +
        '  cairnfs mount file:///var/lib/vol /mnt/vol\n' +
        '  cairnfs mount s3://bucket/prefix /mnt/vol --endpoint http://127.0.0.1:9000 --path-style\n' +
        '  cairnfs mount s3://bucket /mnt/vol -o ro,memory=4G,credentials_file=/etc/cairnfs/keys\n' +
        '  cairnfs mount s3://bucket /mnt/vol --cache-dir /var/cache/cairnfs --cache-size 50G\n' +
        '  cairnfs mount s3://bucket /mnt/vol -o acl      # then setfacl(1) and getfacl(1) work\n' +
        '  cairnfs mount -f --log-level debug s3://bucket /mnt/vol\n' +
        '  mount -o remount,ro /mnt/vol                   # all is in the store when it returns\n' +
        '\nIn /etc/fstab, after cairnfs install-helper:\n' +
        '  s3://bucket/prefix /mnt/vol cairnfs _netdev,credentials_file=/etc/cairnfs/keys 0 0',
    )
    .action(async (storeName: string, dir: string, options: Record<string, unknown>) => {
      const settings = readMountSettings(options, { isRoot: process.geteuid!() === 0 })
      process.exitCode = await mount(
        { storeName, dir, settings, isForeground: options.foreground === true },
        { program: 'cairnfs mount', statusOf: (error) => (error instanceof CommandError ? error.exitStatus : 1) },
      )
    })
}

export interface MountCaller {
  /** Name at the beginning of an error line. */
  program: string
  /** Exit status for an error. */
  statusOf: (error: unknown) => number
}

/** Mounts. In the process that the user started it resolves, to the exit status, when the mount answers or has failed; in
 *  the daemon (or with -f), when the mount has ended. */
export async function mount(
  order: { storeName: string; dir: string; settings: MountSettings; isForeground: boolean },
  caller: MountCaller,
): Promise<number> {
  const isDaemon = takeDaemonRole()
  if (!isDaemon && !order.isForeground) return tell(await startDaemon(), caller)
  if (!isDaemon) becomeDaemon()
  const { serve } = await import('./daemon.ts')
  const report = isDaemon ? sendReport : (told: Report) => tell(told, caller)
  let isReady = false
  try {
    const ending = await serve({ ...order, dir: resolve(order.dir) }, () => {
      isReady = true
      report({ ready: true })
    })
    return ending.failure === null ? 0 : 1
  } catch (error) {
    if (isReady) throw error
    const exitStatus = caller.statusOf(error)
    report({ ready: false, message: describeError(error), exitStatus })
    return exitStatus
  }
}

/** Prints what went wrong, if so; the exit status. */
function tell(report: Report, { program }: MountCaller): number {
  if (report.ready) return 0
  process.stderr.write(`${program}: ${report.message}\n`)
  return report.exitStatus
}
