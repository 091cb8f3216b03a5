// BATCH_FORGET: the kernel drops references to many inodes at once, up to 65,000 in one request when its caches go.
//
// Must stay true: no turn forgets so many that whoever asks for something meanwhile waits for it. References are sums, so it
// does not matter which are counted first.
import type { Clock, MaybePromise } from '../platform/index.ts'
import type { Filesystem, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { BatchForgetIn, ForgetOne, InHeader } from './wire.ts'

/** Some milliseconds of work: their places lie all over memory. */
const FORGETS_PER_TURN = 2048

/** Keeps the request's buffer until it has ended. */
export function forgetBatch(fs: Filesystem, r: RequestBuffer, clock: Pick<Clock, 'yield'>): MaybePromise<void> {
  r.need(BatchForgetIn.sizeof)
  const count = r.u32(InHeader.sizeof + BatchForgetIn.count)
  r.need(BatchForgetIn.sizeof + count * ForgetOne.sizeof)
  if (count > FORGETS_PER_TURN) return forgetInTurns(fs, r, count, clock)
  forgetSome(fs, r, 0, count)
}

async function forgetInTurns(
  fs: Filesystem,
  r: RequestBuffer,
  count: number,
  clock: Pick<Clock, 'yield'>,
): Promise<void> {
  for (let from = 0; from < count; from += FORGETS_PER_TURN) {
    if (from > 0) await clock.yield()
    forgetSome(fs, r, from, Math.min(count, from + FORGETS_PER_TURN))
  }
}

function forgetSome(fs: Filesystem, r: RequestBuffer, from: number, to: number): void {
  for (let index = from; index < to; index++) {
    const at = InHeader.sizeof + BatchForgetIn.sizeof + index * ForgetOne.sizeof
    fs.forget(r.u64(at + ForgetOne.nodeid) as Ino, r.u64(at + ForgetOne.nlookup))
  }
}
