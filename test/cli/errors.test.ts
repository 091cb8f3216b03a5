// What a user reads when something fails: one line, and nothing of what was begun stays.
import { expect, it } from 'vitest'
import { CommandError, describeError, UsageError } from '../../src/cli/errors.ts'
import { UndoList } from '../../src/cli/undo-list.ts'
import { FsError } from '../../src/platform/index.ts'
import { StoreError } from '../../src/store/index.ts'

it('every error is one line, without a stack and without control characters', () => {
  const system = Object.assign(new Error('boom'), { code: 'EACCES', path: '/x', syscall: 'open' })
  const errors = [
    new UsageError('wrong'),
    new CommandError('no'),
    new FsError('EIO', 'bad\nthing'),
    new StoreError('denied', 'a\tb'),
    system,
    new TypeError('undefined is\nnot'),
    'a string',
    undefined,
  ]
  for (const error of errors) {
    const line = describeError(error)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(line).toMatch(/^[^\u0000-\u001f]+$/)
    expect(line).not.toContain(' at ')
  }
  expect(describeError(system)).toBe('/x: cannot open (EACCES): check its owner and permissions, or run as root')
  expect(describeError(new TypeError('x'))).toContain('please report')
})

it('what was done is undone in reverse order, each step once, whatever fails', async () => {
  const done: number[] = []
  const undo = new UndoList()
  undo.add(() => void done.push(1))
  undo.add(() => {
    throw new Error('two')
  })
  undo.add(async () => void done.push(3))
  await expect(undo.all()).rejects.toThrow('two')
  await undo.all()
  expect(done).toEqual([3, 1])
})
