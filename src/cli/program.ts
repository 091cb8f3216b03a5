// The command line of `cairnfs`: one subcommand, one file beside this one.
//
// Must stay true: whatever goes wrong is one line on standard error and exit status 1, never a stack trace; nothing heavy
// is imported before a subcommand needs it (`cairnfs --help` costs a process start and commander).
import { Command, CommanderError } from 'commander'
import { casefoldCommand } from './casefold.ts'
import { CommandError, describeError } from './errors.ts'
import { formatCommand } from './format.ts'
import { USAGE_STATUS as FSCK_USAGE_STATUS, fsckCommand } from './fsck.ts'
import { gcCommand } from './gc.ts'
import { installHelperCommand } from './install-helper.ts'
import { endOnUncaught } from './last-resort.ts'
import { mountCommand } from './mount.ts'
import { quotaCommand } from './quota.ts'
import { recaseCommand } from './recase.ts'
import { resumeCommand } from './resume.ts'
import { statsCommand } from './stats.ts'
import { statusCommand } from './status.ts'
import { syncCommand } from './sync.ts'
import { umountCommand } from './umount.ts'
import { VERSION } from './version.ts'

/** Runs the command line `argv` (as process.argv). Resolves to the exit status. */
export async function runCairnfs(argv: readonly string[]): Promise<number> {
  quietWarnings()
  const word = argv[2]
  let isCommand = false
  endOnUncaught((error) => reportFailure(error, isCommand ? `cairnfs ${word}` : 'cairnfs'))
  try {
    const program = makeProgram()
    isCommand = program.commands.some((command) => command.name() === word)
    if (word !== undefined && !word.startsWith('-') && !isCommand) {
      throw new CommandError(`there is no command '${word}': see cairnfs --help`)
    }
    await program.parseAsync([...argv])
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return reportFailure(error, isCommand ? `cairnfs ${word}` : 'cairnfs')
  }
}

export function makeProgram(): Command {
  const program = new Command('cairnfs')
    .description(
      'A POSIX filesystem whose only store is a bucket (S3, MinIO, any S3-compatible service) or a local folder. ' +
        'STORE is s3://BUCKET/PREFIX or file:///PATH.',
    )
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this, or the help of a command')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .showHelpAfterError(false)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  cairnfs format file:///var/lib/vol && cairnfs mount file:///var/lib/vol /mnt/vol\n' +
        '  cairnfs format s3://bucket/prefix --endpoint http://127.0.0.1:9000 --path-style\n' +
        '  cairnfs mount s3://bucket/prefix /mnt/vol --endpoint http://127.0.0.1:9000 --path-style\n' +
        '  cairnfs umount /mnt/vol\n' +
        '\ncairnfs COMMAND --help tells the rest.',
    )
    .action(() => {
      process.stdout.write(program.helpInformation())
      throw new CommandError('no command given: see cairnfs --help')
    })
  for (const command of [
    formatCommand(),
    mountCommand(),
    umountCommand(),
    syncCommand(),
    statusCommand(),
    statsCommand(),
    resumeCommand(),
    casefoldCommand(),
    recaseCommand(),
    quotaCommand(),
    gcCommand(),
    fsckCommand(),
    installHelperCommand(),
  ]) {
    for (const part of [command, ...command.commands])
      part.copyInheritedSettings(program).helpOption('-h, --help', 'show this').helpCommand(false)
    program.addCommand(command)
  }
  return program
}

/** Warnings of Node and of libraries (the SDK on the age of Node, say) are no output of ours. */
function quietWarnings(): void {
  process.removeAllListeners('warning')
}

function reportFailure(error: unknown, name: string): number {
  if (error instanceof CommanderError) {
    // Asking for help or the version is an "error" of status 0.
    if (error.exitCode === 0) return 0
    process.stderr.write(`${name}: ${describeUsage(error)}: see ${name} --help\n`)
    return name === 'cairnfs fsck' ? FSCK_USAGE_STATUS : 1
  }
  process.stderr.write(`${name}: ${describeError(error)}\n`)
  return error instanceof CommandError ? error.exitStatus : 1
}

/** Commander's message, on one line and without its own prefix. */
function describeUsage(error: CommanderError): string {
  return error.message
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
    .replace(/\.$/, '')
    .trim()
}
