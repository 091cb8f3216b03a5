// What a store's failure means to somebody who waits at a prompt: the cause, the thing and the remedy on one line, by the
// kind of the failure. The full story (tries, requests) is the log's.
import { FsError } from '../platform/index.ts'
import { parseStoreName, StoreError } from '../store/index.ts'
import { CommandError, codeOf } from './errors.ts'

export interface StorePlace {
  name: string
  endpoint: string | undefined
}

/** Runs `task`; a StoreError that it ends with becomes a CommandError for people. */
export async function explainingStore<T>(place: StorePlace, task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (error instanceof FsError && error.code === 'EIO') throw damaged(error, place)
    if (!(error instanceof StoreError)) throw error
    throw Object.assign(new CommandError(explain(error, place), 1, { cause: error }), permissionCode(error))
  }
}

/** Whether `text` is a name that a store can have. */
export function isStoreName(text: string): boolean {
  try {
    parseStoreName(text)
    return true
  } catch {
    return false
  }
}

/** What makes a volume unusable, with the store in the remedy. A store that does not answer is no damage. */
function damaged(error: FsError, { name }: StorePlace): Error {
  const { cause, message } = error
  if (message.includes('cairnfs fsck')) {
    return new CommandError(message.replace('cairnfs fsck STORE', `cairnfs fsck ${name}`), 1, { cause: error })
  }
  if (!(cause instanceof StoreError) || cause.kind !== 'not-found') return error
  return new CommandError(`${name}: ${message}: see cairnfs fsck ${name}, which mends it with --repair`, 1, {
    cause: error,
  })
}

function explain(error: StoreError, { name, endpoint = 'AWS' }: StorePlace): string {
  const cause = rootCause(error)
  const root = rootOf(error)
  // A name that cannot be read is refused by the store's own line, which does not repeat it.
  if (isNoFolder(root, name)) return `${name}: a part of the path is a file: name a folder, or a new one`
  if (error.kind === 'fatal' || error.kind === 'not-found' || error.kind === 'precondition-failed') return error.message
  if (parseStoreName(name).kind === 'file') {
    switch (error.kind) {
      case 'no-bucket':
        return `${name}: the folder does not exist: check the name, or make a volume there with cairnfs format`
      case 'denied':
        return `${name}: no permission (${cause}): check the folder's owner and mode, or run as root`
      case 'retryable':
        return `${name}: the folder does not answer (${cause}): check the disk or server it lies on`
    }
  }
  switch (error.kind) {
    case 'no-bucket':
      return `${name}: ${endpoint} has no such bucket: check the name, or make it with cairnfs format --create-bucket`
    case 'denied':
      // Nothing was asked yet.
      if (root.name === 'CredentialsProviderError')
        return `${name}: no keys were found (${root.message.length > 80 ? root.name : root.message}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name others with --profile or --credentials-file`
      return `${name}: ${endpoint} denies access (${cause}): check the keys (AWS_*, --profile, --credentials-file) and their rights`
    case 'retryable':
      return `${name}: no answer from ${endpoint} (${cause}): check --endpoint, the network, and that the service runs`
  }
}

/** Whether the folder of a local store cannot be one, as a file is in its place or on the way to it. */
function isNoFolder(root: Error & { path?: string }, name: string): boolean {
  const place = isStoreName(name) ? parseStoreName(name) : null
  const code = codeOf(root)
  return place?.kind === 'file' && root.path === place.path && (code === 'EEXIST' || code === 'ENOTDIR')
}

function rootOf(error: Error): Error {
  let root = error
  while (root.cause instanceof Error) root = root.cause
  return root
}

/** The name or message of the error that began it. */
function rootCause(error: Error): string {
  const root = rootOf(error)
  if (root === error) return error.message
  const isNamed = root.name !== 'Error' && root.name !== 'StoreError'
  return isNamed && root.message.length > 80 ? root.name : isNamed ? `${root.name}: ${root.message}` : root.message
}

/** By it the mount helper tells a lack of permission from other failures. */
function permissionCode({ kind }: StoreError): { code?: string } {
  return kind === 'denied' ? { code: 'EACCES' } : {}
}
