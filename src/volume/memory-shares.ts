// How --memory is divided. One budget for everything that grows with use (DESIGN section 6); what is fixed (code, pools of
// the transport, the heap of operations under way) comes on top, within 200 MiB.
//
//   3/8   dirty data: file bytes that no segment holds yet. Writers wait when it is full.
//   1/4   changes of the tables since the last checkpoint: at this much a checkpoint begins (DESIGN section 4).
//   3/16  pages of the tables.
//   3/16  what was read of segments: blocks of files, and the neighbours of pages.
//
// Must stay true: the shares add up to the whole.

export interface MemoryShares {
  dirtyBytes: number
  changeBytes: number
  pageBytes: number
  blockBytes: number
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
