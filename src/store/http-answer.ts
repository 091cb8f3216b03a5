// The answer to one GET as it comes over a connection (RFC 9112): the head is parsed, the body goes straight into memory of
// its own. Knows no sockets: it says where the next bytes are to be put, and is told how many came.
//
// Must stay true:
// - A body is whole when the answer says so: by Content-Length, by its last chunk, or, where it says neither, by the end of
//   the connection. What ends before is an error.
// - With a Content-Length nothing is read past the body: `target` is never longer than what is missing.

/** More than any service sends. */
const HEAD_BYTES_MAX = 64 * 1024
const CHUNK_LINE_BYTES_MAX = 1024
/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const HEAD_END = Buffer.from('\r\n\r\n')

export interface AnswerOptions {
  /** Where bytes go whose place is not known yet. May serve many answers: it is used up within `received`. */
  scratch: Buffer
  /** No larger body is taken. */
  maxBodyBytes: number
  /** Memory for a body whose length is known, of exactly that many bytes. */
  allocate: (lengthBytes: number) => Buffer
}

/** Header names are in lower case; what came several times is joined by commas. */
export interface AnswerHead {
  statusCode: number
  reason: string
  headers: Record<string, string>
  /** Whether the connection may be used again, as far as the answer says. */
  keepsAlive: boolean
}

type State = 'head' | 'length' | 'chunk line' | 'chunk' | 'chunk end' | 'trailer' | 'to the end' | 'done'

export class HttpAnswer {
  head: AnswerHead | null = null
  /** Of the body, so far. */
  bodyBytes = 0
  readonly #options: AnswerOptions
  #state: State = 'head'
  /** Where the body's length is known: its memory. */
  #body: Buffer | null = null
  /** Else its parts. */
  #parts: Buffer[] = []
  /** Of a head or a chunk's line: what came of it. */
  #line: Buffer = Buffer.alloc(0)
  #chunkLeftBytes = 0
  /** Bytes came that no answer has room for. */
  #isOverfull = false

  constructor(options: AnswerOptions) {
    this.#options = options
  }

  get isDone(): boolean {
    return this.#state === 'done'
  }

  /** The connection may be used again; only when done. */
  get isReusable(): boolean {
    return this.#state === 'done' && this.head!.keepsAlive && !this.#isOverfull
  }

  /** The whole body; only when done. */
  get body(): Buffer {
    return this.#body ?? Buffer.concat(this.#parts)
  }

  /** Where the next bytes are to be put. */
  get target(): Buffer {
    return this.#state === 'length' ? this.#body!.subarray(this.bodyBytes) : this.#options.scratch
  }

  /** So many bytes were put at `target`. Throws when they are no HTTP. */
  received(lengthBytes: number): void {
    if (this.#state === 'length') {
      this.bodyBytes += lengthBytes
      if (this.bodyBytes === this.#body!.length) this.#state = 'done'
      return
    }
    let rest = this.#options.scratch.subarray(0, lengthBytes)
    while (rest.length > 0 && this.#state !== 'done') rest = this.#take(rest)
    if (rest.length > 0) this.#isOverfull = true
  }

  /** The connection ended. Throws unless that is the end of the answer. */
  ended(): void {
    if (this.#state === 'to the end') this.#state = 'done'
    if (this.#state !== 'done') throw coded('ECONNRESET', this.#shortfall())
  }

  #shortfall(): string {
    if (this.head === null) return 'the connection ended before an answer'
    return `the connection ended after ${this.bodyBytes} of ${this.#body?.length ?? 'an unknown number of'} bytes`
  }

  /** Takes what belongs to the present state; returns the rest. */
  #take(bytes: Buffer): Buffer {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes)
      case 'length': {
        const taken = bytes.copy(this.#body!, this.bodyBytes)
        this.bodyBytes += taken
        if (this.bodyBytes === this.#body!.length) this.#state = 'done'
        return bytes.subarray(taken)
      }
      case 'chunk': {
        const part = bytes.subarray(0, this.#chunkLeftBytes)
        this.#keep(part)
        this.#chunkLeftBytes -= part.length
        if (this.#chunkLeftBytes === 0) this.#state = 'chunk end'
        return bytes.subarray(part.length)
      }
      case 'to the end':
        this.#keep(bytes)
        return bytes.subarray(bytes.length)
      default:
        return this.#takeLine(bytes)
    }
  }

  #keep(part: Buffer): void {
    this.bodyBytes += part.length
    this.#refuseLarge(this.bodyBytes)
    this.#parts.push(Buffer.from(part))
  }

  #refuseLarge(bodyBytes: number): void {
    if (bodyBytes > this.#options.maxBodyBytes) throw new Error(`a body of ${bodyBytes} bytes is no object of cairnfs`)
  }

  #takeHead(bytes: Buffer): Buffer {
    const before = this.#line.length
    this.#line = before === 0 ? bytes : Buffer.concat([this.#line, bytes])
    const end = this.#line.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length))
    if (end < 0 ? this.#line.length > HEAD_BYTES_MAX : end > HEAD_BYTES_MAX) throw malformed('an endless HTTP head')
    if (end < 0) {
      // The scratch is not ours for longer than this turn.
      if (before === 0) this.#line = Buffer.from(bytes)
      return bytes.subarray(bytes.length)
    }
    const head = parseHead(this.#line.toString('latin1', 0, end))
    this.#line = Buffer.alloc(0)
    // 100 and the like come before the answer.
    if (head.statusCode >= 200) this.#beginBody(head)
    return bytes.subarray(end + HEAD_END.length - before)
  }

  #beginBody(head: AnswerHead): void {
    this.head = head
    const { 'content-length': length, 'transfer-encoding': encoding } = head.headers
    if (head.statusCode === 204 || head.statusCode === 304) this.#state = 'done'
    else if (encoding !== undefined) {
      if (encoding.toLowerCase() !== 'chunked') throw malformed(`a body in the transfer encoding ${encoding}`)
      this.#state = 'chunk line'
    } else if (length === undefined) {
      head.keepsAlive = false
      this.#state = 'to the end'
    } else {
      if (!/^\d{1,15}$/.test(length)) throw malformed(`a Content-Length of ${length}`)
      this.#refuseLarge(Number(length))
      this.#body = this.#options.allocate(Number(length))
      this.#state = this.#body.length === 0 ? 'done' : 'length'
    }
  }

  /** A line of the chunked coding: before a chunk, behind it, or of the trailer. */
  #takeLine(bytes: Buffer): Buffer {
    const at = bytes.indexOf(10)
    const taken = at < 0 ? bytes : bytes.subarray(0, at + 1)
    this.#line = Buffer.concat([this.#line, taken])
    if (this.#line.length > CHUNK_LINE_BYTES_MAX) throw malformed('an endless line in a chunked body')
    if (at >= 0) {
      const line = this.#line.toString('latin1').trimEnd()
      this.#line = Buffer.alloc(0)
      this.#endLine(line)
    }
    return bytes.subarray(taken.length)
  }

  #endLine(line: string): void {
    if (this.#state === 'trailer') {
      if (line === '') this.#state = 'done'
      return
    }
    if (this.#state === 'chunk end') {
      if (line !== '') throw malformed('a chunk of a body is longer than it says')
      this.#state = 'chunk line'
      return
    }
    const size = /^([0-9a-f]{1,12})(?:[\t ]*;.*)?$/i.exec(line)?.[1]
    if (size === undefined) throw malformed(`a chunk of a body begins with ${JSON.stringify(line)}`)
    this.#chunkLeftBytes = Number.parseInt(size, 16)
    this.#state = this.#chunkLeftBytes === 0 ? 'trailer' : 'chunk'
  }
}

/** With codes as Node's own client gives them: they tell what may pass by itself. */
function malformed(message: string): Error {
  return coded('HPE_MALFORMED', message)
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

function parseHead(text: string): AnswerHead {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/.exec(first)
  if (status === null) throw malformed(`what answers speaks no HTTP/1.1: ${JSON.stringify(first.slice(0, 80))}`)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    if (!TOKEN.test(name)) throw malformed(`a header is none: ${JSON.stringify(line.slice(0, 80))}`)
    const value = line.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  const connection = headers.connection?.toLowerCase() ?? ''
  const keepsAlive = status[1] === '1' ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection)
  return { statusCode: Number(status[2]), reason: status[3] ?? '', headers, keepsAlive }
}
