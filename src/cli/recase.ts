// `cairnfs recase`: gives a name in a directory that ignores case another spelling.
import { basename, dirname, relative, sep } from 'node:path'
import { Command } from 'commander'
import { CommandError } from './errors.ts'

export function recaseCommand(): Command {
  return new Command('recase')
    .summary('spell a name anew in a directory that ignores case')
    .description(
      'Finds what NAME leads to in DIR, which ignores case, and has DIR show it as NAME from then on. mv(1) cannot: to ' +
        'the kernel both names are one file already, and it does nothing.',
    )
    .argument('<DIR/NAME>', 'the name as it is to be spelled')
    .addHelpText('after', '\nExample:\n  cairnfs recase /mnt/vol/share/README.txt')
    .action(async (path: string) => {
      const { realpath } = await import('node:fs/promises')
      const { ControlClient } = await import('./control-client.ts')
      const { findMountOf, MOUNT_TYPE } = await import('../fuse/index.ts')
      const parent = await realpath(dirname(path)).catch((error: Error) => {
        throw new CommandError(`${dirname(path)} is no directory that can be reached: check the path`, 1, {
          cause: error,
        })
      })
      const entry = findMountOf(parent)
      if (entry?.type !== MOUNT_TYPE)
        throw new CommandError(`${parent} is not on a mount of cairnfs: give a name below a mountpoint`)
      const client = await ControlClient.connect(entry)
      if (client === null) {
        throw new CommandError(`${entry.mountpoint} has no daemon any more: mounting it again repairs that`)
      }
      try {
        const directory = relative(entry.mountpoint, parent)
          .split(sep)
          .filter((part) => part !== '')
        await client.ask({ command: 'recase', directory, name: basename(path) })
      } finally {
        client.close()
      }
    })
}
