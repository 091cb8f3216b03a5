// `cairnfs resume`: has a mount that turned read-only, since its journal could not be written, try again.
import { Command } from 'commander'
import { CommandError } from './errors.ts'

export function resumeCommand(): Command {
  return new Command('resume')
    .summary('have a mount that turned read-only try again')
    .description(
      'A mount whose journal could not be written turns read-only and keeps in memory what is not yet durable (cairnfs ' +
        'status tells why). This has it try again, when the store is well: it returns once everything is durable and ' +
        'the mount takes changes again. A mount that lost its volume to another one cannot resume: unmount it.',
    )
    .argument('<DIR>', 'where it is mounted')
    .option('--json', 'one JSON object, for programs')
    .addHelpText('after', '\nExample:\n  cairnfs status /mnt/vol; cairnfs resume /mnt/vol')
    .action(async (dir: string, options: { json?: boolean }) => {
      const { ControlClient, findCairnfsMount } = await import('./control-client.ts')
      const client = await ControlClient.connect(findCairnfsMount(dir))
      if (client === null) {
        throw new CommandError(`${dir} has no daemon any more: mounting it again (or cairnfs umount) repairs that`)
      }
      try {
        const { status } = await client.ask({ command: 'status' })
        await client.ask({ command: 'resume' })
        const wasFailed = status?.failure ?? null
        if (options.json) process.stdout.write(`${JSON.stringify({ mountpoint: dir, wasFailed, resumed: true })}\n`)
        else process.stdout.write(`${dir} ${wasFailed === null ? 'was well' : 'takes changes again'}: all is durable\n`)
      } finally {
        client.close()
      }
    })
}
