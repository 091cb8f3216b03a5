// Requests against small servers of our own, which see what a client does with its connections.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HttpClient, type HttpRequest } from '../../src/store/http-client.ts'
import { pattern } from './conformance.ts'

const IDLE_MS = 300
const SOCKETS = 2
const object = pattern(3_000_001)
const whole = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${object.length}\r\n\r\n`), object])

let server: Server
let client: HttpClient
let connections: Socket[]
/** What the server takes for a whole request. */
let isWhole: (text: string) => boolean
/** What the server does with a request; `text` is its head, and its body. */
let onRequest: (socket: Socket, text: string) => void

beforeEach(async () => {
  connections = []
  onRequest = (socket) => socket.write(whole)
  isWhole = (text) => text.endsWith('\r\n\r\n')
  server = createServer((socket) => {
    connections.push(socket)
    let text = ''
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1')
      if (!isWhole(text)) return
      onRequest(socket, text)
      text = ''
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  client = new HttpClient({ maxSockets: SOCKETS, idleTimeoutMs: IDLE_MS, maxBodyBytes: 1 << 24 })
})
afterEach(() => {
  client.destroy()
  for (const socket of connections) socket.destroy()
  server.close()
})

const portOf = (listening: Server) => (listening.address() as AddressInfo).port

function get(options: Partial<HttpRequest> = {}) {
  const port = options.port ?? portOf(server)
  return client.send({
    ...{ method: 'GET', isSecure: false, host: '127.0.0.1', port, path: '/bucket/key?x=1' },
    ...{ headers: { host: 'h', range: 'bytes=0-' }, parts: [] },
    ...{ signal: undefined, progress: undefined, allocate: Buffer.allocUnsafeSlow },
    ...options,
  })
}

test('bodies come whole, over as many connections as are allowed, which are used again', async () => {
  const heads: string[] = []
  onRequest = (socket, text) => {
    heads.push(text)
    socket.write(whole)
  }
  const answers = await Promise.all(Array.from({ length: 7 }, () => get()))
  for (const { body } of answers) expect(body.equals(object)).toBe(true)
  expect((await get()).body.equals(object)).toBe(true)
  expect(connections.length).toBe(SOCKETS)
  expect(heads[0]).toBe('GET /bucket/key?x=1 HTTP/1.1\r\nhost: h\r\nrange: bytes=0-\r\nconnection: keep-alive\r\n\r\n')
})

test('the body lands in the memory that was given for it', async () => {
  let memory: Buffer | undefined
  const answer = await get({
    allocate: (length) => {
      memory = Buffer.alloc(length)
      return memory
    },
  })
  expect(answer.body).toBe(memory)
})

test.each([
  ['says that it closes', Buffer.from('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok')],
  ['will not keep it for long', Buffer.from('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok')],
  ['sends more than was asked for', Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay')],
])('a connection is not used again when the service %s', async (_, answer) => {
  onRequest = (socket) => socket.write(answer)
  expect((await get()).body.toString()).toBe('ok')
  expect((await get()).body.toString()).toBe('ok')
  expect(connections.length).toBe(2)
})

test('an idle connection that the service closed, or spoke on, is not used again', async () => {
  for (const spoil of [
    (socket: Socket) => socket.end(),
    (socket: Socket) => socket.write('HTTP/1.1 408 Bye\r\n\r\n'),
  ]) {
    await get()
    const socket = connections.at(-1)!
    const closed = once(socket, 'close')
    spoil(socket)
    await closed
    expect((await get()).body.equals(object)).toBe(true)
    expect(connections.at(-1)).not.toBe(socket)
  }
})

test('a body that ends early is an error that may pass, and its connection is gone', async () => {
  onRequest = (socket) => socket.end(whole.subarray(0, -1))
  await expect(get()).rejects.toMatchObject({
    code: 'ECONNRESET',
    message: expect.stringMatching(/3000000 of 3000001/),
  })
  onRequest = (socket) => socket.write(whole)
  expect((await get()).body.equals(object)).toBe(true)
})

test('what is no HTTP is refused', async () => {
  onRequest = (socket) => socket.write('220 smtp.example.org\r\n\r\n')
  await expect(get()).rejects.toMatchObject({ code: 'HPE_MALFORMED' })
})

test('nobody listening is an error that may pass', async () => {
  const port = portOf(server)
  await new Promise((resolve) => server.close(resolve))
  await expect(get({ port })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('where nothing moves for too long, the request fails, however much came before', async () => {
  onRequest = (socket) => socket.write(whole.subarray(0, 100_000))
  await expect(get()).rejects.toMatchObject({ code: 'ETIMEDOUT' })
  onRequest = () => undefined
  await expect(get()).rejects.toMatchObject({ code: 'ETIMEDOUT' })
})

test('an abort ends the request at once, and nothing more is written to its memory', async () => {
  let memory = Buffer.alloc(0)
  onRequest = (socket) => socket.write(whole.subarray(0, 1_000_000))
  const aborting = new AbortController()
  const moved: number[] = []
  const progress = {
    queued: () => undefined,
    moved: (bytes: number) => {
      moved.push(bytes)
      if (bytes > 500_000) aborting.abort(new Error('not wanted any more'))
    },
  }
  const allocate = (length: number) => {
    memory = Buffer.alloc(length)
    return memory
  }
  await expect(get({ signal: aborting.signal, progress, allocate })).rejects.toThrow('not wanted any more')
  memory.fill(0)
  connections[0]!.write(whole.subarray(1_000_000))
  // The next answer comes over another connection.
  onRequest = (socket) => socket.write(whole)
  await get()
  expect(memory.every((byte) => byte === 0)).toBe(true)
  expect(moved[0]).toBe(0)
})

test('one that is aborted while it waits for a connection sends nothing', async () => {
  let requests = 0
  const release: (() => void)[] = []
  onRequest = (socket) => {
    requests++
    release.push(() => socket.write(whole))
  }
  const first = [get(), get()]
  const aborting = new AbortController()
  const waiting = get({ signal: aborting.signal })
  aborting.abort(new Error('given up'))
  await expect(waiting).rejects.toThrow('given up')
  while (release.length < SOCKETS) await new Promise((resolve) => setImmediate(resolve))
  for (const answer of release) answer()
  await Promise.all(first)
  expect(requests).toBe(2)
})

test('what is to be sent holds no second request', async () => {
  await expect(get({ headers: { host: 'h\r\n\r\nGET /other HTTP/1.1' } })).rejects.toThrow('control characters')
  await expect(get({ path: '/a b\n' })).rejects.toThrow('control characters')
  expect((await get()).body.equals(object)).toBe(true)
})

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
const headersOf = (body: string) => ({ host: 'h', 'content-length': String(body.length) })

test('a small body goes out in one piece with its head, on a connection that is used again', async () => {
  const asked: string[] = []
  // The first piece that comes is all of it, or what is asked is not what was sent.
  isWhole = () => true
  onRequest = (socket, text) => {
    asked.push(text)
    socket.write(OK)
  }
  for (const body of ['first', 'x'.repeat(20_000), '']) {
    const parts = [body.slice(0, 2), '', body.slice(2)].map((part) => Buffer.from(part))
    await get({ method: 'PUT', parts, headers: headersOf(body) })
    const head = `PUT /bucket/key?x=1 HTTP/1.1\r\nhost: h\r\ncontent-length: ${body.length}\r\nconnection: keep-alive\r\n\r\n`
    expect(asked.pop() === head + body, body.slice(0, 5)).toBe(true)
  }
  expect(connections.length).toBe(1)
})

test('of a large body it is told how far it has come', async () => {
  const body = 'y'.repeat(2_600_000)
  isWhole = (text) => text.endsWith(`\r\n\r\n${body}`)
  onRequest = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  const told: number[] = []
  const progress = { queued: () => undefined, moved: (bytes: number) => told.push(bytes) }
  const parts = [Buffer.from(body.slice(0, 1_100_000)), Buffer.from(body.slice(1_100_000))]
  for (let times = 0; times < 2; times++) await get({ method: 'PUT', parts, headers: headersOf(body), progress })
  const once = [0, 1_048_576, 2_097_152, 2_600_000, 2_600_002]
  expect(told).toEqual([...once, ...once])
  expect(connections.length).toBe(1)
})

test('an answer that comes before all was sent is one, but the rest is not sent, nor the connection used again', async () => {
  const body = Buffer.alloc(64 << 20, 'z')
  isWhole = (text) => text.includes('zz')
  onRequest = (socket) => {
    socket.pause()
    socket.write('HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno')
  }
  const told: number[] = []
  const progress = { queued: () => undefined, moved: (bytes: number) => told.push(bytes) }
  const answer = await get({
    method: 'PUT',
    parts: [body],
    headers: { 'content-length': String(body.length) },
    progress,
  })
  expect([answer.head?.statusCode, answer.body.toString()]).toEqual([403, 'no'])
  expect(told.at(-1)).toBeLessThan(body.length)
  isWhole = (text) => text.endsWith('\r\n\r\n')
  onRequest = (socket) => socket.write(OK)
  await get()
  expect(connections.length).toBe(2)
})

test('an abort while a body is being sent ends the request at once', async () => {
  isWhole = () => false
  const aborting = new AbortController()
  const progress = {
    queued: () => undefined,
    moved: (bytes: number) => {
      if (bytes > 0) aborting.abort(new Error('not wanted any more'))
    },
  }
  const parts = Array.from({ length: 64 }, () => Buffer.alloc(1 << 20))
  await expect(get({ method: 'PUT', parts, signal: aborting.signal, progress })).rejects.toThrow('not wanted any more')
})
