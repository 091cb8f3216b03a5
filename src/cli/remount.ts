// `mount -o remount`: what the kernel observes of a mount (ro, nosuid and so on) is changed while it stays. The daemon hears
// nothing of that: how it works is changed by a mount of its own.
//
// Must stay true: a mount that has become read-only is durable when this returns; one that writes nothing, since it was mounted
// with -o ro, is not made to seem writable.
import { type MountEntry, remountAt } from '../fuse/index.ts'
import { ANSWER_MS, ControlClient, findCairnfsMount } from './control-client.ts'
import { CommandError } from './errors.ts'
import { type KernelFlags, readKernelWords } from './options.ts'

/** `options`: all -o texts; those that are no words of mount(8) stay as they were. */
export async function remount(dir: string, options: readonly string[]): Promise<void> {
  const entry = findCairnfsMount(dir)
  const before = flagsOf(entry)
  const flags = { ...before, ...readKernelWords(options) }
  const client = await ControlClient.connect(entry)
  if (client === null) throw new CommandError(`${dir} has no daemon any more: mounting it again repairs that`)
  try {
    const { status } = await client.ask({ command: 'status' }, { answerMs: ANSWER_MS })
    if (status?.readOnly === true && !flags.readOnly) {
      throw new CommandError(`${dir} was mounted to be read only: umount it, and mount it for writing`)
    }
    remountAt(entry, flags)
    if (flags.readOnly && status?.readOnly === false) await client.ask({ command: 'sync' })
  } finally {
    client.close()
  }
}

/** What a mount observes now. */
function flagsOf({ options, superOptions }: MountEntry): KernelFlags {
  const words = options.split(',')
  const superWords = superOptions.split(',')
  return {
    readOnly: words.includes('ro') || superWords.includes('ro'),
    nosuid: words.includes('nosuid'),
    nodev: words.includes('nodev'),
    noexec: words.includes('noexec'),
    noatime: words.includes('noatime'),
    sync: superWords.includes('sync'),
    dirsync: superWords.includes('dirsync'),
  }
}
