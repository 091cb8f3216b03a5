// Types of the part of `siphash` (SipHash-2-4, as it was published, by its author's co-designer's port) that we call.
declare module 'siphash' {
  const siphash: {
    /** `key` is four 32-bit words, little-endian; returns the high and the low half. */
    hash(key: Uint32Array, message: Uint8Array): { h: number; l: number }
  }
  export = siphash
}
