// HTTP over connections of our own, for what is asked most: GETs of objects, whose bytes go from the socket straight into the
// body's memory, and PUTs of small ones, which somebody waits for. Node's own client copies each byte of an answer twice on its
// way, into memory that is garbage at once: with its collection that is most of the CPU time of a cold read
// (docs/decisions/0028). And what it makes for each request takes as long as all else that a commit costs (0036).
//
// Must stay true:
// - A connection has one request at a time. It is used again only when the request was sent and the answer read to their last
//   bytes, the answer did not say that it closes, and nothing came behind it.
// - Nothing is written to a body's memory once its request has settled, and nothing of a request is read then.
// - Nothing is tried again here (retry.ts repeats): one call is at most one request.
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { HttpAnswer } from './http-answer.ts'
import { bodyLengthBytes, type RequestProgress } from './object-store.ts'
import { sendBody } from './send-body.ts'

/** Bytes of heads, and of bodies that come with them or whose length is not known. */
const SCRATCH_BYTES = 64 * 1024
/** A request up to this length is copied together with its head: one system call, and no list of buffers to make. */
const COPY_BYTES = 64 * 1024
/** An idle connection is given up so long before the service says that it will close it. */
const KEEP_ALIVE_MARGIN_MS = 1000

export interface HttpClientOptions {
  /** Requests under way at once. */
  maxSockets: number
  /** A connection on which nothing moves for so long has failed: connecting, sending, waiting and receiving alike. */
  idleTimeoutMs: number
  /** Of answers. */
  maxBodyBytes: number
}

export interface HttpRequest {
  method: string
  isSecure: boolean
  host: string
  port: number
  /** With its query. */
  path: string
  /** All that are sent, `host` included. */
  headers: Readonly<Record<string, string>>
  /** The body, in parts; how long it is stands in the headers. */
  parts: readonly Uint8Array[]
  signal: AbortSignal | undefined
  progress: RequestProgress | undefined
  /** Memory for the answer's body. */
  allocate: (lengthBytes: number) => Buffer
}

export class HttpClient {
  readonly #options: HttpClientOptions
  #underWay = 0
  /** Requests that wait for their turn, in order. */
  readonly #waiting = new Set<() => void>()
  /** Those that wait for a request, by where they lead; the one used last is at the end. */
  readonly #idle = new Map<string, Connection[]>()
  /** One for all connections: what is read into it is used up before any of them reads again. */
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  readonly #sessions = new Map<string, Buffer>()

  constructor(options: HttpClientOptions) {
    this.#options = options
  }

  /** Resolves to an answer that is whole, whatever its status; rejects with the signal's reason when aborted. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { signal, progress } = request
    signal?.throwIfAborted()
    if (this.#underWay === this.#options.maxSockets) {
      progress?.queued()
      await this.#turn(signal)
    } else this.#underWay++
    try {
      return await this.#send(request)
    } finally {
      const [next] = this.#waiting
      if (next === undefined) this.#underWay--
      else next()
    }
  }

  destroy(): void {
    for (const connections of this.#idle.values()) for (const connection of [...connections]) connection.destroy()
  }

  /** Resolves when one that was under way has left its place to the caller. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        signal?.removeEventListener('abort', abort)
        this.#waiting.delete(next)
      }
      const next = () => {
        leave()
        resolve()
      }
      const abort = () => {
        leave()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiting.add(next)
    })
  }

  #send(request: HttpRequest): Promise<HttpAnswer> {
    request.signal?.throwIfAborted()
    const head = requestHead(request)
    const origin = `${request.isSecure}/${request.host}/${request.port}`
    const connection = this.#idle.get(origin)?.pop() ?? this.#connect(origin, request)
    const { maxBodyBytes } = this.#options
    const answer = new HttpAnswer({ scratch: this.#scratch, maxBodyBytes, allocate: request.allocate })
    return connection.exchange(request, head, answer)
  }

  #connect(origin: string, { isSecure, host, port }: HttpRequest): Connection {
    const { idleTimeoutMs } = this.#options
    const idle = this.#idle.get(origin) ?? []
    this.#idle.set(origin, idle)
    const open = (onread: OnRead): Socket => {
      const options = { host, port, noDelay: true, onread }
      if (!isSecure) return connect(options)
      const session = this.#sessions.get(origin)
      const socket = connectTls({
        ...options,
        ...(isIP(host) ? {} : { servername: host }),
        ...(session === undefined ? {} : { session }),
      })
      return socket.on('session', (latest) => this.#sessions.set(origin, latest))
    }
    return new Connection({ open, idle, scratch: this.#scratch, idleTimeoutMs })
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/

interface OnRead {
  buffer: () => Buffer
  callback: (lengthBytes: number) => boolean
}

interface ConnectionOptions {
  open: (onread: OnRead) => Socket
  /** Where it waits for its next request. */
  idle: Connection[]
  scratch: Buffer
  idleTimeoutMs: number
}

interface Exchange {
  answer: HttpAnswer
  request: HttpRequest
  /** Of the request's body. */
  sentBytes: number
  abort: () => void
  resolve: (answer: HttpAnswer) => void
  reject: (error: unknown) => void
}

class Connection {
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  #exchange: Exchange | null = null

  constructor(options: ConnectionOptions) {
    this.#options = options
    const { open, idleTimeoutMs } = options
    this.#socket = open({
      buffer: () => this.#exchange?.answer.target ?? options.scratch,
      callback: (lengthBytes) => this.#received(lengthBytes),
    })
    this.#socket.setTimeout(idleTimeoutMs)
    this.#socket.on('timeout', () => this.#fail(idleError(idleTimeoutMs)))
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('end', () => this.#ended())
    this.#socket.on('close', () => this.#fail(resetError('the connection was closed')))
  }

  /** Sends a request and receives its answer. */
  exchange(request: HttpRequest, head: string, answer: HttpAnswer): Promise<HttpAnswer> {
    const { signal, progress } = request
    return new Promise<HttpAnswer>((resolve, reject) => {
      const abort = () => this.#fail(signal?.reason)
      signal?.addEventListener('abort', abort, { once: true })
      const exchange = { answer, request, sentBytes: 0, abort, resolve, reject }
      this.#exchange = exchange
      this.#socket.ref()
      this.#socket.setTimeout(this.#options.idleTimeoutMs)
      progress?.moved(0)
      this.#write(exchange, head)
    })
  }

  #write(exchange: Exchange, head: string): void {
    const { parts, progress } = exchange.request
    const bodyBytes = bodyLengthBytes(parts)
    const onSent = (bytes: number) => {
      // Nobody asks for it any more.
      if (this.#exchange !== exchange) return
      exchange.sentBytes += bytes
      progress?.moved(exchange.sentBytes)
    }
    if (bodyBytes === 0) this.#socket.write(head, 'latin1')
    else if (bodyBytes <= COPY_BYTES)
      this.#socket.write(Buffer.concat([Buffer.from(head, 'latin1'), ...parts]), (error) => {
        if (!error) onSent(bodyBytes)
      })
    else {
      this.#socket.cork()
      this.#socket.write(head, 'latin1')
      sendBody(this.#socket, parts, { onSent })
      this.#socket.uncork()
    }
  }

  destroy(): void {
    this.#fail(resetError('the store was closed'))
  }

  #received(lengthBytes: number): boolean {
    const exchange = this.#exchange
    // Nobody asked: it cannot be told to whom it belongs.
    if (exchange === null) {
      this.destroy()
      return false
    }
    const { answer, request } = exchange
    const before = answer.bodyBytes
    try {
      answer.received(lengthBytes)
    } catch (error) {
      this.#fail(error)
      return false
    }
    if (answer.bodyBytes > before) request.progress?.moved(exchange.sentBytes + answer.bodyBytes)
    if (answer.isDone) this.#done(exchange)
    return !this.#socket.destroyed
  }

  #ended(): void {
    const exchange = this.#exchange
    try {
      exchange?.answer.ended()
    } catch (error) {
      this.#fail(resetError((error as Error).message))
      return
    }
    if (exchange !== null) this.#done(exchange)
    // At once: nobody may take it for his next request.
    this.#fail(resetError('the service closed the connection'))
  }

  #done({ answer, request, sentBytes, abort, resolve }: Exchange): void {
    this.#exchange = null
    request.signal?.removeEventListener('abort', abort)
    const isSent = sentBytes === bodyLengthBytes(request.parts)
    if (isSent && answer.isReusable && !this.#socket.destroyed) this.#rest(answer.head!.headers['keep-alive'])
    else this.#socket.destroy()
    resolve(answer)
  }

  /** Waits for its next request, and does not keep the process alive meanwhile. */
  #rest(keepAlive: string | undefined): void {
    const told = /\btimeout=(\d+)/.exec(keepAlive ?? '')?.[1]
    const { idle, idleTimeoutMs } = this.#options
    const restMs =
      told === undefined ? idleTimeoutMs : Math.min(idleTimeoutMs, Number(told) * 1000 - KEEP_ALIVE_MARGIN_MS)
    if (restMs <= 0) {
      this.#socket.destroy()
      return
    }
    this.#socket.setTimeout(restMs)
    this.#socket.unref()
    idle.push(this)
  }

  /** The end of the connection, and of the request on it. */
  #fail(error: unknown): void {
    const exchange = this.#exchange
    this.#exchange = null
    this.#socket.destroy()
    const index = this.#options.idle.indexOf(this)
    if (index >= 0) this.#options.idle.splice(index, 1)
    if (exchange === null) return
    exchange.request.signal?.removeEventListener('abort', exchange.abort)
    exchange.reject(error)
  }
}

function requestHead({ method, path, headers }: HttpRequest): string {
  const lines = [`${method} ${path} HTTP/1.1`]
  for (const name in headers) lines.push(`${name}: ${headers[name]}`)
  lines.push('connection: keep-alive')
  for (const line of lines) if (CONTROL.test(line)) throw new Error('a request with control characters in its head')
  return `${lines.join('\r\n')}\r\n\r\n`
}

function idleError(idleTimeoutMs: number): Error {
  return Object.assign(new Error(`nothing moved for ${idleTimeoutMs} ms`), { code: 'ETIMEDOUT' })
}

function resetError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ECONNRESET' })
}
