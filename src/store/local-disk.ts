// What the local store asks of the filesystem below it: a seam, so that a simulation can cut the power between any two
// calls (test/simulation/disk.ts). The disk that is used unless told is Node's fs, as it is: a FileHandle is a DiskFile.
//
// Must stay true: the store does nothing with files but through these calls; each fails with an error that has a `code`.
import { closeSync, openSync } from 'node:fs'
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { tryFlock } from '../platform/index.ts'

/** As fs.BigIntStats. */
export interface DiskStat {
  ino: bigint
  size: bigint
  mtimeNs: bigint
  isFile(): boolean
  isDirectory(): boolean
}

/** A name in a folder, as fs.Dirent. */
export interface DiskEntry {
  name: string
  isFile(): boolean
  isDirectory(): boolean
}

/** An open file or folder, as fs.promises.FileHandle. */
export interface DiskFile {
  writev(parts: readonly Uint8Array[]): Promise<{ bytesWritten: number }>
  read(buffer: Uint8Array, at: number, lengthBytes: number, position: number): Promise<{ bytesRead: number }>
  utimes(atimeSeconds: number, mtimeSeconds: number): Promise<void>
  stat(options: { bigint: true }): Promise<DiskStat>
  /** fsync(2): of a file its content and times, of a folder its names. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** An open lock file. */
export interface DiskLock {
  /** Takes the lock without waiting. False when another open file has it. */
  tryLock(): boolean
  /** Closes the file, and gives the lock back. */
  close(): void
}

export interface Disk {
  /** `r`: a file or folder to be read or synced. `wx`: a new file to be written; EEXIST where there is one. */
  open(path: string, flags: 'r' | 'wx'): Promise<DiskFile>
  link(existing: string, path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  mkdir(path: string): Promise<void>
  readdir(path: string): Promise<DiskEntry[]>
  stat(path: string): Promise<DiskStat>
  /** Opens a lock file, creating it. Synchronous: on a local filesystem it takes microseconds, less than handing it to the
   *  thread pool. */
  openLock(path: string): DiskLock
}

export const nodeDisk: Disk = {
  open: (path, flags) => open(path, flags) as Promise<DiskFile>,
  link,
  rename,
  unlink,
  mkdir: (path) => mkdir(path),
  readdir: (path) => readdir(path, { withFileTypes: true }),
  stat: (path) => stat(path, { bigint: true }),
  openLock(path) {
    const fd = openSync(path, 'a')
    return { tryLock: () => tryFlock(fd, 'exclusive'), close: () => closeSync(fd) }
  },
}
