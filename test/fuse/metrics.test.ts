// What the kernel asks for is counted: by opcode, lookups by what they find, bytes each way.
import { expect, test } from 'vitest'
import { RequestBuffer } from '../../src/fuse/codec.ts'
import { fuseRequestCount, fuseRequests } from '../../src/fuse/metrics.ts'
import { Session } from '../../src/fuse/session.ts'
import { Registry } from '../../src/observe/index.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'
import { init, name, parseEntry, parseReply, type Reply, request, u32, u64 } from './requests.ts'

const Op = { LOOKUP: 1, READ: 15, WRITE: 16, CREATE: 35 } as const
const nothing = () => {}
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing }

test('requests, what lookups find, and bytes', async () => {
  const registry = new Registry()
  const replies: Reply[] = []
  const send = (head: { bytes: Buffer }, headBytes: number, parts: readonly Uint8Array[] = []) => {
    replies.push(parseReply(Buffer.concat([head.bytes.subarray(0, headBytes), ...parts])))
    return 0
  }
  const port = { send, sendParts: send, notify: async () => 0 }
  const session = new Session(new MemoryFilesystem(() => ({ sec: 0, nsec: 0 })), port, {
    readOnly: false,
    log,
    registry,
  })
  const ask = async (bytes: Buffer): Promise<Buffer> => {
    const buffer = new RequestBuffer(8192)
    buffer.bytes.set(bytes)
    buffer.length = bytes.length
    await session.handle(buffer)
    return replies.at(-1)!.payload
  }
  await ask(init())
  const created = await ask(request(Op.CREATE, 1, u32(0o102, 0o644, 0, 0), name('counted')))
  const { nodeid: ino } = parseEntry(created)
  const fh = created.readBigUInt64LE(128)
  const data = Buffer.alloc(700)
  await ask(request(Op.WRITE, ino, u64(fh, 0), u32(data.length, 0), u64(0), u32(0, 0), data))
  for (const offset of [0, 500, 900]) await ask(request(Op.READ, ino, u64(fh, offset), u32(400, 0), u64(0), u32(0, 0)))
  for (const text of ['counted', 'counted', 'missing']) await ask(request(Op.LOOKUP, 1, name(text)))
  await ask(request(4000, 1))

  expect(fuseRequests(registry)).toEqual({ INIT: 1, CREATE: 1, WRITE: 1, READ: 3, LOOKUP: 3, OTHER: 1 })
  expect(fuseRequestCount(registry)()).toBe(10)
  const count = (what: string) => registry.counter(`fuse.${what}`).value
  expect([count('lookups_found'), count('lookups_missing')]).toEqual([2, 1])
  expect([count('read_bytes'), count('written_bytes')]).toEqual([400 + 200, 700])
})
