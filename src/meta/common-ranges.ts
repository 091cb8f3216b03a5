// Extents that have bytes of a segment in common, brought together: what several files share is moved, and counted, once.
// Pure.
import type { Extent } from '../data/index.ts'
import { type DataRange, uniteRanges } from '../segments/index.ts'

export interface CommonRange<T> {
  /** From the first byte that one of the members has to the last. */
  range: DataRange
  /** In the order they were given; `at` says how far behind the beginning of `range` each begins. One begins with it. */
  members: { item: T; at: number }[]
}

/** Groups of extents that overlap in their segment, in the order of their first members. */
export function commonRanges<T extends { from: Extent }>(items: readonly T[]): CommonRange<T>[] {
  const byPlace = items.map((item, index) => ({ item, index })).sort((a, b) => comparePlaces(a.item, b.item))
  const groups: { range: DataRange; members: { item: T; index: number; at: number }[] }[] = []
  for (const { item, index } of byPlace) {
    const last = groups.at(-1)
    const { range } = item.from
    const united = last === undefined ? null : uniteRanges(last.range, range)
    if (united === null) groups.push({ range, members: [{ item, index, at: 0 }] })
    else {
      last!.range = united.range
      last!.members.push({ item, index, at: united.distance })
    }
  }
  for (const { members } of groups) members.sort((a, b) => a.index - b.index)
  return groups
    .sort((a, b) => a.members[0]!.index - b.members[0]!.index)
    .map(({ range, members }) => ({ range, members: members.map(({ item, at }) => ({ item, at })) }))
}

/** Blocks begin where they do for all that refer to them, and what is skipped is less than a block. */
function comparePlaces(a: { from: Extent }, b: { from: Extent }): number {
  const [first, second] = [a.from.range, b.from.range]
  return first.segment - second.segment || first.offset - second.offset || first.skipBytes - second.skipBytes
}
