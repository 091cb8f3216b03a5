// A proxy in front of an S3 service that breaks what passes, as networks and services do. It counts what it broke, so that
// a test can tell whether it tested anything, and what the service really did, whatever the client was told of it.
//
//   const proxy = await startFaultProxy(minio.endpoint)
//   proxy.inject('reset after', { times: 1, matches: ({ method }) => method === 'PUT' })
//
// Must stay true: requests are forwarded as they came, with their Host: it is part of what is signed. Answers are passed
// on only when the service has given them whole, so that every fault of an answer comes after the effect of the request.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export const FAULTS = [
  /** The connection is reset; the service never saw the request. */
  'reset before',
  /** The connection is reset when the service has done it. */
  'reset after',
  /** The connection is reset when half of the request's body has been forwarded. */
  'reset in upload',
  /** The connection is reset after half of the answer's body. */
  'reset in download',
  /** The request's body is never read. */
  'stalled upload',
  /** The answer stops halfway through its body; one without a body never comes. */
  'stalled download',
  /** The answer comes late, and in pieces. */
  'slow',
  /** 503 SlowDown; the service never saw the request. */
  'slow down',
] as const
/** Those pass when tried again; `denied` does not: 403, and the service never saw the request. */
export type Fault = (typeof FAULTS)[number] | 'denied'

/** What a request asks for; `path` is that of the URL, with the bucket and the query. */
export interface Asked {
  method: string
  path: string
}

export interface InjectOptions {
  /** All requests unless told. */
  matches?: (asked: Asked) => boolean
  /** Of the requests that match; all unless told. */
  chance?: () => boolean
  /** How often; without end unless told. */
  times?: number
  /** `slow`: how long between the pieces of an answer, of which there are about ten; 50 unless told. */
  pauseMs?: number
}

export interface FaultProxy {
  readonly endpoint: string
  /** How often each fault was injected. */
  readonly injected: Readonly<Record<Fault, number>>
  /** What the service answered, in the order of its answers. */
  readonly answers: readonly (Asked & { status: number })[]
  /** Requests that a black hole swallowed. */
  readonly swallowed: number
  /** The longest that a client waited for an answer to one request, or before it gave up; without stalled uploads: who does
   *  not read does not learn that the other has gone. */
  readonly longestMs: number
  inject(fault: Fault, options?: InjectOptions): { stop(): void }
  /** From now on connections are refused, and those that are there are reset. */
  refuse(): Promise<void>
  /** From now on connections are accepted and nothing is ever said, not even on those that are there. */
  blackHole(): void
  /** Ends `refuse` and `blackHole`. What was swallowed stays so. */
  recover(): Promise<void>
  close(): Promise<void>
}

interface Rule {
  fault: Fault
  options: InjectOptions
  left: number
}

interface Answer {
  status: number
  headers: string[]
  body: Buffer
}

export async function startFaultProxy(endpoint: string): Promise<FaultProxy> {
  const proxy = new SocketProxy(new URL(endpoint))
  await proxy.listen()
  return proxy
}

const SLOW_DOWN = Buffer.from(
  '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>',
)
const DENIED = Buffer.from(
  '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>',
)
/** Headers that belong to one connection, and the length, which is written anew. */
const HOP = /^(connection|keep-alive|transfer-encoding|content-length)$/i

class SocketProxy implements FaultProxy {
  readonly injected = Object.fromEntries([...FAULTS, 'denied'].map((fault) => [fault, 0])) as Record<Fault, number>
  readonly answers: (Asked & { status: number })[] = []
  swallowed = 0
  longestMs = 0
  readonly #service: URL
  readonly #server = createServer((request, response) => this.#serve(request, response))
  readonly #sockets = new Set<Socket>()
  readonly #agent = new HttpAgent({ keepAlive: true })
  #rules: Rule[] = []
  #isBlackHole = false
  #port = 0

  constructor(service: URL) {
    this.#service = service
    this.#server.keepAliveTimeout = 0
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      // A client that gives up is no failure of ours.
      socket.on('error', () => {})
    })
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  inject(fault: Fault, options: InjectOptions = {}): { stop(): void } {
    const rule = { fault, options, left: options.times ?? Number.POSITIVE_INFINITY }
    this.#rules.push(rule)
    return {
      stop: () => {
        this.#rules = this.#rules.filter((one) => one !== rule)
      },
    }
  }

  async refuse(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await closed
  }

  blackHole(): void {
    this.#isBlackHole = true
  }

  async recover(): Promise<void> {
    this.#isBlackHole = false
    if (!this.#server.listening) await this.listen()
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    if (this.#server.listening) await this.refuse()
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const startedMs = performance.now()
    response.on('close', () => {
      if (!request.isPaused()) this.longestMs = Math.max(this.longestMs, performance.now() - startedMs)
    })
    this.#pass(request, response).catch(() => {
      // The service cannot be reached, or the client has gone: it sees a broken connection.
      request.socket.resetAndDestroy()
    })
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#isBlackHole) {
      this.swallowed++
      request.resume()
      return
    }
    const asked: Asked = { method: request.method ?? '', path: request.url ?? '' }
    const rule = this.#ruleFor(asked)
    switch (rule?.fault) {
      case 'reset before':
        request.socket.resetAndDestroy()
        return
      case 'stalled upload':
        request.pause()
        return
      case 'slow down':
      case 'denied': {
        request.resume()
        await once(request, 'end')
        const [status, body] = rule.fault === 'denied' ? [403, DENIED] : ([503, SLOW_DOWN] as const)
        response.writeHead(status, { 'Content-Type': 'application/xml', 'Content-Length': body.length })
        response.end(asked.method === 'HEAD' ? undefined : body)
        return
      }
      case 'reset in upload':
        await this.#forwardHalf(request)
        request.socket.resetAndDestroy()
        return
    }
    const answer = await this.#forward(request)
    this.answers.push({ ...asked, status: answer.status })
    if (this.#isBlackHole) {
      this.swallowed++
      return
    }
    if (rule?.fault === 'reset after') request.socket.resetAndDestroy()
    else await give(response, answer, rule)
  }

  #ruleFor(asked: Asked): Rule | undefined {
    const rule = this.#rules.find(
      ({ left, options: { matches, chance } }) => left > 0 && (matches?.(asked) ?? true) && (chance?.() ?? true),
    )
    if (rule === undefined) return undefined
    rule.left--
    this.injected[rule.fault]++
    return rule
  }

  #outgoing(request: IncomingMessage) {
    const { hostname: host, port } = this.#service
    const { method, url: path, rawHeaders: headers } = request
    return httpRequest({ agent: this.#agent, host, port, method: method!, path: path!, headers })
  }

  async #forward(request: IncomingMessage): Promise<Answer> {
    const outgoing = this.#outgoing(request)
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
    request.pipe(outgoing)
    const [incoming] = await answered
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    // It may have answered without reading all: the rest must not stand before the next request.
    request.unpipe(outgoing).resume()
    const isHead = request.method === 'HEAD'
    const headers: string[] = []
    for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
      const [name, value] = incoming.rawHeaders.slice(at, at + 2) as [string, string]
      if (!HOP.test(name) || (isHead && /^content-length$/i.test(name))) headers.push(name, value)
    }
    const body = Buffer.concat(chunks)
    if (!isHead) headers.push('Content-Length', String(body.length))
    return { status: incoming.statusCode ?? 0, headers, body }
  }

  /** The service gets half of the body, then the end of the connection. */
  async #forwardHalf(request: IncomingMessage): Promise<void> {
    const outgoing = this.#outgoing(request)
    outgoing.on('error', () => {})
    const halfBytes = Number(request.headers['content-length'] ?? 0) / 2
    let bytes = 0
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes >= halfBytes) break
      outgoing.write(chunk)
    }
    outgoing.destroy()
  }
}

async function give(
  response: ServerResponse,
  { status, headers, body }: Answer,
  rule: Rule | undefined,
): Promise<void> {
  switch (rule?.fault) {
    case 'stalled download':
    case 'reset in download': {
      // Until the half of it is on its way.
      const half = body.subarray(0, Math.ceil(body.length / 2))
      if (half.length > 0) await new Promise((resolve) => response.writeHead(status, headers).write(half, resolve))
      if (rule.fault === 'reset in download') response.socket?.resetAndDestroy()
      return
    }
    case 'slow': {
      const { pauseMs = 50 } = rule.options
      await sleep(pauseMs)
      response.writeHead(status, headers)
      const pieceBytes = Math.ceil(body.length / 10)
      for (let at = 0; at < body.length; at += pieceBytes) {
        response.write(body.subarray(at, at + pieceBytes))
        await sleep(pauseMs)
      }
      response.end()
      return
    }
    default:
      response.writeHead(status, headers)
      response.end(body)
  }
}
