// readdir and readdirplus: a scan of the directory's table, straight from pages into the transport's reply.
//
// Must stay true:
// - No object is made per entry, where the sink takes names in place.
// - Entries the sink has taken are final, so once it took one the call never waits: it ends where a page is missing, and
//   the next call goes on from there.
import {
  blankAttributes,
  cookieOf,
  DOT_DOT_KEY,
  DOT_KEY,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryNameStart,
  dentryType,
  FIRST_NAME_KEY,
  IN_SHARED,
  type Ino,
  KEY_MAX,
  S_IFDIR,
} from '../meta/index.ts'
import { isPromise, type MaybePromise } from '../platform/index.ts'
import { PageFault, type Table } from '../tables/index.ts'
import type { Context } from './context.ts'
import type { Attributes, DirectorySink } from './filesystem.ts'
import { readVisible } from './visible.ts'

const DOT_NAME = Buffer.from('.')
const DOT_DOT_NAME = Buffer.from('..')

export function readdir(
  context: Context,
  ino: Ino,
  cookie: number,
  plus: boolean,
  sink: DirectorySink,
): MaybePromise<void> {
  const { database, metadata, walks } = context
  const attributes = blankAttributes()
  let parent = ino
  const loadedBefore = database.pagesLoaded
  const listed = database.run(() => {
    const directory = metadata.directoryNode(ino)
    if (cookie <= DOT_DOT_KEY) parent = metadata.parentDirectory(ino)
    const table = metadata.directory(ino)
    const removed = directory.home === 'removed'
    // Loads the first page, and asks for more, before anything is taken.
    if (!removed && cookie <= DOT_DOT_KEY) table.scan(FIRST_NAME_KEY, KEY_MAX, () => false)
    if (cookie <= DOT_KEY && !sink(DOT_NAME, ino, S_IFDIR, cookieOf(DOT_KEY), null)) return
    if (cookie <= DOT_DOT_KEY && !sink(DOT_DOT_NAME, parent, S_IFDIR, cookieOf(DOT_DOT_KEY), null)) return
    if (removed) return
    const from = Math.max(FIRST_NAME_KEY, cookie)
    scanEntries(context, table, from, cookie <= DOT_DOT_KEY, plus ? attributes : null, sink)
  })
  if (cookie !== 0) return listed
  if (isPromise(listed)) return listed.then(() => walks.listed(ino, parent, true))
  walks.listed(ino, parent, database.pagesLoaded !== loadedBefore)
}

function scanEntries(
  context: Context,
  table: Table,
  from: number,
  tookSome: boolean,
  attributes: Attributes | null,
  sink: DirectorySink,
): void {
  const { places } = context.metadata
  const directory = table.owner
  const take = sink.inPlace ?? viewingNames(sink)
  try {
    table.scan(from, KEY_MAX, (key, bytes, start) => {
      const ino = dentryIno(bytes, start)
      const nameStart = dentryNameStart(start)
      const nameEnd = dentryInodeAt(bytes, start)
      if (attributes === null) {
        const took = take(bytes, nameStart, nameEnd, ino, dentryType(bytes, start), cookieOf(key), null)
        tookSome ||= took
        return took
      }
      readVisible(context, bytes, start, attributes)
      if (!take(bytes, nameStart, nameEnd, ino, attributes.mode, cookieOf(key), attributes)) return false
      const shared = dentryIsShared(bytes, start)
      places.reference(ino, shared ? IN_SHARED : directory, shared ? 0 : key)
      tookSome = true
      return true
    })
  } catch (thrown) {
    if (!(thrown instanceof PageFault) || !tookSome) throw thrown
  }
}

function viewingNames(sink: DirectorySink): NonNullable<DirectorySink['inPlace']> {
  return (bytes, nameStart, nameEnd, ...rest) => sink(bytes.subarray(nameStart, nameEnd), ...rest)
}
