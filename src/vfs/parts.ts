// What a round has to bring, cut into parts of one segment each, so that memory is free again as segments arrive and not when
// the last of hundreds has, and so that no turn records more than a little. Pure.
//
// Must stay true: parts hold the runs of all generations, in order, each run once.
import type { FrozenGeneration } from '../data/index.ts'
import { CONTENTS_ENTRY_BYTES, storedBytesOf } from '../segments/index.ts'

/** The next runs of one generation. */
export interface Share<G> {
  generation: G
  runs: FrozenGeneration['runs']
  /** Where they end in the file; null: with them the generation ends. */
  end: number | null
}

/** Cuts generations into parts that fill a segment in which a piece of `maxPieceBytes` fits alone. */
export function* partsOf<G extends { frozen: FrozenGeneration }>(
  generations: readonly G[],
  maxPieceBytes: number,
): Generator<Share<G>[]> {
  const capacityBytes = storedBytesOf(maxPieceBytes) + CONTENTS_ENTRY_BYTES
  let part: Share<G>[] = []
  let partBytes = 0
  for (const generation of generations) {
    const { runs } = generation.frozen
    let first = 0
    for (const [index, { lengthBytes }] of runs.entries()) {
      const runBytes = storedBytesOf(lengthBytes) + CONTENTS_ENTRY_BYTES
      if (partBytes + runBytes > capacityBytes) {
        if (index > first) part.push(shareOf(generation, runs.slice(first, index)))
        yield part
        part = []
        partBytes = 0
        first = index
      }
      partBytes += runBytes
    }
    part.push({ generation, runs: first === 0 ? runs : runs.slice(first), end: null })
  }
  if (part.length > 0) yield part
}

/** Cuts a part into what is recorded in one turn: so many generations, and so many runs and other places. A generation's
 *  other places (`placesIn`) are not taken apart. */
export function* turnsOf<G>(
  part: readonly Share<G>[],
  most: { generations: number; places: number; placesIn: (generation: G) => number },
): Generator<Share<G>[]> {
  let turn: Share<G>[] = []
  let places = 0
  for (const share of part) {
    const { generation } = share
    let { runs } = share
    const others = share.end === null ? most.placesIn(generation) : 0
    for (;;) {
      const room = turn.length === most.generations ? -1 : most.places - places
      if (runs.length + others <= room || (turn.length === 0 && runs.length <= room)) break
      if (room > 0 && runs.length > room) {
        turn.push(shareOf(generation, runs.slice(0, room)))
        runs = runs.slice(room)
      }
      yield turn
      turn = []
      places = 0
    }
    turn.push({ ...share, runs })
    places += runs.length + others
  }
  if (turn.length > 0) yield turn
}

function shareOf<G>(generation: G, runs: FrozenGeneration['runs']): Share<G> {
  const last = runs.at(-1)!
  return { generation, runs, end: last.fileOffset + last.lengthBytes }
}
