// Reading a page that may be damaged, and judging whether it is the one that belongs in its place of the tree.
//
// Must stay true:
// - A page is called unreadable only when it was fetched three times: twice by the segment store, once more here.
// - A page that is right by itself is misplaced where it is not of the table, the level and the range of keys that its
//   parent says. Levels fall by one and ranges narrow on the way down: so no walk meets a page twice, or goes round.
import { FsError } from '../platform/index.ts'
import { type PagePointer, segmentKey } from '../segments/index.ts'
import { StoreError } from '../store/index.ts'
import type { TableDamageKind } from './inspect.ts'
import { DamagedPage, MisplacedPage, type Page } from './page.ts'
import type { PageCache } from './page-cache.ts'

/** Keys are below it. */
export const KEYS_END = 2 ** 53

/** Where a page stands in its tree. */
export interface Place {
  /** The keys that it may hold: `to` exclusive. */
  from: number
  to: number
  /** Null for the root page: any. */
  level: number | null
}

export const ROOT_PLACE: Place = { from: 0, to: KEYS_END, level: null }

export interface Unreadable {
  kind: Extract<TableDamageKind, 'lost-segment' | 'damaged-page' | 'misplaced-page'>
  /** The key of its segment. */
  object: string
  message: string
}

/** The place of a child of an inner page. */
export function childPlace(page: Page, index: number, { to }: Place): Place {
  return { from: page.key(index), to: index + 1 < page.count ? page.key(index + 1) : to, level: page.level - 1 }
}

/** Reads a page, or says why it cannot be used. Throws only when the store does not answer. */
export async function readPlaced(
  cache: PageCache,
  pointer: PagePointer,
  table: { kind: number; owner: number },
  place: Place,
): Promise<Page | Unreadable> {
  const object = segmentKey(pointer.segment)
  let page: Page
  try {
    // The second time what is damaged is fetched anew.
    page = await cache.load(pointer, table).catch(() => cache.load(pointer, table))
  } catch (error) {
    return { kind: kindOf(error), object, message: (error as Error).message }
  }
  const wrong = misplacement(page, table, place)
  return wrong === null
    ? page
    : { kind: 'misplaced-page', object, message: `${object}: the page at ${pointer.offset} ${wrong}` }
}

function kindOf(error: unknown): Unreadable['kind'] {
  if (error instanceof MisplacedPage) return 'misplaced-page'
  if (error instanceof DamagedPage) return 'damaged-page'
  if (error instanceof FsError) {
    if (error.cause instanceof StoreError && error.cause.kind === 'not-found') return 'lost-segment'
    // It came, and did not verify.
    if (error.cause === undefined) return 'damaged-page'
  }
  throw error
}

function misplacement(page: Page, table: { kind: number; owner: number }, place: Place): string | null {
  // Found in the cache, under a pointer of another table.
  if (page.kind !== table.kind || page.owner !== table.owner)
    return `belongs to table ${page.kind}/${page.owner}, not ${table.kind}/${table.owner}`
  if (place.level !== null && page.level !== place.level) return `has level ${page.level}, not ${place.level}`
  const [first, last] = [page.key(0), page.key(page.count - 1)]
  if (first < place.from || last >= place.to)
    return `has keys ${first} to ${last}, outside of ${place.from} to ${place.to}`
  return null
}
