// The progress bar of dirty bytes on their way to the store. On a terminal only: elsewhere nothing is shown, and
// cli-progress is not even loaded.
import { formatSize } from './units.ts'

export interface Progress {
  /** Tells how much is still dirty; the most ever told is the whole. */
  update(dirtyBytes: number): void
  stop(): void
}

/** A bar on standard error while bytes leave; nothing when there are none, or no terminal. */
export async function showProgress(label: string): Promise<Progress> {
  if (!process.stderr.isTTY) return { update() {}, stop() {} }
  const { Presets, SingleBar } = await import('cli-progress')
  const format = `${label} [{bar}] {percentage}% | {left} left`
  const bar = new SingleBar({ format, hideCursor: true, clearOnComplete: true, stream: process.stderr }, Presets.rect)
  let totalBytes = 0
  return {
    update(dirtyBytes) {
      const left = { left: formatSize(dirtyBytes) }
      if (dirtyBytes > totalBytes) {
        if (totalBytes === 0) bar.start(dirtyBytes, 0, left)
        totalBytes = dirtyBytes
        bar.setTotal(totalBytes)
      }
      if (totalBytes > 0) bar.update(totalBytes - dirtyBytes, left)
    },
    stop() {
      if (totalBytes > 0) bar.stop()
    },
  }
}
