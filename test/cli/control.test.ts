// The control socket: what `cairnfs status`, sync and umount say to the daemon and hear, and what it does with nonsense.
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { asCommand, LINE_MAX_BYTES, LineReader, type MountStatus } from '../../src/cli/control-protocol.ts'
import { type ControlHandlers, type ControlServer, serveControl } from '../../src/cli/control-server.ts'

let folder: string
let path: string
let server: ControlServer

const handlers: ControlHandlers = {
  status: () => ({ pid: 7 }) as MountStatus,
  async sync(onProgress) {
    onProgress(10)
    onProgress(0)
  },
  async resume() {},
  async recase() {},
  async quota(command, show) {
    if (command.action !== 'list') throw new Error('there is none')
    const none = { used: 0, limit: null }
    await show({ kind: 'uid', id: 7, bytes: { used: 5, limit: 9 }, inodes: none, counting: false })
    await show({ kind: 'volume', bytes: none, inodes: none, counting: true })
  },
  async unmount({ force }) {
    if (!force) throw new Error('EBUSY')
    return { lostBytes: 5 }
  },
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cairnfs-control-'))
  path = join(folder, '0-1.sock')
  writeFileSync(path, 'left by a dead daemon')
  server = await serveControl(path, handlers)
})
afterEach(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

/** Sends text and gives what comes back until `count` lines or the end. */
function talk(text: string, count: number): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const replies: unknown[] = []
    const socket = connect(path, () => socket.write(text))
    const lines = new LineReader((value) => {
      replies.push(value)
      if (replies.length === count) socket.end()
    })
    socket.setEncoding('utf8').on('data', (part: string) => lines.push(part))
    socket.once('close', () => resolve(replies)).once('error', reject)
  })
}

it('leaves the socket of a mount that was given the same device number meanwhile', async () => {
  const next = await serveControl(path, handlers)
  server.close()
  expect(await talk('{"command":"status"}\n', 1)).toMatchObject([{ reply: 'done' }])
  next.close()
  expect(readdirSync(folder)).toEqual([])
})

it('answers commands in JSON lines, several over one connection, and tells failures', async () => {
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const status = { reply: 'done', pid: process.pid, status: { pid: 7 } }
  expect(await talk('{"command":"status"}\n{"command":"status"}\n', 2)).toEqual([status, status])
  expect(await talk('{"command":"sync"}\n', 3)).toEqual([
    { reply: 'progress', dirtyBytes: 10 },
    { reply: 'progress', dirtyBytes: 0 },
    { reply: 'done', pid: process.pid },
  ])
  expect(await talk('{"command":"unmount"}\n', 1)).toMatchObject([{ reply: 'error' }])
  expect(await talk('{"command":"unmount","force":true}\n', 1)).toMatchObject([{ reply: 'done', lostBytes: 5 }])
  expect(await talk('{"command":"quota","action":"list"}\n', 3)).toMatchObject([
    { reply: 'quota', quota: { kind: 'uid', id: 7 } },
    { reply: 'quota', quota: { kind: 'volume' } },
    { reply: 'done' },
  ])
  expect(await talk('{"command":"dance"}\n', 1)).toMatchObject([{ reply: 'error' }])
})

it('cuts off who sends no lines of JSON, and goes on serving others', async () => {
  expect(await talk('GET / HTTP/1.1\n', 1)).toEqual([])
  expect(await talk('x'.repeat(LINE_MAX_BYTES + 1), 1)).toEqual([])
  expect(await talk('{"command":"status"}\n', 1)).toHaveLength(1)
})

it('puts lines together however they are cut', () => {
  const values: unknown[] = []
  const reader = new LineReader((value) => values.push(value))
  for (const part of ['{"a"', ':1}\n{"b":2}', '\n', '{"c":3}\n{']) expect(reader.push(part)).toBe(true)
  expect(values).toEqual([{ a: 1 }, { b: 2 }, { c: 3 }])
  expect(asCommand([])).toBeNull()
  expect(asCommand({ command: 'unmount', force: 'yes' })).toEqual({ command: 'unmount', force: false })
})
