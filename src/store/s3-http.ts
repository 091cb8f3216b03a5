// How requests of the S3 SDK reach the wire: the SDK builds and signs, this carries the bodies. Its own handler and its
// streams cost three times the processor time of plain node:http for a body of 4 MiB.
//
// Must stay true:
// - Bodies that are kept come, and those that are small and awaited go, by HttpClient; all else by Node's own.
// - A response is handed over only when its whole body has been read into one buffer of exactly that size; a body that
//   ends early is an error, never a short buffer.
// - All sockets read into one buffer (see receiveInto): what arrives is copied in the turn it arrives in, nothing is paused.
// - Every socket is drained or destroyed: none is returned to the agent in the middle of a body.
// - Nothing is tried again here, so that one call is at most one request (retry.ts repeats, metrics.ts counts).
import {
  type AgentOptions,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { OnReadOpts, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { HttpClient } from './http-client.ts'
import type { RequestProgress } from './object-store.ts'
import { sendBody } from './send-body.ts'

/** More than any object of cairnfs; a larger one is foreign, and is refused before memory is taken for it. */
const MAX_BODY_BYTES = 1024 ** 3

/** The SDK's request and response, as far as they matter here (they are types of @smithy/types, which is not ours). */
export interface SignedRequest {
  method: string
  protocol: string
  hostname: string
  port?: number
  path: string
  query?: Record<string, string | string[] | null>
  headers: Record<string, string>
  body?: unknown
}

/** Of a success `body` stands in `Carried` where that keeps it. */
export interface Response {
  statusCode: number
  reason?: string
  headers: Record<string, string>
  body: unknown
}

/** What travels with one request besides what the SDK knows. It takes the place of the request's body. */
export interface Carried {
  readonly parts: readonly Uint8Array[]
  readonly signal: AbortSignal | undefined
  readonly progress: RequestProgress | undefined
  /** It uses a connection of those for large bodies, and leaves the others free. */
  readonly isBulk: boolean
  /** The response's body is kept in `received`, not given to the SDK (which would wrap it in a stream). */
  readonly keepsBody: boolean
  received?: Buffer
  /** Memory for a body that is kept. */
  readonly allocate?: ((lengthBytes: number) => Buffer) | undefined
}

export interface HttpHandlerSettings {
  /** Most bulk requests under way at once, and most others; more wait in the agents' queues. */
  maxSockets: { bulk: number; other: number }
  /** A socket on which nothing moves for so long is destroyed: connecting, sending, waiting and receiving alike. */
  idleTimeoutMs: number
}

/** What the SDK sees in place of a body that `Carried` keeps; it is never read. */
const KEPT_BODY = new Readable({ read() {} })

export class CarryingHttpHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #idleTimeoutMs: number
  readonly #bulk: Agents
  readonly #other: Agents
  readonly #bulkGets: HttpClient
  readonly #awaited: HttpClient

  constructor({ maxSockets, idleTimeoutMs }: HttpHandlerSettings) {
    this.#idleTimeoutMs = idleTimeoutMs
    const options: AgentOptions = {
      keepAlive: true,
      timeout: idleTimeoutMs,
      // The socket used last is the least likely to have been closed by the server meanwhile.
      scheduling: 'lifo',
      onread: receiveInto(Buffer.allocUnsafeSlow(RECEIVE_BYTES)),
    }
    this.#bulk = createAgents({ ...options, maxSockets: maxSockets.bulk })
    this.#other = createAgents({ ...options, maxSockets: maxSockets.other })
    const clients = { idleTimeoutMs, maxBodyBytes: MAX_BODY_BYTES }
    this.#bulkGets = new HttpClient({ ...clients, maxSockets: maxSockets.bulk })
    this.#awaited = new HttpClient({ ...clients, maxSockets: maxSockets.other })
  }

  destroy(): void {
    for (const { http, https } of [this.#bulk, this.#other]) {
      http.destroy()
      https.destroy()
    }
    this.#bulkGets.destroy()
    this.#awaited.destroy()
  }

  handle(request: SignedRequest): Promise<{ response: Response }> {
    const carried = request.body as Carried | undefined
    if (carried?.keepsBody) return this.#send(carried.isBulk ? this.#bulkGets : this.#awaited, request, carried)
    if (carried && request.method === 'PUT' && !carried.isBulk) return this.#send(this.#awaited, request, carried)
    return new Promise((resolve, reject) => {
      const signal = carried?.signal
      if (signal?.aborted) return reject(signal.reason)
      const secure = request.protocol === 'https:'
      const { http, https } = carried?.isBulk ? this.#bulk : this.#other
      const outgoing = secure
        ? httpsRequest(this.#requestOptions(request, https))
        : httpRequest(this.#requestOptions(request, http))
      let movedBytes = 0
      const move = (bytes: number) => {
        movedBytes += bytes
        carried?.progress?.moved(movedBytes)
      }
      carried?.progress?.queued()
      outgoing.on('socket', () => move(0))
      const abort = () => outgoing.destroy(signal?.reason)
      const settle = (error: unknown, response?: Response) => {
        signal?.removeEventListener('abort', abort)
        if (response === undefined) reject(signal?.aborted ? signal.reason : error)
        else resolve({ response })
      }
      signal?.addEventListener('abort', abort, { once: true })
      outgoing.on('response', (incoming) => {
        readBody(incoming, { isHead: request.method === 'HEAD', onBytes: move }, (error, body) => {
          if (body === undefined) {
            outgoing.destroy()
            settle(error)
          } else settle(undefined, toResponse(headOf(incoming), body, carried))
        })
      })
      outgoing.on('error', settle)
      outgoing.on('timeout', () => outgoing.destroy(idleError(this.#idleTimeoutMs)))
      sendBody(outgoing, carried?.parts ?? [], { onSent: move, onLast: () => outgoing.end() })
    })
  }

  async #send(client: HttpClient, request: SignedRequest, carried: Carried): Promise<{ response: Response }> {
    const isSecure = request.protocol === 'https:'
    const { parts, signal, progress } = carried
    const answer = await client.send({
      ...{ method: request.method, isSecure, host: hostOf(request), port: request.port ?? (isSecure ? 443 : 80) },
      ...{ path: request.path + queryString(request.query), headers: request.headers, parts },
      ...{ signal, progress, allocate: carried.allocate ?? Buffer.allocUnsafeSlow },
    })
    const { statusCode, reason, headers } = answer.head!
    return { response: toResponse({ statusCode, reason, headers }, answer.body, carried) }
  }

  #requestOptions(request: SignedRequest, agent: HttpAgent): RequestOptions {
    const options: RequestOptions = {
      agent,
      host: hostOf(request),
      method: request.method,
      path: request.path + queryString(request.query),
      headers: request.headers,
      timeout: this.#idleTimeoutMs,
    }
    if (request.port !== undefined) options.port = request.port
    return options
  }
}

/** As sockets want it: IPv6 addresses without brackets. */
function hostOf({ hostname }: SignedRequest): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

interface Agents {
  http: HttpAgent
  https: HttpsAgent
}

function createAgents(options: AgentOptions): Agents {
  return { http: new HttpAgent(options), https: new HttpsAgent(options) }
}

const RECEIVE_BYTES = 256 * 1024

/** Lets sockets read into `buffer` in place of 64 KiB of new memory for every read, which costs a third of the time of a
 *  large body in garbage collection. One buffer serves all sockets: Node hands a read on, and runs what it made due,
 *  before it reads from any socket again. */
function receiveInto(buffer: Buffer): OnReadOpts {
  return {
    buffer,
    callback(this: Socket, length: number) {
      this.emit('data', buffer.subarray(0, length))
      return true
    },
  }
}

/** RFC 3986 encoding, as the signature's canonical query has it. */
function queryString(query: SignedRequest['query']): string {
  let text = ''
  for (const key in query) {
    const values = query[key]
    for (const value of Array.isArray(values) ? values : [values])
      text += `${text === '' ? '?' : '&'}${encode(key)}${value == null ? '' : `=${encode(value)}`}`
  }
  return text
}

/** A part of a path or a query. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function idleError(idleTimeoutMs: number): Error {
  return Object.assign(new Error(`nothing moved for ${idleTimeoutMs} ms`), { code: 'ETIMEDOUT' })
}

/** Calls `done` once, with the whole body or with an error. */
function readBody(
  incoming: IncomingMessage,
  { isHead, onBytes }: { isHead: boolean; onBytes: (bytes: number) => void },
  done: (error: Error | undefined, body?: Buffer) => void,
): void {
  const header = incoming.headers['content-length']
  const expected = isHead ? 0 : header === undefined ? undefined : Number(header)
  if (expected !== undefined && !(expected <= MAX_BODY_BYTES)) {
    done(new Error(`a body of ${header} bytes is no object of cairnfs`))
    return
  }
  const body = expected === undefined ? undefined : Buffer.allocUnsafeSlow(expected)
  const chunks: Buffer[] = []
  let at = 0
  let finished = false
  const finish = (error: Error | undefined) => {
    if (finished) return
    finished = true
    if (error === undefined) done(undefined, body ?? Buffer.concat(chunks))
    else done(error)
  }
  incoming.on('data', (chunk: Buffer) => {
    if (body === undefined) chunks.push(Buffer.from(chunk))
    else chunk.copy(body, at)
    at += chunk.length
    onBytes(chunk.length)
    if (at > MAX_BODY_BYTES) incoming.destroy()
  })
  incoming.on('end', () =>
    finish(incoming.complete && (expected === undefined || at === expected) ? undefined : shortBody(at, expected)),
  )
  incoming.on('error', finish)
  incoming.on('close', () => finish(shortBody(at, expected)))
}

function shortBody(received: number, expected: number | undefined): Error {
  const message = `the connection ended after ${received} of ${expected ?? 'an unknown number of'} bytes`
  return Object.assign(new Error(message), { code: 'ECONNRESET' })
}

function headOf({ statusCode = 0, statusMessage, headers }: IncomingMessage): Omit<Response, 'body'> {
  return {
    statusCode,
    headers: headers as Record<string, string>,
    ...(statusMessage === undefined ? {} : { reason: statusMessage }),
  }
}

function toResponse(head: Omit<Response, 'body'>, body: Buffer, carried: Carried | undefined): Response {
  const response: Response = { ...head, body }
  if (carried?.keepsBody && head.statusCode < 300) {
    carried.received = body
    response.body = KEPT_BODY
  }
  return response
}
