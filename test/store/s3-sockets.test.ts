// Who waits for whom in the S3 store: uploads of segments hold up nothing but segments, and what waits for a connection
// is told so. Against a small server of our own that answers when the test says.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ObjectStore } from '../../src/store/index.ts'
import { openS3Store } from '../../src/store/s3.ts'

const SOCKETS = 2
let server: Server
let store: ObjectStore
/** Requests for segments, unanswered. */
let held: ServerResponse[]
let onHeld: () => void

function answer(response: ServerResponse): void {
  response.setHeader('etag', '"e"')
  response.end()
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  request.on('end', () => {
    if (!request.url!.includes('/segments/')) return answer(response)
    held.push(response)
    onHeld()
  })
}

beforeEach(async () => {
  held = []
  onHeld = () => undefined
  server = createServer(receive)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  process.env.AWS_ACCESS_KEY_ID ??= 'key'
  process.env.AWS_SECRET_ACCESS_KEY ??= 'secret'
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  store = await openS3Store({ bucket: 'bucket', endpoint, region: 'us-east-1', parallelism: SOCKETS })
})
afterEach(async () => {
  await store.close()
  server.closeAllConnections()
  server.close()
})

/** Resolves when so many requests for segments have come. */
function until(count: number): Promise<void> {
  return new Promise((resolve) => {
    onHeld = () => {
      if (held.length >= count) resolve()
    }
    onHeld()
  })
}

test('a heartbeat and a commit are answered while every upload of segments is stuck', async () => {
  const uploads = Array.from({ length: SOCKETS + 1 }, (_, i) => store.put(`segments/${i}`, [Buffer.alloc(10)]))
  await until(SOCKETS)
  await store.put('writers/0.json', [Buffer.from('alive')])
  await store.putIfAbsent('journal/000/1/1', [Buffer.from('commit')])
  expect(held.length).toBe(SOCKETS)
  for (const response of held.splice(0)) answer(response)
  await until(1)
  answer(held[0]!)
  await Promise.all(uploads)
})

test('a request says when it waits for a connection, when it has one, and what it has sent', async () => {
  const told: string[] = []
  const progress = { queued: () => told.push('queued'), moved: (bytes: number) => told.push(String(bytes)) }
  const uploads = Array.from({ length: SOCKETS }, (_, i) => store.put(`segments/${i}`, []))
  await until(SOCKETS)
  const body = [Buffer.alloc(1_100_000), Buffer.alloc(0), Buffer.alloc(1_500_000)]
  uploads.push(store.put('segments/9', body, { progress }))
  await store.put('writers/0.json', [])
  expect(told).toEqual(['queued'])
  for (const response of held.splice(0)) answer(response)
  await until(1)
  answer(held[0]!)
  await Promise.all(uploads)
  expect(told).toEqual(['queued', '0', '1048576', '2097152', '2600000'])
})
