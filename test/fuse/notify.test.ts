// Notifications to the kernel go one at a time and in order, and their queue has a limit.
import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { Notifier } from '../../src/fuse/notify.ts'

const { ENOENT, EINVAL } = constants.errno

test('notifications go one at a time, in order, and at once', async () => {
  const written: string[] = []
  const waiting: ((result: number) => void)[] = []
  const notifier = new Notifier((message) => {
    written.push(Buffer.concat(message).toString())
    return new Promise((resolve) => waiting.push(resolve))
  })
  const sent = ['a', 'b', 'c'].map((text) => notifier.send(Buffer.from(text)))
  expect(written).toEqual(['a'])
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  await turn()
  expect(written).toEqual(['a'])
  waiting.shift()!(0)
  await sent[0]
  await turn()
  expect(written).toEqual(['a', 'b'])
  waiting.shift()!(-ENOENT)
  await sent[1]
  await turn()
  waiting.shift()!(-EINVAL)
  await expect(sent[2]).rejects.toMatchObject({ code: 'EIO' })
  const again = notifier.send(Buffer.from('d'))
  await turn()
  expect(written).toEqual(['a', 'b', 'c', 'd'])
  waiting.shift()!(0)
  await again
})

test('a notification of several parts is written at once, and says whether the kernel had anything to do', async () => {
  const results = [3, -ENOENT]
  const written: string[][] = []
  const notifier = new Notifier(async (message) => {
    written.push(message.map((part) => Buffer.from(part).toString()))
    return results.shift()!
  })
  const [head, body] = [Buffer.from('a'), Buffer.from('bc')]
  expect(await Promise.all([notifier.send(head, body), notifier.send(head)])).toEqual([true, false])
  expect(written).toEqual([['a', 'bc'], ['a']])
})

test('more than can wait is refused', async () => {
  const notifier = new Notifier(() => new Promise(() => {}))
  const message = Buffer.alloc(1)
  // One is on its way.
  for (let i = 0; i < 65_537; i++) void notifier.send(message)
  await expect(notifier.send(message)).rejects.toMatchObject({ code: 'ENOBUFS' })
})
