// platform/: the lowest layer. Clock, timers, random source, checksums, errors and foreign functions; only it and cli/
// touch ambient state. Promises upward: what is handed out as an argument (Clock, Random) can be replaced by a
// simulation. Asks nothing downward but Node and libc.
export { checksumHolds, encodeCheckedJson } from './checked-json.ts'
export type { Clock, Random, Timer, Timespec } from './clock.ts'
export { systemClock } from './clock.ts'
export { crc32c, joinCrc32c } from './crc32c.ts'
export { type ErrnoName, errnoError, FsError } from './errors.ts'
export { tryFlock } from './flock.ts'
export { makeFolders } from './folders.ts'
export { readI64, readU64, writeI64, writeU64 } from './integers.ts'
export { type Address, type Libc, libc, putIovec, type ReadableWatch } from './libc.ts'
export { isPromise, type MaybePromise } from './maybe-promise.ts'
export { printable } from './printable.ts'
export { redirectOutput, replaceProcess } from './process-image.ts'
export { seededRandom, systemRandom } from './random.ts'
export { PAGE_CACHE_RULES, RULES, type Rule, ruleHolds, withoutRule } from './rules.ts'
export { atOnce, inTurns } from './turns.ts'
export { dropUncounted, uncountedMemory } from './uncounted-memory.ts'
