// SQLite on a volume: transactions that are checked row by row, through a cold remount and through a crash.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { until } from '../harness.ts'
import type { TestVolume } from '../volume-fixture.ts'
import { PROGRAMS } from './manifest.ts'

export type JournalMode = 'WAL' | 'DELETE'

const TRANSACTIONS = join(PROGRAMS, 'transactions.py')

async function check(volume: TestVolume, timeoutMs: number): Promise<number> {
  return Number(await volume.shell(`python3 ${TRANSACTIONS} check db`, { timeoutMs }))
}

/** `count` transactions at synchronous=FULL, with another process reading meanwhile; they are all there then, and after a
 *  cold remount. */
export async function transactionsComeBack(
  volume: TestVolume,
  { mode, count, timeoutMs }: { mode: JournalMode; count: number; timeoutMs: number },
): Promise<void> {
  const write = `python3 ${TRANSACTIONS} write db ${mode} ${count}`
  const read = `while kill -0 $writer 2>&-; do [ ! -s db ] || python3 ${TRANSACTIONS} check db || exit; sleep 0.5; done`
  await volume.shell(`${write} & writer=$!; (${read}) > /dev/null & reader=$!; wait $writer; wait $reader`, {
    timeoutMs,
  })
  expect(await check(volume, timeoutMs)).toBe(count)
  await volume.remountCold()
  expect(await check(volume, timeoutMs)).toBe(count)
}

/** The daemon is killed among transactions: what had been committed is there on the next mount. In rollback mode SQLite
 *  itself promises at FULL only what was committed before the last one: removing its journal, which commits, is made
 *  durable by the next transaction. */
export async function transactionsSurviveACrash(
  volume: TestVolume,
  { mode, after, logFolder }: { mode: JournalMode; after: number; logFolder: string },
): Promise<void> {
  const log = join(logFolder, `committed-${mode}`)
  const committed = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0)
  const writing = volume.run(`python3 ${TRANSACTIONS} write db ${mode} 1000000 ${log}`, { timeoutMs: 120_000 })
  let hasEnded = false
  const ended = writing.then((result) => {
    hasEnded = true
    return result
  })
  await until(() => committed() >= after || hasEnded, `${after} transactions`, 100_000)
  await volume.crash()
  const result = await ended
  expect(result.timedOut, result.stderr).toBe(false)
  expect(result.status, result.stderr).not.toBe(0)

  const told = committed()
  expect(told, result.stderr).toBeGreaterThanOrEqual(after)
  await volume.mount()
  const found = await check(volume, 60_000)
  expect(found).toBeGreaterThanOrEqual(mode === 'WAL' ? told : told - 1)
  // One more may have been made durable before it could be logged.
  expect(found).toBeLessThanOrEqual(told + 1)
}
