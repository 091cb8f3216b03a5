// /proc/self/mountinfo is read as the kernel escapes it, and a mountpoint is found however its path is written.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { escapeOption } from '../../src/fuse/mount.ts'
import { findMount, parseMountinfo, resolveMountpoint } from '../../src/fuse/mountinfo.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cairnfs-test-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a line of the manual page', () => {
  const line = '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue'
  expect(parseMountinfo(`${line}\nnonsense\n`)).toEqual([
    {
      mountId: 36,
      parentId: 35,
      majorMinor: '98:0',
      root: '/mnt1',
      mountpoint: '/mnt2',
      options: 'rw,noatime',
      type: 'ext3',
      source: '/dev/root',
      superOptions: 'rw,errors=continue',
    },
  ])
})

test('an empty source, and one that looks like a separator', () => {
  expect(parseMountinfo('1 2 0:3 / /a rw - fuse.x  rw')[0]).toMatchObject({ source: '', superOptions: 'rw' })
  expect(parseMountinfo('1 2 0:3 / /a rw - fuse.x \\040-\\040 rw')[0]).toMatchObject({ source: ' - ' })
})

test('what the kernel escapes comes back, whatever it is', () => {
  // seq_escape of show_mountinfo: space, tab, newline, backslash and #, as three octal digits.
  const escaped = (text: string) =>
    text.replace(/[ \t\n\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
  const text = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\\', '#', '0', '4', '1', 'a', 'ü', '木', '-', ',') })
  fc.assert(
    fc.property(text, text, (mountpoint, source) => {
      const line = `1 2 0:3 / /${escaped(mountpoint)} rw - fuse.cairnfs ${escaped(source)} rw`
      expect(parseMountinfo(line)[0]).toMatchObject({ mountpoint: `/${mountpoint}`, source })
    }),
  )
})

test('the root is a mount, a folder is none, a missing one neither', () => {
  expect(findMount('/')).toMatchObject({ mountpoint: '/' })
  expect(findMount('/proc')).toMatchObject({ type: 'proc' })
  expect(findMount(folder)).toBeUndefined()
  expect(findMount(join(folder, 'missing'))).toBeUndefined()
  expect(() => findMount(join(folder, 'missing/deeper'))).toThrow(/ENOENT/)
})

test('a mountpoint is found through symbolic links, relative and absolute, and .. after them', () => {
  mkdirSync(join(folder, 'a/b'), { recursive: true })
  symlinkSync('a/b', join(folder, 'relative'))
  symlinkSync('/proc', join(folder, 'absolute'))
  symlinkSync('loop', join(folder, 'loop'))
  expect(resolveMountpoint(join(folder, 'relative'))).toBe(join(folder, 'a/b'))
  expect(resolveMountpoint(join(folder, 'relative/missing'))).toBe(join(folder, 'a/b/missing'))
  expect(findMount(join(folder, 'absolute'))).toMatchObject({ mountpoint: '/proc' })
  expect(resolveMountpoint(join(folder, 'loop'))).toBe(join(folder, 'loop'))
})

test('commas and backslashes are escaped for fusermount3', () => {
  expect(escapeOption('a,b\\c=d e')).toBe('a\\,b\\\\c=d e')
})
