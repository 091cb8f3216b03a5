// The directory that grew: all names are there, and each part of them came with a checkpoint of its own.
import { expect, test, vi } from 'vitest'
import { growDirectory } from '../../bench/grow-directory.ts'
import { systemClock, systemRandom } from '../../src/platform/index.ts'
import { createMemoryStore } from '../../src/store/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { openVolume, readVolumeJson } from '../../src/volume/index.ts'

test('a directory grows by so many files between checkpoints', async () => {
  const store = createMemoryStore()
  const puts = vi.spyOn(store, 'putIfMatch')
  await growDirectory(store, { entries: 60, each: 5 })
  const roots = puts.mock.calls.filter(([key]) => key === 'root').length
  // Those of formatting, opening and closing besides.
  expect(roots).toBeGreaterThanOrEqual(12)
  expect(roots).toBeLessThanOrEqual(12 + 5)
  const volume = await openVolume({
    ...{
      store,
      identity: await readVolumeJson(store),
      writer: null,
      clock: systemClock,
      random: systemRandom,
    },
    ...{ log: () => {}, memoryBytes: 64 << 20, commitMs: 5000, parallelism: 4, rootOwner: { uid: 0, gid: 0 } },
  })
  const { filesystem } = volume
  const caller = { uid: 0, gid: 0, pid: 0 }
  const { ino } = (await filesystem.lookup(caller, ROOT_INO, Buffer.from('many'))).attributes
  const names: string[] = []
  await filesystem.readdir(ino, 0, false, (name) => names.push(Buffer.from(name).toString()) > 0)
  await volume.close()
  expect(names.toSorted().slice(2)).toEqual(
    Array.from({ length: 60 }, (_, index) => `file-${String(index).padStart(7, '0')}`),
  )
})
