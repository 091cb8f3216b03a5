// GETs and PUTs that the SDK does not see: where they go, what they say, and what is made of answers, against a small server
// of our own. That they are signed rightly is for a real service to say (test/s3/).
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ObjectStore } from '../../src/store/index.ts'
import { openS3Store, type S3StoreOptions } from '../../src/store/s3.ts'
import { leavesBodiesUnsigned } from '../../src/store/s3-checksums.ts'
import { expectKind } from './conformance.ts'

interface Asked {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: string
}

const HOUR_MS = 3_600_000
let server: Server
let endpoint: string
let asked: Asked[]
let answer: (response: ServerResponse) => void
let open: (options?: Partial<S3StoreOptions>) => Promise<ObjectStore>
let opened: ObjectStore[]

const succeed = (response: ServerResponse) => response.setHeader('etag', '"e"').end()
const say = (status: number, code: string) => (response: ServerResponse) => {
  response.statusCode = status
  response.end(`<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>so &amp; so</Message></Error>`)
}

beforeEach(async () => {
  asked = []
  opened = []
  answer = succeed
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      asked.push({ method, url, headers, body: Buffer.concat(chunks).toString() })
      answer(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  process.env.AWS_ACCESS_KEY_ID ??= 'key'
  process.env.AWS_SECRET_ACCESS_KEY ??= 'secret'
  open = async (options = {}) => {
    const store = await openS3Store({ bucket: 'bucket', endpoint, region: 'eu-north-1', ...options })
    opened.push(store)
    return store
  }
})
afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()))
  server.closeAllConnections()
  server.close()
})

test('a put says where it goes, what its body is and on what it depends, and all of that is signed', async () => {
  const store = await open({ prefix: 'a b', unsignedPayload: false })
  await store.putIfAbsent('c+d/é', [Buffer.from('1234'), Buffer.from('56789')])
  await store.putIfMatch('x', [], '"old"' as never)
  const [absent, match] = asked as [Asked, Asked]
  expect(absent).toMatchObject({ method: 'PUT', url: '/bucket/a%20b/c%2Bd/%C3%A9', body: '123456789' })
  expect(absent.headers).toMatchObject({
    host: new URL(endpoint).host,
    'content-length': '9',
    'content-type': 'application/octet-stream',
    'if-none-match': '*',
    'x-amz-checksum-crc32c': '4waSgw==',
    'x-amz-content-sha256': '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  })
  expect(match.headers).toMatchObject({ 'if-match': '"old"', 'content-length': '0' })
  const { authorization = '' } = absent.headers
  expect(authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/eu-north-1\/s3\/aws4_request, /)
  for (const name of ['host', 'if-none-match', 'x-amz-checksum-crc32c', 'x-amz-content-sha256', 'x-amz-date'])
    expect(authorization).toMatch(new RegExp(`SignedHeaders=[^,]*\\b${name}\\b`))
})

test("bodies are left out of the signature where that was asked for, and where the service is this machine's own", async () => {
  const sha256 = '230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5'
  for (const options of [{ unsignedPayload: true }, { unsignedPayload: false }, {}])
    await (await open(options)).put('x', [Buffer.from('body')])
  const hashes = asked.map(({ headers }) => headers['x-amz-content-sha256'])
  expect(hashes).toEqual(['UNSIGNED-PAYLOAD', sha256, 'UNSIGNED-PAYLOAD'])
})

test.each([
  ['http://127.0.0.1:9000', true],
  ['http://127.8.0.1', true],
  ['http://localhost:9000', true],
  ['http://[::1]:9000', true],
  ['http://127.0.0.1.example:9000', false],
  ['http://bucket.localhost.example', false],
  ['http://10.0.0.1:9000', false],
  ['http://minio:9000', false],
  [undefined, false],
])('whether nobody can be between: %s', (endpoint, expected) => {
  const where = endpoint === undefined ? {} : { endpoint }
  expect(leavesBodiesUnsigned(where)).toBe(expected)
  for (const unsignedPayload of [true, false])
    expect(leavesBodiesUnsigned({ ...where, unsignedPayload })).toBe(unsignedPayload)
})

test('a bucket may stand in the host name', async () => {
  const store = await open({ pathStyle: false, endpoint: endpoint.replace('127.0.0.1', 'localhost') })
  await store.get('x').catch((error: Error) => {
    // Where names under localhost lead nowhere.
    expect(error.message).toContain('bucket.localhost')
  })
  for (const { url, headers } of asked) expect([url, headers.host]).toEqual(['/x', expect.stringMatching(/^bucket\./)])
})

test('a range is asked for as HTTP has it', async () => {
  answer = (response) => {
    response.statusCode = 206
    response.setHeader('content-range', 'bytes 5-7/8')
    response.setHeader('etag', '"e"').end('567')
  }
  const store = await open()
  expect((await store.get('x', { offset: 5, lengthBytes: 3 })).body.toString()).toBe('567')
  for (const lengthBytes of [undefined, 100])
    expect((await store.get('x', { offset: 5, ...(lengthBytes && { lengthBytes }) })).body.toString()).toBe('567')
  expect(asked.map(({ headers }) => headers.range)).toEqual(['bytes=5-7', 'bytes=5-', 'bytes=5-104'])
})

test.each([
  ['others', { offset: 100, lengthBytes: 3 }, 'bytes 5-7/1000'],
  ['fewer', { offset: 5, lengthBytes: 100 }, 'bytes 5-7/1000'],
  ['not all to the end', { offset: 5 }, 'bytes 5-7/1000'],
  ['not all', {}, 'bytes 0-2/1000'],
  ['not as many as it says', { offset: 5, lengthBytes: 100 }, 'bytes 5-104/1000'],
  ['nobody knows which', { offset: 5, lengthBytes: 3 }, 'items 5-7/8'],
])('an answer whose bytes are %s is none', async (_, options, contentRange) => {
  answer = (response) => {
    response.statusCode = 206
    response.setHeader('content-range', contentRange)
    response.setHeader('etag', '"e"').end('567')
  }
  const store = await open()
  const { message } = await expectKind(store.get('segments/1', options), 'retryable')
  expect(message).toContain(contentRange)
})

test('whoever is refused for his clock asks by that of the service from then on', async () => {
  const dateOf = (text: unknown) => Date.parse(String(text).replace(/(....)(..)(..T..)(..)(..)/, '$1-$2-$3:$4:$5'))
  answer = (response) => {
    response.setHeader('date', new Date(Date.now() + HOUR_MS).toUTCString())
    if (Math.abs(dateOf(asked.at(-1)!.headers['x-amz-date']) - Date.now()) < HOUR_MS / 2)
      return say(403, 'RequestTimeTooSkewed')(response)
    return succeed(response)
  }
  const store = await open()
  await expectKind(store.put('x', []), 'retryable')
  await store.put('x', [])
  await store.get('x')
  await store.head('x')
})

test('what a service says of a refusal is told, and a success that ends as an error is none', async () => {
  const store = await open()
  answer = say(403, 'AccessDenied')
  expect((await expectKind(store.put('x', []), 'denied')).message).toContain('403 AccessDenied: so & so')
  answer = say(301, 'PermanentRedirect')
  expect((await expectKind(store.get('x'), 'fatal')).message).toContain('--region')
  answer = say(200, 'InternalError')
  await expectKind(store.put('x', []), 'retryable')
})

test('credentials are asked for again when they are about to expire', async () => {
  const { AWS_ACCESS_KEY_ID } = process.env
  process.env.AWS_CREDENTIAL_EXPIRATION = new Date(Date.now() + 60_000).toISOString()
  try {
    const store = await open()
    for (const key of ['first', 'second']) {
      process.env.AWS_ACCESS_KEY_ID = key
      await store.put('x', [])
      // They are refreshed beside the request that finds them old.
      await expect
        .poll(async () => {
          await store.put('x', [])
          return /Credential=([^/]+)/.exec(asked.at(-1)!.headers.authorization ?? '')?.[1]
        })
        .toBe(key)
    }
  } finally {
    delete process.env.AWS_CREDENTIAL_EXPIRATION
    process.env.AWS_ACCESS_KEY_ID = AWS_ACCESS_KEY_ID
  }
})
