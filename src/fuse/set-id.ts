// Set-ID bits go when a file's bytes change for somebody who may not keep them (HANDLE_KILLPRIV_V2: the kernel leaves that to
// us, and asks for it with the request).
//
// As in ext4 they stay where the change is refused, for what can be told at once.
//
// Must stay true: when a program hears that bytes changed, the kernel knows that the bits are gone. It runs files by the mode
// that it knows, and would run the new bytes as the file's owner.
import { isPromise, type MaybePromise } from '../platform/index.ts'
import type { BytesChange, Filesystem, Ino } from '../vfs/index.ts'
import { encodeInvalidateInode } from './codec.ts'
import type { TransportLog } from './transport.ts'

export interface SetIdParts {
  fs: Filesystem
  /** Sends a whole notification; resolves when the kernel has carried it out, to a negative errno where it did not. */
  notify: (message: Uint8Array) => Promise<number>
  log: TransportLog
}

/** Takes them away before the change `ahead` if there is one for which they go, and then does the rest. */
export function withoutSetId<T>(
  parts: SetIdParts,
  ino: Ino,
  ahead: BytesChange | null,
  operation: () => MaybePromise<T>,
): MaybePromise<T> {
  if (ahead === null) return operation()
  const dropped = parts.fs.dropSetId(ino, ahead)
  if (dropped === false) return operation()
  return (isPromise(dropped) ? dropped : Promise.resolve(true)).then(async (hasDropped) => {
    if (hasDropped) await tellKernel(parts, ino, 'the kernel may run a changed file by its old mode')
    return operation()
  })
}

/** That attributes are others now. Attributes alone: the kernel takes no lock that somebody might hold who waits for us. `otherwise`
 *  says what happens where it did not hear. */
export async function tellKernel({ notify, log }: SetIdParts, ino: Ino, otherwise: string): Promise<void> {
  const result = await notify(encodeInvalidateInode(ino, -1, 0))
  if (result < 0) log.warn({ ino, errno: -result }, otherwise)
}
