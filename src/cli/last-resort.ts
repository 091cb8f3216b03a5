// What nobody caught. A process that met a bug ends: its state cannot be trusted, and what it had made durable is safe.
//
// Must stay true: one line says so, where the user or the log's reader sees it; the stack stands in the log alone.

/** From now on errors that nobody caught are told to `tell`, and the process ends with status 1. */
export function endOnUncaught(tell: (error: unknown) => void): void {
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error: unknown) => {
    tell(error)
    process.exit(1)
  })
}
