// What the caller of a system call hears of an error is a number; what lies behind it stands in the log, each cause once.
import { constants } from 'node:os'
import { FsError } from '../platform/index.ts'
import type { TransportLog } from './transport.ts'

/** Causes of I/O errors that are remembered, so that a file read again and again does not fill the log. */
const TOLD_MAX = 1000

export class ErrorLog {
  readonly #log: TransportLog
  /** Causes that the log has. */
  readonly #told = new Set<string>()

  constructor(log: TransportLog) {
    this.#log = log
  }

  /** The errno, a positive number, of an operation's failure; `fields` say which operation, in the log. */
  errnoOf(error: unknown, fields: object): number {
    if (!(error instanceof FsError)) {
      this.#log.error({ err: error, ...fields }, 'unexpected error in a filesystem operation')
      return constants.errno.EIO
    }
    if (error.code === 'EIO' && error.message !== error.code) this.#tellOnce(error, fields)
    return error.errno
  }

  #tellOnce({ message }: FsError, fields: object): void {
    if (this.#told.has(message)) return
    if (this.#told.size === TOLD_MAX) this.#told.clear()
    this.#told.add(message)
    this.#log.error(fields, `I/O error: ${message}`)
  }
}
