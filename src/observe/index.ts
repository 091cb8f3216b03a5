// observe/: how the filesystem is watched: its log and its numbers. Promises upward: logging and counting never fail a
// caller and never wait; a logger and a registry are arguments, not globals, so that two volumes in one process (and
// tests) do not mix. Asks downward: nothing but pino.
export { createLogger, type LogData, type Logger, type LoggerOptions, type LogLevel, silentLogger } from './logger.ts'
export {
  type Counter,
  type Gauge,
  type Histogram,
  LATENCY_BOUNDS_MS,
  observe,
  quantile,
  Registry,
  type RegistrySnapshot,
} from './registry.ts'
