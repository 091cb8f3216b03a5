// All recorded extents of a file, a bounded number in each turn, for what works in the background.
//
// Must stay true: no two of them overlap, whatever is recorded of the file between the turns. What changes meanwhile may be
// missed, or be told as it was.
import type { Extent } from '../data/index.ts'
import { extentsFrom } from './file-extents.ts'
import type { Metadata, Node } from './metadata.ts'

const EXTENTS_PER_TURN = 2048

/** Ends where there is no such file (any more). */
export async function* extentsByTurns(
  metadata: Metadata,
  ino: number,
  yieldTurn: () => Promise<void>,
): AsyncGenerator<{ node: Node; extents: Extent[] }> {
  const { database } = metadata
  for (let from = 0; ; ) {
    const at = from
    const found = await database.run(() => {
      const node = metadata.nodeIfAny(ino)
      return node === null ? null : { node, extents: extentsFrom(database, node.inode, at, EXTENTS_PER_TURN) }
    })
    const last = found?.extents.at(-1)
    if (found !== null) yield found
    await yieldTurn()
    if (last === undefined || found!.extents.length < EXTENTS_PER_TURN) return
    from = last.fileOffset + last.range.lengthBytes
  }
}
