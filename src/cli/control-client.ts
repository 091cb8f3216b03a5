// The commands' side of the control socket: finding the daemon of a mount, and asking it.
//
// Must stay true: the mount itself is never touched (a hung one would hang us): it is found in mountinfo, and its daemon
// by the socket named after the mount's device. A socket counts only when the mount's user owns it.
import { lstatSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { findMount, MOUNT_TYPE, type MountEntry } from '../fuse/index.ts'
import { type Command, encodeLine, LineReader, type Reply } from './control-protocol.ts'
import { CommandError, codeOf } from './errors.ts'
import type { QuotaLine } from './quota-protocol.ts'
import { socketCandidates } from './runtime-directory.ts'

/** A daemon does not answer in time: it is stopped, or busy beyond reason. */
export const ANSWER_MS = 10_000

/** The cairnfs mount at `dir`. Throws CommandError when there is none. */
export function findCairnfsMount(dir: string): MountEntry {
  const entry = findMountOrFail(dir)
  if (entry === undefined) {
    throw new CommandError(`${dir} is not a mountpoint: findmnt -t ${MOUNT_TYPE} lists what cairnfs has mounted`)
  }
  if (entry.type !== MOUNT_TYPE) {
    throw new CommandError(
      `${dir} is a mount of type ${entry.type}, not of cairnfs: use umount(8), sync(1) or df(1) on it`,
    )
  }
  return entry
}

function findMountOrFail(dir: string): MountEntry | undefined {
  try {
    return findMount(dir)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new CommandError(`${dir} does not exist: check the path`)
    throw new CommandError(`${dir} cannot be looked up (${code}): check the path`, 1, { cause: error })
  }
}

/** The user who mounted it, as the kernel tells. */
function userOf(entry: MountEntry): number {
  return Number(/(?:^|,)user_id=(\d+)/.exec(entry.superOptions)?.[1] ?? 0)
}

/** A connection to the daemon of a mount. */
export class ControlClient {
  readonly #socket: Socket
  /** Resolves when the daemon's end is closed: at the latest when its process has ended. */
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.#socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  /** Connects; null when no daemon serves the mount (it died, or runs where its socket cannot be seen). */
  static async connect(entry: MountEntry): Promise<ControlClient | null> {
    const uid = userOf(entry)
    const ownUid = process.geteuid!()
    if (ownUid !== 0 && ownUid !== uid) {
      throw new CommandError(`${entry.mountpoint} was mounted by user ${uid}: do it as that user, or as root`)
    }
    for (const path of socketCandidates(entry.majorMinor, uid)) {
      if (!isOwnedBy(path, uid)) continue
      const socket = await connectTo(path, entry.mountpoint)
      if (socket !== null) return new ControlClient(socket)
    }
    return null
  }

  /** Sends a command and waits for its end. `answerMs`: how long the daemon may be silent; none: for ever. Throws
   *  CommandError with the daemon's own line, or when it went away or stayed silent. */
  ask(
    command: Command,
    options: {
      answerMs?: number
      onProgress?: (dirtyBytes: number) => void
      onQuota?: (line: QuotaLine) => void
    } = {},
  ): Promise<Extract<Reply, { reply: 'done' }>> {
    const socket = this.#socket
    return new Promise((resolve, reject) => {
      const { answerMs, onProgress, onQuota } = options
      const timer = answerMs === undefined ? undefined : setTimeout(() => fail('does not answer'), answerMs)
      const end = () => {
        clearTimeout(timer)
        socket.removeAllListeners('data').removeListener('close', onClosed)
      }
      const fail = (what: string) => {
        end()
        reject(new CommandError(`the daemon ${what}: see its log, and its process in ps`))
      }
      const onClosed = () => fail('went away before it had answered')
      const lines = new LineReader((value) => {
        const reply = value as Reply
        timer?.refresh()
        if (reply.reply === 'progress') return onProgress?.(reply.dirtyBytes)
        if (reply.reply === 'quota') return onQuota?.(reply.quota)
        end()
        if (reply.reply === 'done') resolve(reply)
        else reject(new CommandError(reply.message))
      })
      socket.setEncoding('utf8').on('data', (text: string) => {
        if (!lines.push(text)) fail('sent what is not its protocol')
      })
      if (socket.closed) return onClosed()
      socket.once('close', onClosed)
      socket.write(encodeLine(command))
    })
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** Waits until a process has ended; one whose parent has not collected it yet counts as ended. */
export async function processEnded(pid: number, pollMs = 5): Promise<void> {
  while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, pollMs))
}

function isRunning(pid: number): boolean {
  try {
    // proc_pid_stat(5): the state follows the command's name in parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    // No such process, or not visible here.
    return false
  }
}

function isOwnedBy(path: string, uid: number): boolean {
  try {
    return lstatSync(path).uid === uid
  } catch {
    // Missing, or in a directory of another user's: not the one.
    return false
  }
}

function connectTo(path: string, mountpoint: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.once('error', (error) => {
      const code = codeOf(error)
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(null)
      else
        reject(
          new CommandError(`the daemon of ${mountpoint} cannot be asked (${code}): do it as the user who mounted it`),
        )
    })
  })
}
