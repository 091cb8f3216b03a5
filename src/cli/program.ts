// The command line of `cairnfs`: one subcommand, one file beside this one.
//
// Must stay true: whatever goes wrong is one line on standard error and exit status 1, never a stack trace; nothing heavy
// is imported before a subcommand needs it (`cairnfs --help` costs a process start and commander).
import { Command, CommanderError } from 'commander'
import { casefoldCommand } from './casefold.ts'
import { CommandError, codeOf, describeError } from './errors.ts'
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
  let name = 'cairnfs'
  endOnUncaught((error) => reportFailure(error, name))
  try {
    const program = makeProgram()
    let command = program
    for (const word of argv.slice(2)) {
      if (command.commands.length === 0 || word.startsWith('-')) break
      const found = command.commands.find((one) => one.name() === word)
      if (found === undefined) throw new CommandError(`there is no command '${word}': see ${name} --help`)
      command = found
      name += ` ${word}`
    }
    await program.parseAsync([...argv])
    return Number(process.exitCode ?? 0) || reportOutput(name)
  } catch (error) {
    return reportFailure(error, name) || reportOutput(name)
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
    if (command.commands.length > 0) withoutCommand(command, `cairnfs ${command.name()}`)
  }
  return withoutCommand(program, 'cairnfs')
}

/** What a command that has others below it says where none of them is given. */
function withoutCommand(command: Command, name: string): Command {
  return command.action(() => {
    process.stdout.write(command.helpInformation())
    throw new CommandError(`no command given: see ${name} --help`)
  })
}

/** Warnings of Node and of libraries (the SDK on the age of Node, say) are no output of ours. */
function quietWarnings(): void {
  process.removeAllListeners('warning')
}

/** Tells that what was to be printed is lost. Who stops reading from a pipe has what he wanted. */
function reportOutput(name: string): number {
  const code = codeOf(process.stdout.errored)
  if (code === undefined || code === 'EPIPE') return 0
  return reportFailure(new CommandError(`standard output cannot be written (${code}): send it elsewhere`), name)
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
