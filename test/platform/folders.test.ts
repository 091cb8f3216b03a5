// Making folders, in one turn and to an end.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFolders } from '../../src/platform/index.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cairnfs-test-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('folders are made with all that is missing above them, and what is there stays as it is', () => {
  const path = join(folder, 'a/b/c')
  makeFolders(path, 0o700)
  expect(statSync(path).mode & 0o777).toBe(0o700)
  expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700)
  makeFolders(path, 0o750)
  expect(statSync(path).mode & 0o777).toBe(0o700)
})

test('below a file there are none, and where none can be made that is said', () => {
  writeFileSync(join(folder, 'file'), '')
  expect(() => makeFolders(join(folder, 'file/a'), 0o700)).toThrow('ENOTDIR')
  // Here Node's own would try for ever.
  expect(() => makeFolders('/proc/cairnfs/a', 0o700)).toThrow('ENOENT')
  expect(existsSync('/proc/cairnfs')).toBe(false)
})
