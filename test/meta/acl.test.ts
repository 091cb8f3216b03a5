// POSIX ACLs: what is one, and what modes and directories do to it, against rules written the long way.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Acl, aclAfterChmod, decodeAcl, encodeAcl, inheritedAcl, modeOfAcl } from '../../src/meta/index.ts'
import { errnoOf } from '../vfs/world.ts'

const NONE = 0xffffffff
const TAGS = { u: 1, U: 2, g: 4, G: 8, m: 16, o: 32 } as const
/** `u6 U7:1000 g4 m7 o0`: a letter for the tag, permissions, an id. */
const acl = (text: string): Acl =>
  text.split(' ').map((entry) => {
    const [, tag, permissions, id] = /^(\w)(\d)(?::(\d+))?$/.exec(entry)!
    return { tag: TAGS[tag as keyof typeof TAGS], permissions: Number(permissions), id: id ? Number(id) : NONE }
  })

test('an ACL comes back as it was; the bytes are the kernel’s', async () => {
  const full = acl('u7 U5:1000 U0:1001 g4 G6:5 m7 o0')
  expect(decodeAcl(encodeAcl(full))).toEqual(full)
  expect(encodeAcl(acl('u6 o4')).toString('hex')).toBe('0200000001000600ffffffff20000400ffffffff')
  expect(decodeAcl(Buffer.alloc(0))).toBeNull()
  expect(decodeAcl(encodeAcl([]))).toBeNull()
})

test('what is no ACL is refused', async () => {
  const bad = ['u6 g4', 'u6 o4', 'g4 o4', 'g4 u6 o4', 'u6 u6 g4 o4', 'u6 U7:1 g4 o4', 'u6 g4 G4:1 o4']
  for (const text of [...bad, 'u6 g4 m4 m4 o4', 'u9 g4 o4', 'u6 g4 o4 m4'])
    expect(await errnoOf(async () => decodeAcl(encodeAcl(acl(text)))), text).toBe('EINVAL')
  const good = encodeAcl(acl('u6 g4 o4'))
  expect(await errnoOf(async () => decodeAcl(good.subarray(0, -1)))).toBe('EINVAL')
  expect(await errnoOf(async () => decodeAcl(good.subarray(0, 3)))).toBe('EINVAL')
  expect(await errnoOf(async () => decodeAcl(Buffer.concat([Buffer.from([3]), good.subarray(1)])))).toBe('EOPNOTSUPP')
})

test('the mode says of an ACL what it can', () => {
  const cases: [string, number, boolean][] = [
    ['u6 g4 o0', 0o640, false],
    ['u7 g5 m1 o4', 0o714, true],
    ['u7 U6:1 g0 m7 o0', 0o770, true],
  ]
  for (const [text, permissions, saysMore] of cases)
    expect(modeOfAcl(acl(text)), text).toEqual({ permissions, saysMore })
})

test('chmod changes the mask where there is one, else the group', () => {
  expect(aclAfterChmod(acl('u6 g4 o0'), 0o100_751)).toEqual(acl('u7 g5 o1'))
  expect(aclAfterChmod(acl('u6 U7:1 g4 m7 o0'), 0o751)).toEqual(acl('u7 U7:1 g4 m5 o1'))
})

test('a new file gets of a default ACL no more than its mode asks for', () => {
  const inherited = inheritedAcl(acl('u7 U7:1 g5 m7 o5'), 0o104_640)
  expect(inherited).toEqual({ acl: acl('u6 U7:1 g5 m4 o0'), mode: 0o104_640, saysMore: true })
  expect(inheritedAcl(acl('u7 g5 o0'), 0o666)).toEqual({ acl: acl('u6 g4 o0'), mode: 0o640, saysMore: false })
})

test('after chmod, and of what is inherited, mode and ACL say the same', () => {
  const permissions = fc.nat(7)
  const entry = (tag: number, id: fc.Arbitrary<number>) => fc.record({ tag: fc.constant(tag), permissions, id })
  const none = fc.constant(NONE)
  const any = fc
    .tuple(
      entry(TAGS.u, none),
      fc.array(entry(TAGS.U, fc.nat()), { maxLength: 3 }),
      entry(TAGS.g, none),
      fc.array(entry(TAGS.G, fc.nat()), { maxLength: 3 }),
      entry(TAGS.m, none),
      entry(TAGS.o, none),
      fc.boolean(),
    )
    .map(([u, users, g, groups, m, o, hasMask]): Acl => {
      const mask = hasMask || users.length + groups.length > 0 ? [m] : []
      return [u, ...users, g, ...groups, ...mask, o]
    })
  fc.assert(
    fc.property(any, fc.nat(0o7777), (one, mode) => {
      expect(decodeAcl(encodeAcl(one))).toEqual(one)
      expect(modeOfAcl(aclAfterChmod(one, mode)).permissions).toBe(mode & 0o777)
      const inherited = inheritedAcl(one, mode)
      expect(inherited.mode & ~0o777).toBe(mode & ~0o777)
      expect(inherited.mode & 0o777).toBe(mode & modeOfAcl(one).permissions)
      expect(modeOfAcl(inherited.acl).permissions).toBe(inherited.mode & 0o777)
    }),
  )
})
