// Answers as services send them, cut into reads at every place; and what is no answer.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HttpAnswer } from '../../src/store/http-answer.ts'

const MAX_BODY_BYTES = 1000

/** Gives the bytes to an answer as a socket would, in reads of at most these sizes (the last one for all that follow). */
function read(text: string, sizes: readonly number[] = [1 << 20]): { answer: HttpAnswer; leftBytes: number } {
  const bytes = Buffer.from(text, 'latin1')
  const scratch = Buffer.alloc(4096)
  const answer = new HttpAnswer({ scratch, maxBodyBytes: MAX_BODY_BYTES, allocate: (length) => Buffer.alloc(length) })
  let at = 0
  for (let i = 0; at < bytes.length && !answer.isDone; i++) {
    const size = sizes[Math.min(i, sizes.length - 1)]!
    const length = bytes.copy(answer.target, 0, at, Math.min(bytes.length, at + size))
    at += length
    answer.received(length)
    scratch.fill(0x7f)
  }
  return { answer, leftBytes: bytes.length - at }
}

interface Case {
  name: string
  text: string
  status: number
  body: string
  isReusable: boolean
  /** The connection ends behind it. */
  ends?: true
}

const CASES: readonly Case[] = [
  {
    name: 'a body of known length',
    text: 'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: "e"\r\n\r\nhello',
    ...{ status: 206, body: 'hello', isReusable: true },
  },
  {
    name: 'no body',
    text: 'HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n',
    ...{ status: 200, body: '', isReusable: true },
  },
  { name: 'no content', text: 'HTTP/1.1 204\r\n\r\n', ...{ status: 204, body: '', isReusable: true } },
  {
    name: 'one that closes',
    text: 'HTTP/1.1 404 Not Found\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno',
    ...{ status: 404, body: 'no', isReusable: false },
  },
  {
    name: 'chunks with extensions and a trailer',
    text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA ;x=1\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n',
    ...{ status: 200, body: 'abc0123456789', isReusable: true },
  },
  {
    name: 'an answer behind 100 Continue',
    text: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx',
    ...{ status: 200, body: 'x', isReusable: true },
  },
  {
    name: 'HTTP/1.0, to the end of the connection',
    text: 'HTTP/1.0 200 OK\r\n\r\nuntil the end',
    ...{ status: 200, body: 'until the end', isReusable: false, ends: true },
  },
  {
    name: 'HTTP/1.0 that keeps the connection',
    text: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx',
    ...{ status: 200, body: 'x', isReusable: true },
  },
]

test.each(CASES)('$name', ({ text, status, body, isReusable, ends }) => {
  const splits = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(fc.constantFrom([1], [2], [7], [1 << 20]), splits, (even, uneven) => {
      for (const sizes of [even, uneven]) {
        const { answer, leftBytes } = read(text, sizes)
        if (ends) answer.ended()
        expect(leftBytes).toBe(0)
        expect(answer.isDone).toBe(true)
        expect(answer.head!.statusCode).toBe(status)
        expect(answer.body.toString('latin1')).toBe(body)
        expect(answer.bodyBytes).toBe(body.length)
        expect(answer.isReusable).toBe(isReusable)
      }
    }),
    { numRuns: 100 },
  )
})

test('headers are told by lower-case names, and together where they came several times', () => {
  const { answer } = read('HTTP/1.1 204 No Content\r\nX-A:  1 \r\nx-a: 2\r\nETag: "a:b"\r\n\r\n')
  expect(answer.head).toMatchObject({ reason: 'No Content', headers: { 'x-a': '1, 2', etag: '"a:b"' } })
})

test('what comes behind an answer keeps its connection from being used again', () => {
  const { answer } = read('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n')
  expect(answer.isDone).toBe(true)
  expect(answer.body.toString()).toBe('ok')
  expect(answer.isReusable).toBe(false)
})

test('a body of known length is never read past its end', () => {
  const { answer } = read('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc')
  expect(answer.target.length).toBe(497)
})

test.each([
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['HTTP/2', 'HTTP/2 200\r\n\r\n'],
  ['a header without a colon', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'],
  ['a folded header', 'HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['a chunk of no length', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
  ['a chunk that is too long', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n'],
  ['a line without end', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(2000)}`],
  ['a head without end', `HTTP/1.1 200 OK\r\na: ${'x'.repeat(70_000)}`],
])('%s is malformed', (_, text) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ code: 'HPE_MALFORMED' }))
})

test.each([
  ['by its length', `HTTP/1.1 200 OK\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`],
  ['in chunks', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n${'x'.repeat(2048)}`],
])('a body that is too large is refused, %s', (_, text) => {
  expect(() => read(text)).toThrow('no object of cairnfs')
})

test.each([
  ['before an answer', ''],
  ['in a head', 'HTTP/1.1 200 OK\r\nA: '],
  ['in a body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell'],
  ['in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell'],
  ['before the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
])('an end %s is an error that may pass', (_, text) => {
  const { answer } = read(text)
  expect(() => answer.ended()).toThrow(expect.objectContaining({ code: 'ECONNRESET' }))
  expect(answer.isDone).toBe(false)
})
