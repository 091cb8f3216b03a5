// The report of `npm run bench -- smb`.
import { expect, test } from 'vitest'
import { type SmbMeasurement, writeSmbReport } from '../../bench/smb/smb.ts'

test('tells medians over all rounds, and how much faster than where Samba matches names', () => {
  const measured = (share: string, round: number, seconds: number): SmbMeasurement => {
    const all = Array.from({ length: 11 }, (_, index) => (index === 10 ? 60 : seconds))
    return { share, round, seconds: { create: all, open: all, openExact: all, openMissing: all, list: [seconds] } }
  }
  const report = writeSmbReport({
    ...{ benchmark: 'smb', commands: ['npm run bench -- smb'], date: '2030-01-02T03:04:05Z', machine: 'a machine' },
    ...{ samba: 'Samba 4', entries: 100_000 },
    measurements: [
      ...[measured('fold', 1, 0.001), measured('fold', 2, 0.001), measured('foldmodule', 1, 0.002)],
      ...[measured('plain', 1, 0.2), measured('ext4', 1, 0.1)],
    ],
  })
  expect(report).toContain('100,000 files in the directory')
  expect(report).toContain('in 2 rounds')
  expect(report).toContain('| create a file | 1.00 ms (1.00-1.00) | 2.00 ms (2.00-2.00) | 0.200 s (0.200-0.200) |')
  expect(report).toContain('`case sensitive = yes`: creating 200 times, opening by another case 200 times')
  expect(report).toContain('`glusterfs_fuse`: creating 100 times')
})
