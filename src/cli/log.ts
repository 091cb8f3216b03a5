// The daemon's log, and the shape of it that fuse/ asks for (fields first, as pino has them).
import { createLogger, type Logger, type LogLevel } from '../observe/index.ts'
import { redirectOutput } from '../platform/index.ts'
import { openLogFile } from './log-file.ts'

/** Opens the log: standard error in front, else the volume's file, where standard output and error then go too (what the
 *  engine itself has to say before it dies belongs there). */
export async function openLog(options: {
  level: LogLevel
  isForeground: boolean
  volumeName: string
}): Promise<{ log: Logger; logFile: string | null }> {
  const { level, isForeground, volumeName } = options
  if (isForeground) return { log: await createLogger({ level }), logFile: null }
  const { path, fd } = openLogFile(volumeName)
  redirectOutput(fd)
  return { log: await createLogger({ level, file: path }), logFile: path }
}

/** A logger for those who put the fields first. */
export function fieldsFirst(logger: Logger): Record<LogMethod, (fields: object, message: string) => void> {
  const method = (name: LogMethod) => (fields: object, message: string) =>
    logger[name](message, fields as Record<string, unknown>)
  return { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') }
}

type LogMethod = 'debug' | 'info' | 'warn' | 'error'
