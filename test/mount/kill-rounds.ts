// kill -9 at random moments under three programs at once: an unpacker that fsyncs now and then, SQLite, and git. Each keeps
// a log, outside the mount, of what was acknowledged to it; after each kill a new daemon reads everything back with empty
// caches, and the programs go on with what they find.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { until } from './harness.ts'
import { PROGRAMS } from './programs/manifest.ts'
import { dropCaches, type StoreKind, type TestVolume, type Volumes } from './volume-fixture.ts'

/** A database and a repository serve so many kills: they grow, and checking takes as long as making them. */
const KILLS_PER_GENERATION = 10
const PROGRAM_MS = 120_000

export interface KillFigures {
  seed: number
  kills: number
  replayedCommits: number
  /** Acknowledged, by program; all of it was there after the kills. */
  acknowledged: { files: number; transactions: number; commits: number }
  /** Begun but not acknowledged, and gone after a kill. */
  undone: { files: number; transactions: number; commits: number }
}

/** A program under the kills. */
interface Program {
  /** Runs in the mount until it is gone. */
  command: string
  log: string
  /** How much it must have logged before the kill may come. */
  atLeast: number
  /** Reads back what it left; returns how much was undone. `loggedBefore`: lines of its log when the daemon was killed. */
  check(stdout: string, loggedBefore: number): Promise<number>
}

function linesOf(path: string): number {
  return existsSync(path) ? readFileSync(path, 'latin1').split('\n').length - 1 : 0
}

export async function killRounds(
  volumes: Volumes,
  kind: StoreKind,
  { kills, seed }: { kills: number; seed: number },
): Promise<KillFigures> {
  const random = seededRandom(seed)
  const upTo = (most: number) => 1 + Math.floor(random.next() * most)
  const volume = await volumes.create(kind, { mount: ['--commit', '1'] })
  const outside = volumes.harness.folder()
  const figures: KillFigures = {
    seed,
    kills: 0,
    replayedCommits: 0,
    acknowledged: { files: 0, transactions: 0, commits: 0 },
    undone: { files: 0, transactions: 0, commits: 0 },
  }
  for (let kill = 1; kill <= kills; kill++) {
    const generation = Math.floor((kill - 1) / KILLS_PER_GENERATION)
    // At FULL, SQLite promises in rollback mode only what was committed before the last transaction.
    const [mode, synchronous] = kill % 2 === 0 ? ['WAL', 'FULL'] : ['DELETE', 'EXTRA']
    const programs = {
      files: unpacker(volume, { folder: `round-${kill}`, seed: seed + kill, log: join(outside, `files-${kill}`) }),
      transactions: sqlite(volume, {
        database: `db-${mode}-${generation}`,
        mode: mode as string,
        synchronous: synchronous as string,
        log: join(outside, `transactions-${mode}-${generation}`),
      }),
      commits: git(volume, { repository: `git-${generation}`, log: join(outside, `commits-${generation}`) }),
    }
    const all = Object.entries(programs) as [keyof typeof programs, Program][]
    const loggedBefore = new Map(all.map(([name, { log }]) => [name, linesOf(log)]))
    const wanted = new Map(all.map(([name, { atLeast }]) => [name, (loggedBefore.get(name) ?? 0) + upTo(atLeast)]))
    let ended = ''
    const running = all.map(async ([name, { command }]) => {
      const result = await volume.run(command, { timeoutMs: PROGRAM_MS })
      ended ||= `${name}: ${result.stdout}${result.stderr}`
      return result
    })
    const isUnderWay = () => all.every(([name, { log }]) => linesOf(log) >= (wanted.get(name) ?? 0))
    await until(() => isUnderWay() || ended !== '', `acknowledgements before kill ${kill}`, PROGRAM_MS)
    await new Promise((resolve) => setTimeout(resolve, random.next() * 400))
    expect(ended, 'of the programs, before the kill,').toBe('')
    const loggedAtKill = all.map(([, { log }]) => linesOf(log))
    await volume.crash()
    const results = await Promise.all(running)

    await dropCaches(volumes.harness)
    await volume.mount()
    const reasons = volume.log().match(/lock file is free, not waiting for the lease/g) ?? []
    expect(reasons.length, 'mounts that said why they did not wait for the lease').toBe(kill)
    figures.kills = kill
    figures.replayedCommits += (await volume.status()).journal.replayedCommits
    for (const [index, [name, { log, check }]] of all.entries()) {
      figures.undone[name] += await check(results[index]!.stdout, loggedAtKill[index]!).catch((error: unknown) => {
        throw new Error(`kill ${kill} of seed ${seed}, ${name}: ${(error as Error).message}`, { cause: error })
      })
      figures.acknowledged[name] += linesOf(log) - (loggedBefore.get(name) ?? 0)
    }
  }
  await volume.unmount()
  return figures
}

function unpacker(volume: TestVolume, { folder, seed, log }: { folder: string; seed: number; log: string }): Program {
  return {
    command: `mkdir ${folder} && exec python3 ${PROGRAMS}/unpacker.py ${folder} ${seed} ${log}`,
    log,
    atLeast: 8,
    async check(stdout) {
      const told = await volume.shell(
        `python3 ${PROGRAMS}/verify_unpacked.py ${folder} ${seed} ${log}; rm -rf ${folder}`,
      )
      const { last, problems } = JSON.parse(told) as { last: number; problems: string[] }
      expect(problems).toEqual([])
      return Math.max(0, Number(stdout) - last)
    },
  }
}

function sqlite(
  volume: TestVolume,
  { database, mode, synchronous, log }: { database: string; mode: string; synchronous: string; log: string },
): Program {
  return {
    command: `exec python3 ${PROGRAMS}/transactions.py write ${database} ${mode} 1000000 ${log} ${synchronous}`,
    log,
    atLeast: 20,
    async check(_stdout, loggedBefore) {
      const found = Number(await volume.shell(`python3 ${PROGRAMS}/transactions.py check ${database}`))
      const numbers = readFileSync(log, 'latin1').trimEnd().split('\n').map(Number)
      const last = numbers.at(-1)!
      // In rollback mode a commit ends with an unlink and an fsync of the directory; where that cannot be opened any more, as
      // the daemon is gone, SQLite takes it for synced (os_unix.c, unixDelete). So one may be logged that is not there.
      const promised = mode === 'WAL' ? last : Math.max(last - 1, numbers[loggedBefore - 1] ?? 0)
      expect(found, 'transactions').toBeGreaterThanOrEqual(promised)
      // One more may have been made durable before it could be logged.
      expect(found, 'transactions').toBeLessThanOrEqual(last + 1)
      return last + 1 - found
    },
  }
}

function git(volume: TestVolume, { repository, log }: { repository: string; log: string }): Program {
  return {
    command: `exec python3 ${PROGRAMS}/committer.py write ${repository} ${log}`,
    log,
    atLeast: 3,
    async check(stdout) {
      const { begun } = JSON.parse(stdout) as { begun: number }
      const told = await volume.shell(`python3 ${PROGRAMS}/committer.py check ${repository} ${log}`)
      const { found, problems } = JSON.parse(told) as { found: number; problems: string[] }
      expect(problems).toEqual([])
      return begun - found
    },
  }
}
