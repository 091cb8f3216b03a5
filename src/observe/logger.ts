// The log: human-readable lines on stderr or in a file, one event each, by pino.
//
//   2026-11-21T08:53:10.123Z WARN  store: gave up put root after 7 tries {"bucket":"b"}
//
// Lines, not JSON: a mount's log is read by the person who mounted, with `tail` and `grep`. Fields that an event has
// besides its message follow as JSON, so that a machine finds them too.
//
// Must stay true: an event is one line, whatever its message holds; nothing is lost at exit (writes are synchronous, and
// rare: nothing on the path of an operation logs); credentials are never given to it.
import { once } from 'node:events'
import type { Logger as Pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** What the layers are given. Fields of `data` follow the message; an `error` field is written as its message and
 *  causes, at debug level with its stack. */
export interface Logger {
  debug(message: string, data?: LogData): void
  info(message: string, data?: LogData): void
  warn(message: string, data?: LogData): void
  error(message: string, data?: LogData): void
  /** A logger whose lines begin with the name of a layer. */
  child(layer: string): Logger
}

export type LogData = Readonly<Record<string, unknown>>

export interface LoggerOptions {
  level?: LogLevel
  /** Path of a file to append to; stderr unless told. */
  file?: string
  /** Where lines go instead, for tests. */
  write?: (line: string) => void
}

/** Loses everything: the default of what can do without a log. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
}

/** Opens the log. Rejects when the file cannot be opened for appending. */
export async function createLogger(options: LoggerOptions = {}): Promise<Logger> {
  // Loading pino takes 25 ms: only who logs pays.
  const { pino } = await import('pino')
  const { level = 'info', file } = options
  let { write } = options
  if (write === undefined) {
    const destination = pino.destination({ dest: file ?? 2, append: true, sync: true })
    if (file !== undefined) await once(destination, 'ready')
    write = (line) => destination.write(line)
  }
  const settings = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  return new PinoLogger(pino(settings, { write: formatted(write, pino.levels.labels) }))
}

class PinoLogger implements Logger {
  readonly #pino: Pino

  constructor(logger: Pino) {
    this.#pino = logger
  }

  debug(message: string, data?: LogData): void {
    if (this.#pino.isLevelEnabled('debug')) this.#pino.debug(fields(data, true), message)
  }

  info(message: string, data?: LogData): void {
    this.#pino.info(fields(data, false), message)
  }

  warn(message: string, data?: LogData): void {
    this.#pino.warn(fields(data, this.#pino.isLevelEnabled('debug')), message)
  }

  error(message: string, data?: LogData): void {
    this.#pino.error(fields(data, this.#pino.isLevelEnabled('debug')), message)
  }

  child(layer: string): Logger {
    return new PinoLogger(this.#pino.child({ layer }))
  }
}

/** Errors do not survive JSON: they become what they say, and what caused them. */
function fields(data: LogData = {}, withStack: boolean): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => [name, value instanceof Error ? errorText(value, withStack) : value]),
  )
}

function errorText(error: Error, withStack: boolean): string {
  if (withStack && error.stack !== undefined) return error.stack
  const cause = error.cause instanceof Error ? `; ${errorText(error.cause, false)}` : ''
  return `${error.name}: ${error.message}${cause}`
}

/** pino hands over lines of JSON; this rewrites each. */
function formatted(write: (line: string) => void, labels: Record<number, string>): (json: string) => void {
  return (json) => {
    const { level, time, layer, msg, ...rest } = JSON.parse(json) as Record<string, unknown>
    const name = (labels[Number(level)] ?? 'info').toUpperCase().padEnd(5)
    const data = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`
    const message = String(msg ?? '').replaceAll('\n', ' | ')
    write(`${time} ${name} ${layer === undefined ? '' : `${layer}: `}${message}${data}\n`)
  }
}
