// What the store alone takes: cairnfs's own client without a filesystem, as many requests at once as a mount sends.
//
//   raw-store.js write|read STORE ENDPOINT BYTES
//
// `write` puts objects of 8 MiB until so many bytes are there, `read` gets all of them. Prints JSON: seconds. Before it
// begins it lists the store once: the SDK's first request takes long.
import { randomBytes } from 'node:crypto'
import { systemClock } from '../../src/platform/index.ts'
import { openStore } from '../../src/store/index.ts'
import { REGION } from '../minio.ts'

/** As `--segment-size` and `--parallelism` of a mount. */
const SEGMENT_BYTES = 8 << 20
const PARALLEL = 20

const [mode, name, endpoint, text] = process.argv.slice(2) as [string, string, string, string]
const bytes = Number(text)
// Of Node and the SDK: the output is JSON alone.
process.removeAllListeners('warning')
const store = await openStore(name, {
  ...{ endpoint, region: REGION, pathStyle: true, parallelism: PARALLEL, createBucket: true },
  clock: systemClock,
})
const random = randomBytes(2 * SEGMENT_BYTES)

/** Segment `index`; no two are the same. */
async function move(index: number): Promise<void> {
  const key = `segments/${String(index).padStart(6, '0')}`
  const lengthBytes = Math.min(SEGMENT_BYTES, bytes - index * SEGMENT_BYTES)
  if (mode === 'write') {
    const from = (index * 65_521) % SEGMENT_BYTES
    await store.put(key, [random.subarray(from, from + lengthBytes)])
    return
  }
  const { body } = await store.get(key)
  if (body.length !== lengthBytes) throw new Error(`${key} has ${body.length} bytes in place of ${lengthBytes}`)
}

await store.list('', { limit: 1 })
const count = Math.ceil(bytes / SEGMENT_BYTES)
let next = 0
const moveRest = async () => {
  while (next < count) await move(next++)
}
const started = performance.now()
await Promise.all(Array.from({ length: PARALLEL }, moveRest))
process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - started) / 1000 })}\n`)
await store.close()
