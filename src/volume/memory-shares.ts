// How --memory is divided. One budget for everything that grows with use (DESIGN section 6); what is fixed (code, pools of
// the transport, the heap of operations under way) comes on top, within 200 MiB.
//
//   3/8   dirty data: file bytes that no segment holds yet. Writers wait when it is full.
//   1/4   changes of the tables since the last checkpoint: at this much a checkpoint begins (DESIGN section 4).
//   3/16  pages of the tables.
//   3/16  what was read of segments: blocks of files, and the neighbours of pages. Lent to it: of dirty data all that is not
//         dirty, of changes a sixteenth, less 3/16 of --memory, 64 MiB at most: so that it has 9/16 of 1 GiB where nobody
//         writes. Writers take theirs back as they fill it; what is freed is not given back to the system at once, and what
//         is withheld is for that.
//
// Must stay true: the shares add up to the whole; what is lent and what is used of a share never exceed it by more than the
// sixteenth (changes take theirs back at the next insertion).

const WITHHELD_MAX_BYTES = 64 << 20

export interface MemoryShares {
  dirtyBytes: number
  changeBytes: number
  pageBytes: number
  blockBytes: number
}

/** How much more than its own share what was read of segments may take. */
export function lentBytes(shares: MemoryShares, used: { dirtyBytes: number; changeBytes: number }): number {
  const ofDirty = Math.max(0, shares.dirtyBytes - used.dirtyBytes)
  const ofChanges = Math.max(0, Math.min(shares.changeBytes / 4, shares.changeBytes - used.changeBytes))
  return Math.max(0, ofDirty + ofChanges - withheldBytes(shares))
}

/** How much of what is free is never lent: dirty data has 6 of 16 parts, 3 of 16 are half of that. */
function withheldBytes({ dirtyBytes }: MemoryShares): number {
  return Math.min(WITHHELD_MAX_BYTES, dirtyBytes / 2)
}

/** How much memory writers may keep for later while it is lent to others: no more than is withheld. */
export function keptBytes(shares: MemoryShares): number {
  return Math.min(shares.dirtyBytes / 4, withheldBytes(shares))
}

export function shareMemory(memoryBytes: number): MemoryShares {
  const sixteenth = Math.floor(memoryBytes / 16)
  return {
    dirtyBytes: 6 * sixteenth,
    changeBytes: 4 * sixteenth,
    pageBytes: 3 * sixteenth,
    blockBytes: memoryBytes - 13 * sixteenth,
  }
}
