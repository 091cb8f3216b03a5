// The S3 store against a real MinIO: the contract, what is its own, and that we count as MinIO does.
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Registry } from '../../src/observe/index.ts'
import { seededRandom, systemClock, systemRandom } from '../../src/platform/index.ts'
import { openStore, probeStore, storeRequests, withMetrics, withRetry } from '../../src/store/index.ts'
import { expectKind, objectStoreConformance, pattern } from '../store/conformance.ts'
import { countMinioRequests, createTestBucket, minio, type TestBucket } from './minio.ts'

describe.skipIf(minio === undefined)('a bucket of a service (needs MinIO)', () => {
  let bucket: TestBucket
  beforeAll(async () => {
    bucket = await createTestBucket(minio!)
  })
  afterAll(() => bucket.remove())

  objectStoreConformance('a bucket', { open: () => bucket.open() })
  objectStoreConformance('a prefix of a bucket, bodies unsigned', {
    open: () => openStore(`${bucket.name}/deep/prefix`, { ...bucket.options, unsignedPayload: true }),
  })

  test('a store under a prefix sees nothing of the rest', async () => {
    const [outside, inside] = [await bucket.open(), await bucket.open('in')]
    await outside.put('inside-not', [])
    await inside.put('a', [Buffer.from('x')])
    expect((await inside.list('')).objects.map(({ key }) => key)).toEqual(['a'])
    expect((await outside.get('in/a')).body.toString()).toBe('x')
    await Promise.all([outside.close(), inside.close()])
  })

  test('a missing bucket is no-bucket, and is created on demand, twice without harm', async () => {
    const missing = await openStore(`${bucket.name}-missing`, bucket.options)
    const error = await expectKind(missing.get('a'), 'no-bucket')
    expect(error.message).toContain(`${bucket.name}-missing`)
    await expectKind(missing.put('a', []), 'no-bucket')
    await expectKind(missing.list(''), 'no-bucket')
    await missing.close()
    await (await openStore(bucket.name, { ...bucket.options, createBucket: true })).close()
  })

  test('wrong keys are denied', async () => {
    const { AWS_SECRET_ACCESS_KEY } = process.env
    process.env.AWS_SECRET_ACCESS_KEY = 'wrong'
    try {
      const store = await bucket.open()
      const error = await expectKind(store.put('a', []), 'denied')
      expect(error.message).not.toContain('wrong')
      await store.close()
    } finally {
      process.env.AWS_SECRET_ACCESS_KEY = AWS_SECRET_ACCESS_KEY
    }
  })

  test('the probe finds nothing wrong and leaves nothing', async () => {
    const store = await bucket.open('probed')
    expect(await probeStore(store, systemRandom)).toEqual([])
    expect(await store.list('')).toEqual({ objects: [] })
    await store.close()
  })

  test('we count the requests that MinIO counts', async () => {
    const registry = new Registry()
    const store = withRetry(withMetrics(await bucket.open('counted'), { clock: systemClock, registry }), {
      clock: systemClock,
      random: seededRandom(1),
    })
    const counted = await countMinioRequests(minio!, async () => {
      const keys = Array.from({ length: 2500 }, (_, i) => `many/${i}`)
      await Promise.all(keys.slice(0, 1200).map((key) => store.put(key, [])))
      const etag = await store.putIfAbsent('a', [pattern(100_000)])
      await expectKind(store.putIfAbsent('a', []), 'precondition-failed')
      await expectKind(store.putIfMatch('missing', [], etag), 'not-found', 'precondition-failed')
      await store.get('a')
      await store.get('a', { offset: 10, lengthBytes: 10 })
      await expectKind(store.get('missing'), 'not-found')
      await store.head('a')
      let page = await store.list('many/')
      while (page.next !== undefined) page = await store.list('many/', { startAfter: page.next })
      await store.delete(keys)
    })
    const own = storeRequests(registry)
    expect(own).toEqual({ get: 3, put: 1203, delete: 3, list: 2, head: 1 })
    expect({
      get: counted.getobject,
      put: counted.putobject,
      delete: counted.deletemultipleobjects,
      list: counted.listobjectsv2,
      head: counted.headobject,
    }).toEqual(own)
    await store.close()
  })

  describe('behind a proxy that spoils things', () => {
    let spoil: (body: Buffer, response: ServerResponse, headers: IncomingHttpHeaders) => void
    let spoilRequest: (body: Buffer) => Buffer
    let proxy: Server
    let options: TestBucket['options']
    beforeAll(async () => {
      proxy = createServer((request, response) => {
        const chunks: Buffer[] = []
        request.on('data', (chunk: Buffer) => chunks.push(chunk))
        request.on('end', () => {
          const { connection: _, ...headers } = request.headers as Record<string, string>
          const upstream = send(`${minio!.endpoint}${request.url}`, { method: request.method, headers }, (reply) => {
            const parts: Buffer[] = []
            reply.on('data', (chunk: Buffer) => parts.push(chunk))
            reply.on('end', () => {
              response.statusCode = reply.statusCode ?? 500
              spoil(Buffer.concat(parts), response, reply.headers)
            })
          })
          upstream.end(spoilRequest(Buffer.concat(chunks)))
        })
      })
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
      const { port } = proxy.address() as AddressInfo
      options = { ...bucket.options, endpoint: `http://127.0.0.1:${port}`, unsignedPayload: true, idleTimeoutMs: 500 }
      const direct = await bucket.open()
      await direct.put('proxied', [pattern(200_000)])
      await direct.close()
    })
    afterAll(() => {
      proxy.closeAllConnections()
      proxy.close()
    })

    const pass: typeof spoil = (body, response, headers) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value ?? '')
      response.end(body)
    }

    test('a body that ends early is retryable, never short', async () => {
      spoilRequest = (body) => body
      spoil = (body, response, headers) => {
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value ?? '')
        response.write(body.subarray(0, body.length / 2), () => response.destroy())
      }
      const store = await openStore(bucket.name, options)
      await expectKind(store.get('proxied'), 'retryable')
      await store.close()
    })

    test('a service that says nothing is retryable after the idle time', async () => {
      spoil = () => undefined
      const store = await openStore(bucket.name, options)
      const error = await expectKind(store.get('proxied'), 'retryable')
      expect(error.message).toContain('nothing moved')
      await store.close()
    })

    test('a body damaged on its way to the service is refused, and retryable', async () => {
      spoil = pass
      spoilRequest = (body) => {
        const damaged = Buffer.from(body)
        if (damaged.length > 0) damaged[0]! ^= 1
        return damaged
      }
      const store = await openStore(bucket.name, options)
      await expectKind(store.put('damaged', [pattern(1000)]), 'retryable')
      await expectKind(store.head('damaged'), 'not-found')
      await store.close()
    })

    test('a service that ignores ranges costs bytes, not correctness', async () => {
      spoilRequest = (body) => body
      spoil = (_, response) => {
        response.statusCode = 200
        response.setHeader('etag', '"x"')
        response.end(pattern(200_000))
      }
      const store = await openStore(bucket.name, options)
      const { body } = await store.get('proxied', { offset: 1000, lengthBytes: 50 })
      expect(body.equals(pattern(200_000).subarray(1000, 1050))).toBe(true)
      await store.close()
    })

    test.each([
      { status: 500, code: 'InternalError', kind: 'retryable' },
      { status: 503, code: 'SlowDown', kind: 'retryable' },
      { status: 429, code: 'TooManyRequests', kind: 'retryable' },
      { status: 409, code: 'ConditionalRequestConflict', kind: 'retryable' },
      { status: 412, code: 'PreconditionFailed', kind: 'precondition-failed' },
      { status: 403, code: 'AccessDenied', kind: 'denied' },
      { status: 403, code: 'RequestTimeTooSkewed', kind: 'retryable' },
      { status: 400, code: 'BadDigest', kind: 'retryable' },
      { status: 400, code: 'InvalidArgument', kind: 'fatal' },
      { status: 501, code: 'NotImplemented', kind: 'fatal' },
      { status: 404, code: 'NoSuchKey', kind: 'not-found' },
      { status: 404, code: 'NoSuchBucket', kind: 'no-bucket' },
      { status: 502, code: '', kind: 'retryable' },
    ] as const)('$status $code is $kind', async ({ status, code, kind }) => {
      spoil = (_, response) => {
        response.statusCode = status
        response.setHeader('content-type', 'application/xml')
        response.end(
          code === ''
            ? '<html>Bad Gateway</html>'
            : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>two\nlines</Message></Error>`,
        )
      }
      const store = await openStore(bucket.name, options)
      await expectKind(store.put('a', []), kind)
      await expectKind(store.get('a'), kind)
      await store.close()
    })
  })

  test('an endpoint that nobody serves, or has no address, is retryable and named', async () => {
    for (const endpoint of ['http://127.0.0.1:1', 'http://no-such-host.invalid']) {
      const store = await openStore(bucket.name, { ...bucket.options, endpoint })
      const error = await expectKind(store.get('a'), 'retryable')
      expect(error.message).toContain(endpoint)
      await store.close()
    }
  })
})
