// What scripts/quickstart does with arguments: it takes none, and installs nothing for who only asks.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'

const SCRIPT = join(import.meta.dirname, '../../scripts/quickstart')
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cairnfs-test-'))
  // In the place of what would install.
  for (const name of ['npm', 'apt-get', 'modprobe']) {
    const path = join(folder, name)
    writeFileSync(path, '#!/bin/sh\necho installing\nexit 1\n')
    chmodSync(path, 0o755)
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

function quickstart(argument: string) {
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` }
  return spawnSync(SCRIPT, [argument], { env, encoding: 'utf8', timeout: 20_000 })
}

it('says what it does when it is asked for help', () => {
  const { status, stdout } = quickstart('--help')
  expect(status).toBe(0)
  expect(stdout).toMatch(/^From a fresh clone to a mounted volume/)
  expect(stdout).toContain('CAIRNFS_QUICKSTART_FLIP')
  expect(stdout).not.toMatch(/installing|Installing packages|Must stay true/)
})

it('refuses any other argument, naming it', () => {
  const { status, stdout, stderr } = quickstart('/mnt/vol')
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toBe('quickstart: it takes no arguments, and /mnt/vol is one: see --help\n')
})
