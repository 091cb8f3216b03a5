// `cairnfs install-helper`: what mount(8), umount(8) and fstab need to find us. Shell scripts with absolute paths, so that
// they work at boot, where there is neither PATH nor npm.
//
// Must stay true: files that this command did not write are neither overwritten nor removed; it knows its own by the
// second line.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { makeFolders } from '../platform/index.ts'
import { CommandError, codeOf } from './errors.ts'

const MARK = '# Written by `cairnfs install-helper`; `cairnfs install-helper --remove` takes it away.'

/** Script names, and what each puts before its arguments. */
const SCRIPTS: Record<string, string> = {
  'mount.cairnfs': '',
  'mount.fuse.cairnfs': '',
  'umount.fuse.cairnfs': ' --umount',
}

export function installHelperCommand(): Command {
  return new Command('install-helper')
    .summary('let mount(8), umount(8) and fstab know cairnfs')
    .description(
      'Puts mount.cairnfs, mount.fuse.cairnfs and umount.fuse.cairnfs into /sbin: short shell scripts that run this very ' +
        'installation, by absolute paths. To be repeated when Node or cairnfs moves. Needs root.',
    )
    .option('--remove', 'take them away')
    .option('--prefix <DIR>', 'put them into DIR/sbin instead')
    .addHelpText(
      'after',
      '\nExamples, once installed:\n' +
        '  mount -t cairnfs s3://bucket/prefix /mnt/vol -o credentials_file=/etc/cairnfs/keys\n' +
        '  umount /mnt/vol\n' +
        'and in /etc/fstab:\n' +
        '  s3://bucket/prefix /mnt/vol cairnfs _netdev,credentials_file=/etc/cairnfs/keys  0 0',
    )
    .action((options: { remove?: boolean; prefix?: string }) => {
      const directory = join(options.prefix ?? '/', 'sbin')
      const paths = Object.keys(SCRIPTS).map((name) => join(directory, name))
      // All are looked at before the first is changed.
      for (const path of paths) refuseForeign(path)
      try {
        if (options.remove === true) for (const path of paths) rmSync(path, { force: true })
        else for (const [name, argument] of Object.entries(SCRIPTS)) install(directory, name, argument)
      } catch (error) {
        const code = codeOf(error)
        const remedy = code === 'EACCES' || code === 'EPERM' ? 'run it as root' : 'check the directory'
        throw new CommandError(`cannot change ${directory} (${code}): ${remedy}`, 1, { cause: error })
      }
    })
}

function refuseForeign(path: string): void {
  if (!existsSync(path)) return
  if (readFileSync(path, 'utf8').split('\n')[1] === MARK) return
  throw new CommandError(`${path} was not written by cairnfs install-helper: move it away first`)
}

function install(directory: string, name: string, argument: string): void {
  const helper = fileURLToPath(new URL('../mount-helper.js', import.meta.url))
  const script = `#!/bin/sh\n${MARK}\nexec ${quote(process.execPath)} ${quote(helper)}${argument} "$@"\n`
  const path = join(directory, name)
  makeFolders(directory, 0o755)
  writeFileSync(`${path}.new`, script, { mode: 0o755 })
  renameSync(`${path}.new`, path)
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
