// A directory's table that grew by a hundred entries at each of a thousand checkpoints (DESIGN sections 4 and 9).
import { expect, test } from 'vitest'
import { growAndList } from '../tables/grown.ts'

test('a table of 100,000 entries that grew over 1,000 checkpoints is listed with at most 40 GETs', async () => {
  const grown = await growAndList(1000, 100)
  console.log(`grown over 1,000 checkpoints: ${JSON.stringify(grown)}`)
  expect(grown.entries).toBe(grown.expected)
  expect(grown.gets).toBeLessThanOrEqual(40)
})
