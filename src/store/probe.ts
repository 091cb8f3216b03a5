// Tries whether a store keeps the two promises a volume's safety rests on: that of racing conditional puts exactly one
// wins. Services that speak S3 without them exist, and say 200 to everybody.
//
// Must stay true: the probe decides by what the racers were told *and* by what then lies in the store; it leaves nothing
// behind; a store that could not be reached is an error, not a failed probe.
import type { Random } from '../platform/index.ts'
import { type Etag, type ObjectStore, StoreError } from './object-store.ts'

const RACERS = 8

/** A promise of the store that the probe found broken. */
export type ProbeFailure =
  /** Not exactly one of eight concurrent putIfAbsent of one key succeeded, or another's body was stored. */
  | 'put-if-absent'
  /** The same for putIfMatch with one etag. */
  | 'put-if-match'
  /** putIfMatch on a missing key succeeded. */
  | 'put-if-match-missing'

/** Resolves to the promises found broken; empty is good. Throws StoreError when the store cannot be asked. Takes some 20
 *  requests under `probe/`. Give a store with retries: their ambiguous answers are told apart by reading back. */
export async function probeStore(store: ObjectStore, random: Random): Promise<ProbeFailure[]> {
  const raced = `probe/${random.bytes(12).toString('hex')}`

  const missing = `${raced}-missing`
  const failures: ProbeFailure[] = []
  try {
    const created = await race(store, raced, 'created', (body) => store.putIfAbsent(raced, body))
    if (created === undefined) failures.push('put-if-absent')
    // The second race needs an object, whoever won the first.
    const etag = created ?? (await store.put(raced, [Buffer.from('not raced')]))
    const replaced = await race(store, raced, 'replaced', (body) => store.putIfMatch(raced, body, etag))
    if (replaced === undefined) failures.push('put-if-match')
    if (await succeeds(store.putIfMatch(missing, [Buffer.from('missing')], etag))) failures.push('put-if-match-missing')
  } finally {
    await store.delete([raced, missing])
  }
  return failures
}

/** The winner's etag; undefined unless exactly one racer was told that it won, and its body is what is stored. */
async function race(
  store: ObjectStore,
  key: string,
  label: string,
  put: (body: Uint8Array[]) => Promise<Etag>,
): Promise<Etag | undefined> {
  const bodies = Array.from({ length: RACERS }, (_, racer) => Buffer.from(`${label} by racer ${racer}`))
  const outcomes = await Promise.all(bodies.map((body) => outcome(put([body]))))
  const stored = await store.get(key)
  const won = outcomes.flatMap((told, racer) =>
    told === 'won' || (told === 'unknown' && stored.body.equals(bodies[racer]!)) ? [racer] : [],
  )
  const winner = won[0]
  return won.length === 1 && winner !== undefined && stored.body.equals(bodies[winner]!) ? stored.etag : undefined
}

async function outcome(put: Promise<Etag>): Promise<'won' | 'lost' | 'unknown'> {
  try {
    await put
    return 'won'
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    if (error.kind === 'not-found') return 'lost'
    if (error.kind === 'precondition-failed') return error.ambiguous ? 'unknown' : 'lost'
    throw error
  }
}

async function succeeds(put: Promise<Etag>): Promise<boolean> {
  return (await outcome(put)) === 'won'
}
