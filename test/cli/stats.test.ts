// What `cairnfs stats` makes of two looks at a mount.
import { expect, it } from 'vitest'
import type { MountStatus } from '../../src/cli/control-protocol.ts'
import { lineOf, sampleOf, statsCommand } from '../../src/cli/stats.ts'
import { formatStatus } from '../../src/cli/status.ts'

function statusAt(uptimeSec: number, amount: number): MountStatus {
  return {
    version: '1',
    volume: { name: 'vol', uuid: 'u' },
    store: 'file:///store',
    mountpoint: '/mnt',
    pid: 7,
    log: '/var/log/cairnfs/vol.log',
    readOnly: false,
    binding: 'kernel',
    writeback: false,
    uptimeSec,
    dirtyBytes: 3 << 20,
    journal: { objects: 0, bytes: 0, unacknowledgedBytes: 0, replayedCommits: 0 },
    checkpoint: { number: 1, epoch: 1, changeBytes: 0 },
    cache: { blockBytes: 0, pageBytes: 5 << 20, memoryBytes: 1 << 30 },
    pages: {
      hits: 9 * amount,
      misses: amount,
      loaded: amount,
      loadedBytes: 20_000 * amount,
      heldBytes: 5 << 20,
      prefetched: 2 * amount,
      prefetchedUsed: amount,
    },
    walks: { loaded: 0, used: 0 },
    readAhead: { hits: 3 * amount, waits: amount, askedBytes: 8192 * amount, wastedBytes: 1024 * amount },
    diskCache: {
      ...{ folder: '/cache/u/p', bytes: 64 << 20, limitBytes: 1 << 30, hits: amount, misses: 3 * amount },
      ...{ hitBytes: 4096 * amount, writtenBytes: 2048 * amount, skipped: 0, damaged: 0, errors: 0 },
    },
    kernel: {
      requests: { LOOKUP: 3 * amount, READ: amount },
      lookupsFound: 2 * amount,
      lookupsMissing: amount,
      readBytes: 4096 * amount,
      writtenBytes: 0,
      storedBytes: 2048 * amount,
      listingsFilledAhead: 0,
      listingsUsedAhead: 0,
    },
    clean: { deletedSegments: 0, deletedBytes: 0, rewrittenSegments: 0, movedBytes: 0, waitingSegments: 0 },
    requests: { get: amount, put: 2 * amount, delete: 0, list: 0, head: 0 },
    transfer: { receivedBytes: 1000 * amount, sentBytes: 500 * amount },
    process: { cpuSec: amount / 100, residentBytes: 150 << 20 },
    failure: null,
  }
}

it('the first sample holds all since the mount, the others what came between', () => {
  const first = sampleOf(null, statusAt(100, 10))
  expect(first).toMatchObject({
    seconds: 100,
    fuse: { requests: 40, lookupsFound: 20, lookupsMissing: 10 },
    cpuSec: 0.1,
  })
  const second = sampleOf(statusAt(100, 10), statusAt(102, 50))
  expect(second).toEqual({
    seconds: 2,
    fuse: {
      requests: 160,
      lookupsFound: 80,
      lookupsMissing: 40,
      readBytes: 163_840,
      writtenBytes: 0,
      storedBytes: 81_920,
    },
    pages: { hits: 360, misses: 40, loaded: 40, loadedBytes: 800_000, prefetched: 80, prefetchedUsed: 40 },
    readAhead: { hits: 120, waits: 40, askedBytes: 327_680, wastedBytes: 40_960 },
    diskCache: {
      ...{ hits: 40, misses: 120, hitBytes: 163_840, writtenBytes: 81_920, skipped: 0, damaged: 0, errors: 0 },
    },
    store: { get: 40, put: 80, delete: 0, list: 0, head: 0, receivedBytes: 40_000, sentBytes: 20_000 },
    cpuSec: 0.4,
    dirtyBytes: 3 << 20,
    heldPageBytes: 5 << 20,
    residentBytes: 150 << 20,
  })
})

it('lines hold totals first, then what happened a second; nothing asked for is no rate of hits', () => {
  const first = sampleOf(null, statusAt(100, 10))
  const total = [
    'total',
    '40',
    '30',
    '90%',
    '10',
    '40 KiB',
    '20 KiB',
    '75%',
    '10 KiB',
    '0 B',
    '3 MiB',
    '25%',
    '10',
    '20',
    '0.1 s',
    '150 MiB',
  ]
  expect(lineOf(first, true)).toEqual(total)
  const second = sampleOf(statusAt(100, 10), statusAt(102, 50))
  const rates = [
    '',
    '80',
    '60',
    '90%',
    '20',
    '80 KiB',
    '40 KiB',
    '75%',
    '20 KiB',
    '0 B',
    '3 MiB',
    '25%',
    '20',
    '40',
    '20%',
    '150 MiB',
  ]
  expect(lineOf(second, false)).toEqual(rates)
  const idle = sampleOf(statusAt(102, 50), statusAt(112, 50))
  expect(lineOf(idle, false).slice(1, 5)).toEqual(['0', '0', '-', '0'])
  const slow = sampleOf(statusAt(102, 50), statusAt(112, 51))
  expect(lineOf(slow, false).slice(1, 3)).toEqual(['0.4', '0.3'])
})

it('counters that begin anew, as of a read-only mount that goes on to a newer state, never fall below nothing', () => {
  expect(sampleOf(statusAt(100, 10), statusAt(101, 5)).pages.hits).toBe(0)
})

it('status tells people of pages and of what the kernel asked', () => {
  const text = formatStatus(statusAt(100, 10))
  expect(text).toMatch(
    /^pages +90 of 100 asked for were in memory; 10 loaded \(195 KiB\), 10 of 20 fetched ahead were used$/m,
  )
  expect(text).toMatch(
    /^read-ahead +30 of 40 reads in order found all there; 80 KiB fetched ahead, 10 KiB of it not read$/m,
  )
  expect(text).toMatch(
    /^disk cache +64 MiB of 1 GiB in \/cache\/u\/p; 10 of 40 reads of segments were there \(40 KiB\), 20 KiB written$/m,
  )
  expect(text).toMatch(/^log +\/var\/log\/cairnfs\/vol\.log$/m)
  expect(formatStatus({ ...statusAt(100, 10), log: null })).toMatch(/^log +standard error$/m)
  expect(text).toMatch(/^dirty +3 MiB not in the store yet$/m)
  const failing = { ...statusAt(100, 10).diskCache!, skipped: 3, errors: 1 }
  expect(formatStatus({ ...statusAt(100, 10), diskCache: failing })).toMatch(
    /^disk cache .* written, 3 times not kept, as .*; 0 damaged files, 1 errors: see the log$/m,
  )
  expect(formatStatus({ ...statusAt(100, 10), diskCache: null })).not.toMatch(/^disk cache/m)
  expect(text).toMatch(
    /^kernel +40 requests, 20 lookups found and 10 missing; 40 KiB read, 0 B written, 20 KiB stored in its cache$/m,
  )
})

it('a daemon of an older version, which counts none of that, is shown without it', () => {
  const { log, pages, kernel, walks, readAhead, diskCache, transfer, process: daemon, ...older } = statusAt(100, 10)
  const text = formatStatus(older as MountStatus)
  expect(text).toMatch(/^cache /m)
  expect(text).not.toMatch(/^(log|pages|kernel) /m)
})

it('values of options are seconds, as the help says, and what is wrong with one names it', async () => {
  const told = (...args: string[]) =>
    statsCommand()
      .exitOverride()
      .parseAsync(['/nowhere', ...args], { from: 'user' })
  await expect(told('--interval', '50ms')).rejects.toThrow(/^--interval: '50ms' is too short/)
  await expect(told('--interval', 'soon')).rejects.toThrow(/^--interval: 'soon' is not a time/)
  await expect(told('--count', '0')).rejects.toThrow(/^--count: '0' is not/)
  expect(statsCommand().helpInformation()).toContain('(default: 1)')
})
