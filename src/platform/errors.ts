// The one error type of cairnfs. It carries an errno, so that every layer can say what the caller of a system call is
// to see, and a message that names the object, the path and the remedy.
//
// Must stay true: an FsError never hides its cause (`cause` is kept for the log); its message fits one line.
import { constants } from 'node:os'

/** Name of an errno as in errno(3), e.g. `ENOENT`. */
export type ErrnoName = keyof typeof constants.errno

export class FsError extends Error {
  override readonly name = 'FsError'

  constructor(
    readonly code: ErrnoName,
    message: string = code,
    options?: { cause?: unknown },
  ) {
    super(message, options)
  }

  /** Positive number, as in errno.h. */
  get errno(): number {
    return constants.errno[this.code]
  }
}

// The errors that hot paths throw for control flow (a missing name is no exception to a filesystem) carry no stack:
// capturing one costs more than the whole lookup.
const quiet = new Map<ErrnoName, FsError>()

/** The shared, stackless error of an errno that a user's call provoked; for failures worth a log line make a new one. */
export function errnoError(code: ErrnoName): FsError {
  let error = quiet.get(code)
  if (error === undefined) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    error = new FsError(code)
    Error.stackTraceLimit = limit
    quiet.set(code, error)
  }
  return error
}
