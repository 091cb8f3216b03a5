// The contract of ObjectStore as tests: one exported suite, run over every store and every stack of decorators.
//
// Must stay true: it uses nothing but the interface; every promise of object-store.ts that a test can see has one here.
// Most of them, about 50, have been seen to fail with the promise broken.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compareKeys, type Etag, type ObjectStore, StoreError, type StoreErrorKind } from '../../src/store/index.ts'

export interface ConformanceSettings {
  /** A store with nothing in it. */
  open: () => Promise<ObjectStore>
  /** Called after the store was closed. */
  remove?: () => Promise<void>
  /** Whether it refuses bodies that have another crc32c than a put says; true unless told. */
  checksBodies?: boolean
}

const RACERS = 8
const MIB = 1024 ** 2

/** Defines the suite's tests for one kind of store. */
export function objectStoreConformance(name: string, settings: ConformanceSettings): void {
  describe(`${name} holds the ObjectStore contract:`, () => {
    let store: ObjectStore
    let folders = 0
    /** Keys of one test lie apart from those of all others. */
    const folder = () => `test-${++folders}`

    beforeAll(async () => {
      store = await settings.open()
    })
    afterAll(async () => {
      await store.close()
      await settings.remove?.()
    })

    defineReading(() => store, folder)
    defineWriting(() => store, folder)
    if (settings.checksBodies !== false) defineChecks(() => store, folder)
    defineConditions(() => store, folder)
    defineListing(() => store, folder)
    defineDeleting(() => store, folder)
    defineAborting(() => store, folder)
    defineKeys(() => store)
  })
}

type Given = () => ObjectStore
type Folder = () => string

function defineReading(given: Given, folder: Folder): void {
  test('get returns the bytes that were put', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const body = pattern(100_000)
    const etag = await store.put(key, [body])
    const found = await store.get(key)
    expect(found.body.equals(body)).toBe(true)
    expect(found.etag).toBe(etag)
  })

  test.each([
    { what: 'its middle', range: { offset: 3, lengthBytes: 4 }, expected: '3456' },
    { what: 'its beginning', range: { lengthBytes: 2 }, expected: '01' },
    { what: 'its end', range: { offset: 7 }, expected: '789' },
    { what: 'more than there is', range: { offset: 8, lengthBytes: 100 }, expected: '89' },
    { what: 'its last byte', range: { offset: 9, lengthBytes: 1 }, expected: '9' },
    { what: 'nothing', range: { offset: 4, lengthBytes: 0 }, expected: '' },
    { what: 'nothing at its beginning', range: { lengthBytes: 0 }, expected: '' },
    { what: 'what begins at its end', range: { offset: 10, lengthBytes: 5 }, expected: '' },
    { what: 'what begins at its end, to the end', range: { offset: 10 }, expected: '' },
    { what: 'what begins past its end', range: { offset: 1000, lengthBytes: 5 }, expected: '' },
    { what: 'the whole of it', range: { offset: 0, lengthBytes: 10 }, expected: '0123456789' },
  ])('get of a range of an object: $what', async ({ range, expected }) => {
    const [store, key] = [given(), `${folder()}/object`]
    const etag = await store.put(key, [Buffer.from('0123456789')])
    const found = await store.get(key, range)
    expect(found.body.toString()).toBe(expected)
    expect(found.etag).toBe(etag)
  })

  test('get of a range of an empty object is empty', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const etag = await store.put(key, [])
    expect(await store.get(key, { offset: 0, lengthBytes: 10 })).toEqual({ body: Buffer.alloc(0), etag })
    expect(await store.get(key, { offset: 5 })).toEqual({ body: Buffer.alloc(0), etag })
  })

  test('the body of a get belongs to the caller', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    await store.put(key, [Buffer.from('kept')])
    const [first, second] = await Promise.all([store.get(key), store.get(key)])
    first.body.fill(0)
    expect(second.body.toString()).toBe('kept')
    expect((await store.get(key)).body.toString()).toBe('kept')
    expect(second.body.buffer.byteLength, 'of exactly its size, from no pool').toBe(4)
  })

  test('get and head of a missing key are not-found', async () => {
    const [store, key] = [given(), `${folder()}/missing`]
    await expectKind(store.get(key), 'not-found')
    await expectKind(store.get(key, { offset: 1, lengthBytes: 2 }), 'not-found')
    await expectKind(store.get(key, { lengthBytes: 0 }), 'not-found')
    await expectKind(store.head(key), 'not-found')
  })

  test('a part of a key names no object', async () => {
    const store = given()
    const base = folder()
    await store.put(`${base}/a/b`, [])
    await expectKind(store.get(`${base}/a`), 'not-found')
    await expectKind(store.head(`${base}/a`), 'not-found')
    await expectKind(store.head(`${base}/a/b/c`), 'not-found')
  })

  test('head tells size and etag', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const etag = await store.put(key, [pattern(12_345)])
    expect(await store.head(key)).toEqual({ sizeBytes: 12_345, etag })
  })
}

function defineChecks(given: Given, folder: Folder): void {
  test('a body is put that has the crc32c which the caller says; one that has another never is', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const parts = [Buffer.from('1234'), Buffer.from('56789')]
    const [right, wrong] = [{ bodyCrc32c: 0xe3069283 }, { bodyCrc32c: 0xe3069284 }]
    const signal = AbortSignal.timeout(200)
    const refused = (error: unknown) => error === signal.reason || (error as StoreError).kind === 'retryable'
    await expect(store.putIfAbsent(key, parts, { ...wrong, signal })).rejects.toSatisfy(refused)
    const etag = await store.putIfAbsent(key, parts, right)
    expect((await store.get(key)).body.toString()).toBe('123456789')
    const replaced = await store.putIfMatch(key, [...parts].reverse(), etag)
    await store.put(key, parts, right)
    expect((await store.get(key)).etag).not.toBe(replaced)
  })
}

function defineWriting(given: Given, folder: Folder): void {
  test('an empty body is an object', async () => {
    const [store, base] = [given(), folder()]
    await store.put(`${base}/none`, [])
    await store.put(`${base}/empty`, [Buffer.alloc(0), Buffer.alloc(0)])
    await store.putIfAbsent(`${base}/absent`, [])
    for (const key of ['none', 'empty', 'absent']) {
      expect((await store.get(`${base}/${key}`)).body.length).toBe(0)
      expect((await store.head(`${base}/${key}`)).sizeBytes).toBe(0)
    }
  })

  test('a body of 8 MiB comes back whole, and any range of it', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const body = pattern(8 * MIB)
    await store.put(key, [body])
    expect((await store.get(key)).body.equals(body)).toBe(true)
    const range = { offset: 5 * MIB + 17, lengthBytes: MIB }
    expect((await store.get(key, range)).body.equals(body.subarray(range.offset, range.offset + MIB))).toBe(true)
  })

  test('parts of a body are stored in order, also many, empty and unaligned ones', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const body = pattern(3 * MIB)
    const parts: Uint8Array[] = []
    for (let at = 0, length = 0; at < body.length; at += length) {
      length = Math.min(1 + ((at * 7) % 2500), body.length - at)
      parts.push(new Uint8Array(body.buffer, body.byteOffset + at, length), Buffer.alloc(0))
    }
    expect(parts.length).toBeGreaterThan(2048)
    await store.put(key, parts)
    expect((await store.get(key)).body.equals(body)).toBe(true)
  })

  test('every kind of put is seen by the reads and lists after it', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const first = await store.putIfAbsent(key, [Buffer.from('1')])
    expect((await store.get(key)).body.toString()).toBe('1')
    const second = await store.putIfMatch(key, [Buffer.from('22')], first)
    expect((await store.get(key)).body.toString()).toBe('22')
    const third = await store.put(key, [Buffer.from('333')])
    expect(await store.head(key)).toEqual({ sizeBytes: 3, etag: third })
    expect(await store.list(key)).toEqual({ objects: [{ key, sizeBytes: 3, etag: third }] })
    expect(new Set([first, second, third]).size).toBe(3)
  })

  test('the etag changes with the content, also when the size does not and puts follow at once', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const etags = new Set<Etag>()
    for (let i = 0; i < 50; i++) etags.add(await store.put(key, [Buffer.from(`content ${1000 + i}`)]))
    expect(etags.size).toBe(50)
  })

  test('readers during puts see one of the bodies, whole', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const bodies = [1, 2, 3].map((value) => Buffer.alloc(300_000, value))
    await store.put(key, [bodies[0]!])
    let done = false
    const write = async () => {
      for (let i = 0; i < 12; i++) await store.put(key, [bodies[i % 3]!])
      done = true
    }
    const read = async () => {
      while (!done) {
        const { body } = await store.get(key)
        expect(bodies.some((whole) => whole.equals(body))).toBe(true)
      }
    }
    await Promise.all([write(), read(), read()])
  })
}

function defineConditions(given: Given, folder: Folder): void {
  test('putIfAbsent of an existing key fails and changes nothing, whatever the size of the body', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const etag = await store.putIfAbsent(key, [Buffer.from('first')])
    await expectKind(store.putIfAbsent(key, [Buffer.from('second')]), 'precondition-failed')
    await expectKind(store.putIfAbsent(key, [pattern(8 * MIB)]), 'precondition-failed')
    expect(await store.get(key)).toEqual({ body: Buffer.from('first'), etag })
  })

  test('putIfAbsent succeeds again after a delete', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    await store.putIfAbsent(key, [Buffer.from('first')])
    await store.delete([key])
    await store.putIfAbsent(key, [Buffer.from('second')])
    expect((await store.get(key)).body.toString()).toBe('second')
  })

  test('putIfMatch with a former etag fails and changes nothing', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const first = await store.put(key, [Buffer.from('first')])
    const second = await store.putIfMatch(key, [Buffer.from('second')], first)
    await expectKind(store.putIfMatch(key, [Buffer.from('third')], first), 'precondition-failed')
    expect(await store.get(key)).toEqual({ body: Buffer.from('second'), etag: second })
  })

  test('putIfMatch takes the etag that any read gave', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    await store.put(key, [Buffer.from('a')])
    await store.putIfMatch(key, [Buffer.from('b')], (await store.get(key)).etag)
    await store.putIfMatch(key, [Buffer.from('c')], (await store.get(key, { offset: 0, lengthBytes: 1 })).etag)
    await store.putIfMatch(key, [Buffer.from('d')], (await store.head(key)).etag)
    await store.putIfMatch(key, [Buffer.from('e')], (await store.list(key)).objects[0]!.etag)
    expect((await store.get(key)).body.toString()).toBe('e')
  })

  test('putIfMatch of a missing key fails and creates nothing', async () => {
    const [store, base] = [given(), folder()]
    const etag = await store.put(`${base}/other`, [Buffer.from('other')])
    await expectKind(store.putIfMatch(`${base}/missing`, [], etag), 'precondition-failed', 'not-found')
    await expectKind(store.head(`${base}/missing`), 'not-found')
    await store.delete([`${base}/other`])
    await expectKind(store.putIfMatch(`${base}/other`, [], etag), 'precondition-failed', 'not-found')
    await expectKind(store.head(`${base}/other`), 'not-found')
  })

  test('of eight concurrent putIfAbsent exactly one wins', async () => {
    const [store, base] = [given(), folder()]
    for (let round = 0; round < 10; round++) {
      const key = `${base}/${round}/raced`
      await expectOneWinner(store, key, (body) => store.putIfAbsent(key, body))
    }
  })

  test('of eight concurrent putIfMatch exactly one wins', async () => {
    const [store, key] = [given(), `${folder()}/raced`]
    let etag = await store.put(key, [Buffer.from('start')])
    for (let round = 0; round < 10; round++) {
      const current = etag
      etag = await expectOneWinner(store, key, (body) => store.putIfMatch(key, body, current))
    }
  })

  test('counting up with putIfMatch loses no count', async () => {
    const [store, key] = [given(), `${folder()}/counter`]
    await store.put(key, [Buffer.from('0')])
    const countTo = async (times: number) => {
      for (let done = 0; done < times; ) {
        const { body, etag } = await store.get(key)
        try {
          await store.putIfMatch(key, [Buffer.from(String(Number(body) + 1))], etag)
          done++
        } catch (error) {
          if (!(error instanceof StoreError) || error.kind === 'fatal') throw error
        }
      }
    }
    await Promise.all(Array.from({ length: 4 }, () => countTo(5)))
    expect((await store.get(key)).body.toString()).toBe('20')
  })
}

function defineListing(given: Given, folder: Folder): void {
  test('list is in the order of UTF-8 bytes, whatever the folders', async () => {
    const [store, base] = [given(), folder()]
    // In UTF-16 the emoji (D83D...) come before U+FF21; '-', '.' and ' ' before '/'; '0' after it.
    const names = [
      'a',
      'a-b',
      'a.b',
      'a0',
      'b/c',
      'b-c',
      'b0c',
      'b/d/e',
      'b/d-e',
      'b c',
      'A',
      'é',
      'z',
      'Ａ',
      '\u{1F600}',
      'ÿ/x',
    ]
    const keys = names.map((name) => `${base}/${name}`)
    await Promise.all(keys.map((key) => store.put(key, [])))
    const expected = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
    expect([...keys].sort(compareKeys)).toEqual(expected)
    expect((await store.list(`${base}/`)).objects.map(({ key }) => key)).toEqual(expected)
    for (const limit of [1, 2, 3, 7]) expect(await listAll(store, `${base}/`, limit)).toEqual(expected)
    for (const [i, startAfter] of expected.entries())
      expect((await store.list(`${base}/`, { startAfter })).objects.map(({ key }) => key)).toEqual(
        expected.slice(i + 1),
      )
  })

  test('list takes any prefix, also the middle of a component, and any place to start', async () => {
    const [store, base] = [given(), folder()]
    const keys = ['j/0/1', 'j/0/12', 'j/0/2', 'j/1/1', 'jx'].map((name) => `${base}/${name}`)
    await Promise.all(keys.map((key) => store.put(key, [])))
    const list = async (prefix: string, startAfter?: string) =>
      (await store.list(prefix, startAfter === undefined ? {} : { startAfter })).objects.map(({ key }) => key)
    expect(await list(`${base}/j`)).toEqual(keys)
    expect(await list(`${base}/j/0/1`)).toEqual(keys.slice(0, 2))
    expect(await list(`${base}/j/0/`)).toEqual(keys.slice(0, 3))
    expect(await list(`${base}/j/0`)).toEqual(keys.slice(0, 3))
    expect(await list(`${base}/j/0/`, `${base}/j/0/11`)).toEqual(keys.slice(1, 3))
    expect(await list(`${base}/j/`, `${base}/j/0`)).toEqual(keys.slice(0, 4))
    expect(await list(`${base}/j/`, `${base}/j/0/`)).toEqual(keys.slice(0, 4))
    expect(await list(`${base}/j/`, `${base}/i`)).toEqual(keys.slice(0, 4))
    expect(await list(`${base}/j/0/`, `${base}/k`)).toEqual([])
    expect(await list(`${base}/nothing`)).toEqual([])
    expect(await list(`${base}/j/0/1/deeper`)).toEqual([])
  })

  test('list tells sizes and etags', async () => {
    const [store, base] = [given(), folder()]
    const etag = await store.put(`${base}/a`, [pattern(777)])
    expect(await store.list(base)).toEqual({ objects: [{ key: `${base}/a`, sizeBytes: 777, etag }] })
  })

  test('list of everything holds nothing but keys', async () => {
    const [store, base] = [given(), folder()]
    await store.put(`${base}/a`, [])
    expect(await listAll(store, base, 1000)).toEqual([`${base}/a`])
    expect((await listAll(store, '', 1000)).filter((key) => !key.startsWith('test-'))).toEqual([])
  })

  test('list keeps keys that XML, URLs and shells would spoil', async () => {
    const [store, base] = [given(), folder()]
    const keys = ['a b+c', 'a%20b', '100%', 'x&y<z>"\'', '#?=;', 'tab\tnew\nline', 'back\\slash', '~!*()'].map(
      (name) => `${base}/${name}`,
    )
    for (const key of keys) await store.put(key, [Buffer.from(key)])
    expect(new Set(await listAll(store, base, 3))).toEqual(new Set(keys))
    for (const key of keys) expect((await store.get(key)).body.toString()).toBe(key)
    await store.delete(keys)
    expect(await listAll(store, base, 1000)).toEqual([])
  })
}

function defineDeleting(given: Given, folder: Folder): void {
  test('delete takes 2,500 keys, existing or not, and list pages through as many', async () => {
    const [store, base] = [given(), folder()]
    const keys = Array.from({ length: 2500 }, (_, i) => `${base}/${String(i).padStart(5, '0')}`)
    for (let at = 0; at < keys.length; at += 50)
      await Promise.all(keys.slice(at, at + 50).map((key) => store.put(key, [])))
    const first = await store.list(`${base}/`)
    expect(first.objects.length).toBe(1000)
    expect(first.next).toBe(keys[999])
    expect(await listAll(store, `${base}/`, 1000)).toEqual(keys)
    await store.put(`${base}-kept`, [])
    await store.delete([...keys, `${base}/never-there`])
    expect(await store.list(`${base}/`)).toEqual({ objects: [] })
    expect((await store.head(`${base}-kept`)).sizeBytes).toBe(0)
  }, 240_000)

  test('delete of nothing, and of what is not there, is no error', async () => {
    const [store, base] = [given(), folder()]
    await store.delete([])
    await store.delete([`${base}/missing`, `${base}/missing/deeper`])
    await store.put(`${base}/object`, [])
    await store.delete([`${base}/object/deeper`])
    await store.delete([base])
    expect((await store.head(`${base}/object`)).sizeBytes).toBe(0)
  })
}

function defineAborting(given: Given, folder: Folder): void {
  test('an aborted call rejects with the reason it was given', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const etag = await store.put(key, [Buffer.from('kept')])
    const reason = new Error('not wanted any more')
    const signal = AbortSignal.abort(reason)
    for (const call of [
      () => store.get(key, { signal }),
      () => store.get(key, { lengthBytes: 0, signal }),
      () => store.put(key, [Buffer.from('x')], { signal }),
      () => store.putIfAbsent(`${key}2`, [Buffer.from('x')], { signal }),
      () => store.putIfMatch(key, [Buffer.from('x')], etag, { signal }),
      () => store.delete([key], { signal }),
      () => store.list('', { signal }),
      () => store.head(key, { signal }),
    ])
      expect(await call().catch((error) => error)).toBe(reason)
    expect(await store.get(key)).toEqual({ body: Buffer.from('kept'), etag })
    await expectKind(store.head(`${key}2`), 'not-found')
  })

  test('a call that is aborted under way settles at once, and the store works on', async () => {
    const [store, key] = [given(), `${folder()}/object`]
    const body = pattern(8 * MIB)
    await store.put(key, [body])
    const reason = new Error('enough')
    for (let i = 0; i < 5; i++) {
      const abort = new AbortController()
      const calls = [store.get(key, { signal: abort.signal }), store.put(`${key}2`, [body], { signal: abort.signal })]
      setImmediate(() => abort.abort(reason))
      for (const settled of await Promise.allSettled(calls))
        if (settled.status === 'rejected') expect(settled.reason).toBe(reason)
    }
    expect((await store.get(key)).body.equals(body)).toBe(true)
  })
}

function defineKeys(given: Given): void {
  test.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/..',
    '../a',
    'a/./b',
    'a/../b',
    'a\0b',
    '\uD800',
    '.cairnfs',
    '.cairnfs/lock',
  ])('the key %j is refused', async (key) => {
    const store = given()
    await expectKind(store.put(key, []), 'fatal')
    await expectKind(store.putIfAbsent(key, []), 'fatal')
    await expectKind(store.get(key), 'fatal')
    await expectKind(store.head(key), 'fatal')
    await expectKind(store.delete(['fine', key]), 'fatal')
  })

  test('a key of 1,025 bytes is refused', async () => {
    await expectKind(given().put(`${'é'.repeat(250)}/`.repeat(2) + 'x'.repeat(23), []), 'fatal')
  })

  test('dots inside components are no obstacle', async () => {
    const store = given()
    for (const key of ['test-dots/...', 'test-dots/.a', 'test-dots/a.', 'test-dots/..a/b', 'test-dots/.cairnfs']) {
      await store.put(key, [Buffer.from(key)])
      expect((await store.get(key)).body.toString()).toBe(key)
    }
  })
}

/** Bytes in which no two places look alike, so that what is out of order shows. */
export function pattern(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 0x9e3779b1)
  return Buffer.from(words.buffer, 0, length)
}

/** Expects a StoreError of one of these kinds. */
export async function expectKind(promise: Promise<unknown>, ...kinds: StoreErrorKind[]): Promise<StoreError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error, `expected ${kinds}`).toBeInstanceOf(StoreError)
  expect(kinds).toContain(error.kind)
  expect(error.message, 'a message is one line').not.toContain('\n')
  return error
}

/** All keys of a prefix, page by page. */
export async function listAll(store: ObjectStore, prefix: string, limit: number): Promise<string[]> {
  const keys: string[] = []
  let startAfter: string | undefined
  do {
    const page = await store.list(prefix, startAfter === undefined ? { limit } : { limit, startAfter })
    expect(page.objects.length).toBeLessThanOrEqual(limit)
    keys.push(...page.objects.map(({ key }) => key))
    if (page.next !== undefined) expect(page.next, 'a listing moves on').not.toBe(startAfter)
    startAfter = page.next
  } while (startAfter !== undefined)
  return keys
}

let races = 0

async function expectOneWinner(
  store: ObjectStore,
  key: string,
  put: (body: Uint8Array[]) => Promise<Etag>,
): Promise<Etag> {
  // No body is ever put twice: where etags are made from content, that would leave the etag as it was.
  const race = ++races
  const bodies = Array.from({ length: RACERS }, (_, i) => Buffer.from(`race ${race}, racer ${i}`))
  const results = await Promise.allSettled(bodies.map((body) => put([body])))
  const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
  for (const result of results)
    if (result.status === 'rejected')
      await expectKind(Promise.reject(result.reason), 'precondition-failed', 'retryable')
  expect(winners.length, 'exactly one winner').toBe(1)
  const found = await store.get(key)
  expect(found.body.toString()).toBe(bodies[winners[0]!]!.toString())
  return found.etag
}
