// Memory of pools, which is used again and again. V8 counts the bytes of each ArrayBuffer that comes, and collects for every
// 64 MiB of them, whether anything became free or not: a program that writes 1 GiB costs a dozen collections while the pools
// grow. SharedArrayBuffers it does not count (BackingStore::PerIsolateAccountingLength).
//
// Must stay true: whoever drops such memory says so (`dropUncounted`). Else nothing tells the collector that it is worth while.

/** Zeros; no page of it is resident before it is written. */
export function uncountedMemory(lengthBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(lengthBytes)
}

/** Memory that was not counted is left to the collector: it counts as much now, of memory that nobody touches. */
export function dropUncounted(lengthBytes: number): void {
  Buffer.allocUnsafeSlow(lengthBytes)
}
