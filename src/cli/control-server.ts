// The daemon's side of the control socket.
//
// Must stay true: only the daemon's user can connect (mode 0600 in a directory of mode 0700); a client that goes away, or
// sends nonsense, disturbs nobody; what it began goes on; the socket of another mount is never removed, though the kernel
// may have given it our device number, and so our socket's name, as soon as our mount was gone.
import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { asCommand, type Command, encodeLine, LineReader, type MountStatus, type Reply } from './control-protocol.ts'
import { describeError } from './errors.ts'
import type { QuotaCommand, QuotaLine } from './quota-protocol.ts'

const CONNECTIONS_MAX = 64

export interface ControlHandlers {
  status(): MountStatus
  sync(onProgress: (dirtyBytes: number) => void): Promise<void>
  resume(): Promise<void>
  recase(directory: readonly string[], name: string): Promise<void>
  quota(command: QuotaCommand, show: (line: QuotaLine) => Promise<void>): Promise<void>
  unmount(options: { force: boolean; onProgress: (dirtyBytes: number) => void }): Promise<{ lostBytes: number }>
}

export interface ControlServer {
  /** Takes no new clients and removes the socket; those connected stay until the process ends. */
  close(): void
  /** Resolves when nobody waits for an answer any more. */
  answered(): Promise<void>
}

/** Serves at `path`. What lies there is a dead daemon's: device numbers of mounts are unique while they last. */
export async function serveControl(path: string, handlers: ControlHandlers): Promise<ControlServer> {
  // libuv, when it closes a socket, removes the name that was bound, whatever has it by then: so it is not `path`.
  const boundPath = `${path}.${process.pid}`
  rmSync(boundPath, { force: true })
  const answers = new Set<Promise<void>>()
  const server = createServer((socket) => serveClient(socket, handlers, answers))
  server.maxConnections = CONNECTIONS_MAX
  const umask = process.umask(0o177)
  try {
    await listen(server, boundPath)
  } finally {
    process.umask(umask)
  }
  chmodSync(boundPath, 0o600)
  const { ino } = lstatSync(boundPath)
  renameSync(boundPath, path)
  return {
    close() {
      server.close()
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true })
    },
    answered: async () => void (await Promise.all(answers)),
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function serveClient(socket: Socket, handlers: ControlHandlers, answers: Set<Promise<void>>): void {
  // A client that was interrupted has had what it wanted; writes to it go nowhere.
  socket.on('error', () => socket.destroy())
  const reply = (value: Reply) =>
    new Promise<void>((resolve) => {
      if (socket.writable) socket.write(encodeLine(value), () => resolve())
      else resolve()
    })
  const lines = new LineReader((value) => {
    const answered = answer(asCommand(value), handlers, reply).catch((error: unknown) =>
      reply({ reply: 'error', message: describeError(error) }),
    )
    answers.add(answered)
    answered.finally(() => answers.delete(answered))
  })
  socket.setEncoding('utf8').on('data', (text: string) => {
    if (!lines.push(text)) socket.destroy()
  })
}

async function answer(
  command: Command | null,
  handlers: ControlHandlers,
  reply: (value: Reply) => Promise<void>,
): Promise<void> {
  const { pid } = process
  const onProgress = (dirtyBytes: number) => void reply({ reply: 'progress', dirtyBytes })
  switch (command?.command) {
    case undefined:
      return reply({
        reply: 'error',
        message: 'the daemon does not know this command: it is another version of cairnfs',
      })
    case 'status':
      return reply({ reply: 'done', pid, status: handlers.status() })
    case 'sync':
      await handlers.sync(onProgress)
      return reply({ reply: 'done', pid })
    case 'resume':
      await handlers.resume()
      return reply({ reply: 'done', pid })
    case 'recase':
      await handlers.recase(command.directory, command.name)
      return reply({ reply: 'done', pid })
    case 'quota':
      await handlers.quota(command, (quota) => reply({ reply: 'quota', quota }))
      return reply({ reply: 'done', pid })
    case 'unmount': {
      const { lostBytes } = await handlers.unmount({ force: command.force, onProgress })
      return reply({ reply: 'done', pid, lostBytes })
    }
  }
}
