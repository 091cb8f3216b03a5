// Names of stores: what they mean, and what the refused ones say.
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openStore, parseStoreName, StoreError } from '../../src/store/index.ts'
import { expectKind } from './conformance.ts'
import { temporaryFolder } from './temporary-folder.ts'

test.each([
  ['file:///var/lib/cairn', { kind: 'file', path: '/var/lib/cairn' }],
  ['file:///a//b/', { kind: 'file', path: '/a/b' }],
  ['file:///', { kind: 'file', path: '/' }],
  ['file:///with blanks/and@sign', { kind: 'file', path: '/with blanks/and@sign' }],
  ['FILE:///a', { kind: 'file', path: '/a' }],
  ['s3://bucket', { kind: 's3', bucket: 'bucket', prefix: '' }],
  ['s3://bucket/', { kind: 's3', bucket: 'bucket', prefix: '' }],
  ['s3://my.bucket-1/a/b/', { kind: 's3', bucket: 'my.bucket-1', prefix: 'a/b' }],
  ['s3://bucket/a@b', { kind: 's3', bucket: 'bucket', prefix: 'a@b' }],
])('%s is understood', (name, expected) => {
  expect(parseStoreName(name)).toEqual(expected)
})

test.each([
  ['', 's3://BUCKET'],
  ['bucket', 's3://BUCKET'],
  ['/var/lib/cairn', 'file:///'],
  ['gs://bucket', 's3://BUCKET'],
  ['https://s3.amazonaws.com/bucket', '--endpoint'],
  ['file://relative', 'absolute'],
  ['file://', 'absolute'],
  ['file:///a/../b', '..'],
  ['s3://', 'name of a bucket'],
  ['s3://Bucket', 'name of a bucket'],
  ['s3://ab', 'name of a bucket'],
  ['s3:///prefix', 'name of a bucket'],
  ['s3://bucket/a//b', 'prefix'],
  ['s3://bucket/../b', 'prefix'],
  ['s3://bucket/.cairnfs', 'prefix'],
  ['s3://bucket/a?region=x', 'options'],
])('%j is refused with a remedy in one line', (name, remedy) => {
  const error = refusal(name)
  expect(error.message).toContain(remedy)
  expect(error.message).toContain(name)
  expect(error.message).not.toContain('\n')
})

test.each([
  's3://AKIAKEY:sEcReT@bucket/prefix',
  's3://sEcReT@bucket',
  'https://user:sEcReT@host/bucket',
  'file://u:sEcReT@/a',
])('credentials in a name are refused and not repeated (%#)', (name) => {
  const error = refusal(name)
  expect(error.message).toContain('credentials')
  expect(error.message).toContain('AWS_ACCESS_KEY_ID')
  expect(`${error.message}${error.stack}${JSON.stringify(error)}`).not.toMatch(/sEcReT|AKIAKEY/)
})

test('a folder opens by its name, and keeps the name to the letter', async () => {
  const folder = await temporaryFolder()
  const name = `file://${folder.path}/`
  const store = await openStore(name)
  expect(store.name).toBe(name)
  await store.put('a', [])
  const missing = `file://${join(folder.path, 'missing')}`
  await expectKind(openStore(missing), 'no-bucket')
  await (await openStore(missing, { createBucket: true })).put('a', [])
  await folder.remove()
})

test('a bucket opens without a request', async () => {
  const store = await openStore('s3://bucket/prefix', { endpoint: 'http://127.0.0.1:1', region: 'us-east-1' })
  expect(store.name).toBe('s3://bucket/prefix')
  await store.close()
})

function refusal(name: string): StoreError {
  try {
    parseStoreName(name)
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError)
    return error as StoreError
  }
  throw new Error(`${name} was understood`)
}
