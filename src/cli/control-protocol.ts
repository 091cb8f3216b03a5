// What a daemon and the commands say to each other over RUN/cairnfs/MAJ-MIN.sock: JSON, one object a line. The client
// sends one Command; the daemon answers with any number of `progress` or `quota` and then one `done` or `error`. After the `done` of
// an unmount the connection stays open until the daemon's process ends.
//
// Must stay true: a field once given keeps its name and meaning (`status --json` prints them); a line is at most
// LINE_MAX_BYTES long, and whoever sends more is cut off.

import { asQuotaCommand, type QuotaCommand, type QuotaLine } from './quota-protocol.ts'

export const LINE_MAX_BYTES = 64 * 1024

export type Command =
  | { command: 'status' }
  /** As fsync of the root directory, with progress. */
  | { command: 'sync' }
  /** After a journal write failed: tries again, then syncs. */
  | { command: 'resume' }
  /** Spells the entry that `name` finds in a directory, given by its names from the root on, as `name`. */
  | { command: 'recase'; directory: string[]; name: string }
  /** Sync, then unmount. With `force` what is dirty is given up, and files in use do not hinder it. */
  | { command: 'unmount'; force: boolean }
  | QuotaCommand

export type Reply =
  | { reply: 'progress'; dirtyBytes: number }
  /** One quota, before the end. */
  | { reply: 'quota'; quota: QuotaLine }
  | { reply: 'done'; pid: number; status?: MountStatus; lostBytes?: number }
  | { reply: 'error'; message: string }

/** Requests to the store since the mount, by operation; what was tried again counts again. */
export interface RequestCounts {
  get: number
  put: number
  delete: number
  list: number
  head: number
}

/** What `cairnfs status --json` prints. */
export interface MountStatus {
  version: string
  volume: { name: string; uuid: string }
  /** To the letter as it was given to `mount`. */
  store: string
  mountpoint: string
  pid: number
  /** The file of its log; null: standard error, with -f. */
  log: string | null
  readOnly: boolean
  /** What speaks with the kernel. */
  binding: string
  /** The kernel keeps back what is written, until a file is closed or synced. */
  writeback: boolean
  uptimeSec: number
  /** Written and not yet in the store. */
  dirtyBytes: number
  journal: {
    /** Since the last checkpoint. */
    objects: number
    bytes: number
    /** Of names and attributes that no acknowledged commit holds yet. */
    unacknowledgedBytes: number
    /** Commits that were replayed when it was mounted. */
    replayedCommits: number
  }
  checkpoint: { number: number; epoch: number; changeBytes: number }
  cache: { blockBytes: number; pageBytes: number; memoryBytes: number }
  /** Pages of the tables, which hold names and attributes, since the mount. */
  pages: {
    /** Asked for and in memory, and not. */
    hits: number
    misses: number
    /** Decoded from what a fetch had brought; bytes as stored. */
    loaded: number
    loadedBytes: number
    /** Now in memory; bytes decoded. */
    heldBytes: number
    /** Of directories that are listed: fetched ahead, and come to. */
    prefetched: number
    prefetchedUsed: number
  }
  /** Directories loaded ahead of who walks through a tree since the mount, and those of them that were then listed. */
  walks: { loaded: number; used: number }
  /** What was fetched ahead of those who read files in order, since the mount. */
  readAhead: {
    /** Reads that found all there, and those that had to wait. */
    hits: number
    waits: number
    askedBytes: number
    /** Asked for, and then passed by or left behind. */
    wastedBytes: number
  }
  /** The disk cache since the mount; null without --cache-dir. */
  diskCache: {
    /** With the volume's and the store's own part of it. */
    folder: string
    /** Held now, and at most. */
    bytes: number
    limitBytes: number
    /** GETs of segments answered from it, and those that went to the store. */
    hits: number
    misses: number
    hitBytes: number
    writtenBytes: number
    /** What was not kept, as the disk was slower than the store or had failed. */
    skipped: number
    /** Files that proved damaged, and other failures of the disk. */
    damaged: number
    errors: number
  } | null
  /** What the kernel asked for since the mount. */
  kernel: {
    /** By the opcode's name in <linux/fuse.h>, without FUSE_; those that never came are left out. */
    requests: Record<string, number>
    lookupsFound: number
    lookupsMissing: number
    readBytes: number
    writtenBytes: number
    /** Put into the kernel's cache unasked, for readers in no order. */
    storedBytes: number
    /** Pieces of listings prepared before they were asked for, and those of them that were. */
    listingsFilledAhead: number
    listingsUsedAhead: number
  }
  /** What the cleaner has done since the mount. */
  clean: {
    deletedSegments: number
    deletedBytes: number
    /** Sparse segments whose live bytes were moved into new ones. */
    rewrittenSegments: number
    movedBytes: number
    /** Dead segments that wait for the grace period. */
    waitingSegments: number
  }
  requests: RequestCounts
  /** Of objects, from and to the store, since the mount. */
  transfer: { receivedBytes: number; sentBytes: number }
  /** The daemon: CPU time of all its threads since it began, memory now. */
  process: { cpuSec: number; residentBytes: number }
  /** Why nothing can be written any more, if so. */
  failure: string | null
}

/** Cuts a stream of bytes into lines and hands on each as JSON. False from `push`: the peer sent what is no JSON line. */
export class LineReader {
  #pending = ''
  readonly #onLine: (value: unknown) => void

  constructor(onLine: (value: unknown) => void) {
    this.#onLine = onLine
  }

  push(text: string): boolean {
    const lines = (this.#pending + text).split('\n')
    this.#pending = lines.pop() ?? ''
    if (this.#pending.length > LINE_MAX_BYTES) return false
    for (const line of lines) {
      let value: unknown
      try {
        value = JSON.parse(line)
      } catch {
        // The caller cuts the connection.
        return false
      }
      this.#onLine(value)
    }
    return true
  }
}

export function encodeLine(value: Command | Reply): string {
  return `${JSON.stringify(value)}\n`
}

/** The Command in a decoded line, or null. */
export function asCommand(value: unknown): Command | null {
  if (typeof value !== 'object' || value === null || !('command' in value)) return null
  switch (value.command) {
    case 'status':
    case 'sync':
    case 'resume':
      return { command: value.command }
    case 'recase': {
      const { directory, name } = value as { directory?: unknown; name?: unknown }
      const isPath = Array.isArray(directory) && directory.every((part) => typeof part === 'string')
      return isPath && typeof name === 'string' ? { command: 'recase', directory, name } : null
    }
    case 'quota':
      return asQuotaCommand(value)
    case 'unmount':
      return { command: 'unmount', force: 'force' in value && value.force === true }
    default:
      return null
  }
}
