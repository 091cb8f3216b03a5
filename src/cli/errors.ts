// Errors as the user sees them: one line each with the thing, the cause and the remedy. Stack traces go to the log at
// most.
//
// Must stay true: whatever is thrown, `describeError` gives one line of text without control characters; nothing given to
// it holds a secret, since credentials never reach a message (the store keeps them to itself).

/** A wrong command line: usage, exit status 1. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A failure whose message already names the thing, the cause and the remedy. */
export class CommandError extends Error {
  override readonly name = 'CommandError'

  constructor(
    message: string,
    /** Exit status; mount(8) gives meanings to them. */
    readonly exitStatus: number = 1,
    options?: { cause?: unknown },
  ) {
    super(message, options)
  }
}

/** The one line for any error. Errors of ours carry their line; for the rest the cause is named, and that this is a bug
 *  when it looks like one. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(`unexpected failure: ${String(error)}; please report it`)
  switch (error.name) {
    case 'UsageError':
    case 'CommandError':
    case 'FsError':
    case 'StoreError':
      return oneLine(error.message)
  }
  const code = codeOf(error)
  if (code !== undefined) return oneLine(systemErrorLine(error, code))
  return oneLine(`unexpected ${error.name}: ${error.message}; please report it with the log`)
}

/** The errno name of an error of Node's (or of ours), if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}

const REMEDIES: Record<string, string> = {
  EACCES: 'check its owner and permissions, or run as root',
  EPERM: 'check its owner and permissions, or run as root',
  ENOENT: 'check the path',
  ENOTDIR: 'check the path',
  ENOSPC: 'make room on its filesystem',
  EROFS: 'its filesystem is read-only: name a place that can be written',
  EMFILE: 'raise the limit of open files (ulimit -n)',
}

function systemErrorLine(error: Error, code: string): string {
  const details = error as Error & { path?: string; syscall?: string }
  const thing = details.path ?? details.syscall ?? error.message
  const what = details.path === undefined || details.syscall === undefined ? 'failed' : `cannot ${details.syscall}`
  return `${thing}: ${what} (${code}): ${REMEDIES[code] ?? 'see the cause'}`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is to be removed
const CONTROL = /[\u0000-\u001f\u007f-\u009f]+/g

function oneLine(text: string): string {
  return text.replace(CONTROL, ' ').trim()
}
