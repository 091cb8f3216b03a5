// Makes names in folders survive a crash of the host: fsync of the folder, and of the parents of new folders.
//
// Must stay true: sync(folder) resolves only after an fsync that began after the call; a folder counts as durable only
// when the fsync of each of its ancestors, up to the store's own folder, has ended after the folder was seen to exist.
import { dirname } from 'node:path'
import { ruleHolds } from '../platform/index.ts'
import type { Disk } from './local-disk.ts'

interface FolderState {
  running: Promise<void>
  /** The fsync that all callers share who came while one was running. */
  next: Promise<void> | undefined
}

export class LocalFolders {
  readonly #disk: Disk
  readonly #root: string
  readonly #states = new Map<string, FolderState>()
  readonly #durable = new Set<string>()

  /** `root` is the store's own folder, which exists; all others lie below it. */
  constructor(disk: Disk, root: string) {
    this.#disk = disk
    this.#root = root
    this.#durable.add(root)
  }

  /** Creates a folder and those above it. */
  async create(folder: string): Promise<void> {
    // Another process may have removed and created some of them: what we knew of them says nothing any more.
    for (let at = folder; at !== this.#root; at = dirname(at)) this.#durable.delete(at)
    await createFolders(this.#disk, folder)
  }

  /** Makes the names in a folder durable, and the folder itself. */
  async makeDurable(folder: string): Promise<void> {
    const work = [this.sync(folder)]
    const seen: string[] = []
    for (let at = folder; !this.#durable.has(at); at = dirname(at)) {
      seen.push(at)
      work.push(this.sync(dirname(at)))
    }
    await Promise.all(work)
    for (const at of seen) this.#durable.add(at)
  }

  /** An fsync of a folder; concurrent callers share one. */
  sync(folder: string): Promise<void> {
    const state = this.#states.get(folder)
    if (state === undefined) {
      const created: FolderState = { running: fsyncFolder(this.#disk, folder), next: undefined }
      this.#states.set(folder, created)
      this.#settle(folder, created)
      return created.running
    }
    state.next ??= state.running.then(
      () => fsyncFolder(this.#disk, folder),
      () => fsyncFolder(this.#disk, folder),
    )
    return state.next
  }

  /** When the running fsync has ended the shared one takes its place, or the folder is forgotten. */
  #settle(folder: string, state: FolderState): void {
    const done = () => {
      if (state.next === undefined) {
        this.#states.delete(folder)
        return
      }
      state.running = state.next
      state.next = undefined
      this.#settle(folder, state)
    }
    state.running.then(done, done)
  }
}

/** Creates a folder and those missing above it, and tells the first it made. (Node's own recursive mkdir tries for ever
 *  where a folder that is there answers ENOENT, as /proc does.) */
export async function createFolders(disk: Disk, folder: string): Promise<string | undefined> {
  try {
    await disk.mkdir(folder)
    return folder
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await disk.stat(folder)).isDirectory()) return undefined
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error
  }
  const first = await createFolders(disk, dirname(folder))
  await disk.mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    // Another process was faster. A file in its place shows when something is put below it.
    if (error.code !== 'EEXIST') throw error
  })
  return first ?? folder
}

export async function fsyncFolder(disk: Disk, folder: string): Promise<void> {
  if (!ruleHolds('the local store syncs folders before it acknowledges')) return
  const handle = await disk.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
