// Quotas by name, for people.
import { DIRECTORY, dentryName, type Ino, QUOTA_UID, ROOT_INO } from '../meta/index.ts'
import { printable } from '../platform/index.ts'
import type { Context } from './context.ts'
import { type Account, isTree, isVolume } from './quota-ledger.ts'

/** Tells something of a quota in the log, which names its directory by its path. Never rejects. */
export async function logOf(context: Context, level: 'info' | 'warn', account: Account, what: string): Promise<void> {
  context.log(level, `${await nameOf(context, account)} ${what}`)
}

async function nameOf(context: Context, account: Account): Promise<string> {
  if (isVolume(account)) return 'the quota of the volume'
  if (!isTree(account)) return `the quota of ${account.table === QUOTA_UID ? 'uid' : 'gid'} ${account.key}`
  const { directory } = account.quota
  try {
    const names = await context.database.run(() => pathOf(context, directory as Ino))
    return `the quota of /${names.map(printable).join('/')}`
  } catch {
    // A page of its parents cannot be had now: whoever looks for them is told.
    return `the quota of the directory with inode ${directory}`
  }
}

/** The names that lead to a directory, from the root on; as far as they are known where it was removed. A synchronous operation for
 *  `run`. */
export function pathOf({ database, metadata }: Context, directory: Ino): Buffer[] {
  const names: Buffer[] = []
  for (let at = directory; at !== ROOT_INO; ) {
    const place = metadata.places.get(at) ?? metadata.placeByTables(at)
    if (place === null || place.directory <= 0) break
    const record = database.table(DIRECTORY, place.directory).get(place.key)
    if (record === null) break
    names.unshift(Buffer.from(dentryName(record, 0)))
    at = place.directory as Ino
  }
  return names
}
