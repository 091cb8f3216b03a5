// The carrier of S3's requests over TLS, against a small server of our own: no MinIO needed, but openssl.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openS3Store } from '../../src/store/s3.ts'
import { expectKind, pattern } from './conformance.ts'
import { temporaryFolder } from './temporary-folder.ts'

const object = pattern(3_000_001)
const received: { headers: Record<string, unknown>; body: Buffer }[] = []
let server: Server
let endpoint: string

beforeAll(async () => {
  const folder = await temporaryFolder()
  const { key, cert } = selfSigned(folder.path)
  await folder.remove()
  server = createServer({ key, cert }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks) })
      response.setHeader('etag', '"e"')
      if (request.method !== 'GET') return void response.end()
      response.setHeader('content-length', object.length)
      // In uneven pieces, some of them together with the headers.
      for (let at = 0; at < object.length; at += 70_001) response.write(object.subarray(at, at + 70_001))
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  process.env.AWS_ACCESS_KEY_ID ??= 'key'
  process.env.AWS_SECRET_ACCESS_KEY ??= 'secret'
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** A key and a certificate for 127.0.0.1 that no authority vouches for. */
function selfSigned(folder: string): { key: Buffer; cert: Buffer } {
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' })
  return { key: readFileSync(key), cert: readFileSync(cert) }
}

const open = () => openS3Store({ bucket: 'bucket', endpoint, region: 'us-east-1', parallelism: 4 })

test('a certificate that nobody vouches for is fatal, and says what to do', async () => {
  const store = await open()
  for (const key of ['a', 'segments/a']) {
    const error = await expectKind(store.get(key), 'fatal')
    expect(error.message).toContain(endpoint)
    expect(error.message).toContain('NODE_EXTRA_CA_CERTS')
  }
  await store.close()
})

test('over https bodies come and go whole, on many sockets at once, and are not hashed for the signature', async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  try {
    const store = await open()
    const keys = Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? 'a' : 'segments/a'))
    const bodies = await Promise.all(keys.map((key) => store.get(key)))
    for (const { body } of bodies) expect(body.equals(object)).toBe(true)
    received.length = 0
    const parts = [object.subarray(0, 10), object.subarray(10)]
    await store.put('a', parts)
    const put = received[0]!
    expect(put.body.equals(object)).toBe(true)
    expect(put.headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD')
    expect(put.headers['content-length']).toBe(String(object.length))
    expect(put.headers['x-amz-checksum-crc32c']).toMatch(/^[A-Za-z0-9+/]{6}==$/)
    expect(put.headers.expect).toBeUndefined()
    await store.close()
  } finally {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
  }
})
