// Sending a body over a connection, in steps, so that it can be told how far it has come.
import type { Writable } from 'node:stream'

/** Of a body, so much is given to the socket at a time: what has gone out is told in such steps. A step costs 15 us; at the
 *  slowest that retry.ts waits for, 64 KiB a second, it takes 16 s. */
const SEND_BYTES = 1024 * 1024

export interface SendOptions {
  /** Told what the kernel has taken. */
  onSent: (bytes: number) => void
  /** Called when the last of it was given to `stream`, together with it. */
  onLast?: () => void
}

/** Sends the body, until the stream is destroyed; what goes wrong is the stream's own 'error' to tell. */
export function sendBody(stream: Writable, parts: readonly Uint8Array[], { onSent, onLast }: SendOptions): void {
  let index = 0
  let offset = 0
  const sendNext = () => {
    const slices: Uint8Array[] = []
    let bytes = 0
    while (index < parts.length && bytes < SEND_BYTES) {
      const part = parts[index]!
      const slice = part.subarray(offset, offset + SEND_BYTES - bytes)
      offset += slice.length
      bytes += slice.length
      if (offset === part.length) {
        index++
        offset = 0
      }
      if (slice.length > 0) slices.push(slice)
    }
    const isLast = index === parts.length
    const last = slices.pop()
    stream.cork()
    for (const slice of slices) stream.write(slice)
    if (last !== undefined)
      stream.write(last, (error) => {
        if (error) return
        onSent(bytes)
        if (!isLast) sendNext()
      })
    if (isLast) onLast?.()
    stream.uncork()
  }
  sendNext()
}
