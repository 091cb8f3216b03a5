// The session where ACLs are on: what it asks the kernel for, and what it then passes on; and what the kernel hears of a change of
// extended attributes.
import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { type ReplyBuffer, RequestBuffer } from '../../src/fuse/codec.ts'
import { type ReplyPort, Session } from '../../src/fuse/session.ts'
import { Registry } from '../../src/observe/index.ts'
import { errnoError } from '../../src/platform/index.ts'
import type { Caller, Ino, SetXattr } from '../../src/vfs/index.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'
import { init, name, parseReply, type Reply, request, u32, u64 } from './requests.ts'

const Op = { MKDIR: 9, SETXATTR: 21, GETXATTR: 22, REMOVEXATTR: 24, FALLOCATE: 43 } as const
const ACL = 'system.posix_acl_access'
/** DONT_MASK, POSIX_ACL, SETXATTR_EXT. */
const ACL_BITS = [6, 20, 29]

class LastReply implements ReplyPort {
  reply: Reply | null = null
  readonly events: string[] = []

  send(reply: ReplyBuffer, lengthBytes: number): number {
    this.reply = parseReply(Buffer.from(reply.bytes.subarray(0, lengthBytes)))
    this.events.push('answered')
    return 0
  }
  sendParts(): number {
    throw new Error('nothing here is that long')
  }
  async notify(message: readonly Uint8Array[]): Promise<number> {
    this.events.push(`notified of ${Buffer.concat(message).readBigUInt64LE(16)}`)
    return 0
  }
}

function session(
  filesystem: MemoryFilesystem,
  acls: boolean,
  port = new LastReply(),
): (bytes: Buffer) => Promise<Reply> {
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const served = new Session(filesystem, port, { readOnly: false, acls, log, registry: new Registry() })
  return async (bytes) => {
    const buffer = new RequestBuffer(1 << 16)
    buffer.bytes.set(bytes)
    buffer.length = bytes.length
    await served.handle(buffer)
    return port.reply!
  }
}

const memory = () => new MemoryFilesystem(() => ({ sec: 1, nsec: 2 }))
const grantedBits = ({ payload }: Reply) => ACL_BITS.map((bit) => (payload.readUInt32LE(12) >>> bit) & 1)

test('without ACLs nothing of them is asked for, and they are not supported', async () => {
  const ask = session(memory(), false)
  expect(grantedBits(await ask(init()))).toEqual([0, 0, 0])
  for (const what of [request(Op.GETXATTR, 1, u32(0, 0), name(ACL)), request(Op.REMOVEXATTR, 1, name(ACL))])
    expect((await ask(what)).error).toBe(-constants.errno.EOPNOTSUPP)
})

test('with ACLs the umask is passed on, and whether the set-group-ID bit goes', async () => {
  const set: SetXattr[] = []
  const umasks: (number | undefined)[] = []
  const filesystem = Object.assign(memory(), {
    setxattr: (_caller: Caller, _ino: Ino, change: SetXattr) => void set.push({ ...change }),
    mkdir: (_caller: Caller, _parent: Ino, _name: Uint8Array, _mode: number, umask?: number) => {
      umasks.push(umask)
      throw errnoError('EEXIST')
    },
  })
  const ask = session(filesystem, true)
  expect(grantedBits(await ask(init()))).toEqual([1, 1, 1])
  expect((await ask(request(Op.GETXATTR, 1, u32(0, 0), name(ACL)))).error).toBe(-constants.errno.ENODATA)
  for (const flag of [0, 1])
    expect((await ask(request(Op.SETXATTR, 1, u32(1, 2, flag, 0), name(ACL), Buffer.from('x')))).error).toBe(0)
  expect(set.map(({ flags, dropsSetgid }) => [flags, dropsSetgid])).toEqual([
    [2, false],
    [2, true],
  ])
  await ask(request(Op.MKDIR, 1, u32(0o777, 0o027), name('d')))
  expect(umasks).toEqual([0o027])
})

test('the kernel forgets the times that it knew before who changed an attribute, or made a hole, is answered', async () => {
  const port = new LastReply()
  const change = () => void port.events.push('changed')
  const ask = session(Object.assign(memory(), { setxattr: change, removexattr: change, fallocate: change }), true, port)
  await ask(init())
  for (const what of [
    request(Op.SETXATTR, 1, u32(1, 0, 0, 0), name('user.a'), Buffer.from('x')),
    request(Op.REMOVEXATTR, 1, name('user.a')),
    request(Op.FALLOCATE, 1, u64(0, 0, 5), u32(3, 0)),
  ]) {
    port.events.length = 0
    expect((await ask(what)).error).toBe(0)
    expect(port.events).toEqual(['changed', 'notified of 1', 'answered'])
  }
})

test('of a kernel that does not offer them nothing is taken', async () => {
  const ask = session(memory(), true)
  const offered = 0x7fffffff & ~ACL_BITS.reduce((word, bit) => word | (1 << bit), 0)
  expect(grantedBits(await ask(init(offered)))).toEqual([0, 0, 0])
  expect((await ask(request(Op.GETXATTR, 1, u32(0, 0), name(ACL)))).error).toBe(-constants.errno.EOPNOTSUPP)
})
