// What INIT claims on request, and not otherwise.
import { expect, test } from 'vitest'
import { ReplyBuffer, RequestBuffer } from '../../src/fuse/codec.ts'
import { grantedNames, negotiate } from '../../src/fuse/negotiation.ts'
import { init } from './requests.ts'

function granted(options: { acls: boolean; writeback: boolean }): string[] {
  const request = new RequestBuffer(4096)
  const bytes = init()
  request.bytes.set(bytes)
  request.length = bytes.length
  return grantedNames(negotiate(request, new ReplyBuffer(4096), options).negotiated!).split(' ')
}

test('ACLs and write-back are claimed where they are asked for', () => {
  const plain = granted({ acls: false, writeback: false })
  const added = (options: { acls: boolean; writeback: boolean }) =>
    granted(options).filter((name) => !plain.includes(name))
  expect(added({ acls: false, writeback: true })).toEqual(['WRITEBACK_CACHE'])
  expect(added({ acls: true, writeback: false }).sort()).toEqual(['DONT_MASK', 'POSIX_ACL', 'SETXATTR_EXT'])
  expect(added({ acls: true, writeback: true })).toHaveLength(4)
})
