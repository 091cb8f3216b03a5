// `cairnfs casefold`: lets a directory ignore the case of names, as chattr(1) +F does.
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { Command } from 'commander'
import { CommandError, codeOf } from './errors.ts'

/** <linux/fs.h> */
const FS_IOC_GETFLAGS = 0x8008_6601
const FS_IOC_SETFLAGS = 0x4008_6602
const FS_CASEFOLD_FL = 0x4000_0000

export function casefoldCommand(): Command {
  return new Command('casefold')
    .summary('let a directory ignore the case of names')
    .description(
      'From then on names in DIR that differ in case alone are one (by Unicode 12.1.0, as on ext4), and in directories ' +
        'made in it. Names keep the spelling that they were given. DIR must be empty. The same as chattr +F DIR; ' +
        'lsattr -d DIR shows it.',
    )
    .argument('<DIR>', 'an empty directory on a mount of cairnfs')
    .option('--off', 'let it tell case apart again; it must be empty for that too')
    .addHelpText('after', '\nExample:\n  mkdir /mnt/vol/share && cairnfs casefold /mnt/vol/share')
    .action(async (dir: string, { off }: { off?: boolean }) => {
      const { libc } = await import('../platform/index.ts')
      const { open } = await import('node:fs/promises')
      const directory = await open(dir, 'r').catch((error: Error) => {
        const code = codeOf(error)
        const remedy = code === 'ENOTCONN' ? 'its daemon is gone: mount it again' : 'check the path'
        throw new CommandError(`${dir} cannot be opened (${code}): ${remedy}`, 1, { cause: error })
      })
      try {
        // The kernel takes an int, though the numbers say long.
        const flags = Buffer.alloc(8)
        check(dir, libc().ioctl(directory.fd, FS_IOC_GETFLAGS, flags))
        const before = flags.readUInt32LE(0)
        flags.writeUInt32LE((off ? before & ~FS_CASEFOLD_FL : before | FS_CASEFOLD_FL) >>> 0, 0)
        check(dir, libc().ioctl(directory.fd, FS_IOC_SETFLAGS, flags))
      } finally {
        await directory.close()
      }
    })
}

function check(dir: string, result: number): void {
  if (result >= 0) return
  const { EACCES, ENOTDIR, ENOTEMPTY, EPERM, EROFS } = constants.errno
  switch (-result) {
    case ENOTEMPTY:
      throw new CommandError(`${dir} is not empty: make a new directory, and move what is in it there`)
    case ENOTDIR:
      throw new CommandError(`${dir} is not a directory: only directories can ignore case`)
    case EPERM:
    case EACCES:
      throw new CommandError(`${dir} is not yours: do it as its owner, or as root`)
    case EROFS:
      throw new CommandError(`${dir} is on a read-only mount: mount it for writing`)
    default:
      throw new CommandError(
        `${dir} cannot ignore case (${getSystemErrorName(result)}): is it on a mount of cairnfs, and not through fuse-native?`,
      )
  }
}
