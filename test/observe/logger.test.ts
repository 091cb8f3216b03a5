// The log: one event, one line, readable by people and by grep.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createLogger, type LogLevel } from '../../src/observe/index.ts'
import { temporaryFolder } from '../store/temporary-folder.ts'

async function capture(level: LogLevel = 'info') {
  const lines: string[] = []
  return { lines, log: await createLogger({ level, write: (line) => lines.push(line) }) }
}

test('a line holds time, level, layer, message and fields', async () => {
  const { lines, log } = await capture()
  log.child('store').warn('gave up', { key: 'root', tries: 3 })
  log.info('mounted')
  expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}store: gave up \{"key":"root","tries":3\}\n$/)
  expect(lines[1]).toMatch(/Z INFO {2}mounted\n$/)
})

test('an event is one line, whatever it says', async () => {
  const { lines, log } = await capture()
  log.error('two\nlines', { error: new Error('in\ntwo') })
  expect(lines.length).toBe(1)
  expect(lines[0]!.trimEnd()).not.toContain('\n')
})

test('errors tell their causes, and their stacks at debug level', async () => {
  const error = new TypeError('outer', { cause: new Error('inner') })
  const info = await capture()
  info.log.error('failed', { error })
  expect(info.lines[0]).toContain('"error":"TypeError: outer; Error: inner"')
  const debug = await capture('debug')
  debug.log.error('failed', { error })
  expect(debug.lines[0]).toContain('logger.test.ts')
})

test('what is below the level is not written', async () => {
  const { lines, log } = await capture('warn')
  log.debug('a')
  log.info('b')
  log.warn('c')
  log.child('x').error('d')
  expect(lines.length).toBe(2)
  const silent = await capture('silent')
  silent.log.error('e')
  expect(silent.lines).toEqual([])
})

test('a file is appended to, line by line', async () => {
  const folder = await temporaryFolder()
  const file = join(folder.path, 'log')
  for (const message of ['first', 'second']) {
    const log = await createLogger({ file })
    log.info(message)
    expect(await readFile(file, 'utf8')).toContain(message)
  }
  expect((await readFile(file, 'utf8')).trimEnd().split('\n').length).toBe(2)
  await expect(createLogger({ file: join(folder.path, 'missing/log') })).rejects.toThrow()
  await folder.remove()
})
