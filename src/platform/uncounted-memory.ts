// Memory of pools, which is used again and again. V8 counts the bytes of each ArrayBuffer that comes, and collects for every
// 64 MiB of them, whether anything became free or not: a program that writes 1 GiB costs a dozen collections while the pools
// grow. SharedArrayBuffers it does not count (BackingStore::PerIsolateAccountingLength).
//
// Must stay true: whoever drops such memory says so (`dropUncounted`). Else nothing tells the collector that it is worth while.

/** Zeros. */
export function uncountedMemory(lengthBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(lengthBytes)
}

/** Memory that was not counted is left to the collector. It counts from now on: as much memory, that nobody touches, goes when it
 *  goes. Memory of its own would be young, and gone with its count at the next scavenge, which does not look at what is old. */
export function dropUncounted(memory: ArrayBufferLike): void {
  Object.assign(memory, { counted: Buffer.allocUnsafeSlow(memory.byteLength) })
}
