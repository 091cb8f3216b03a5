// One of several processes that share a local store (local-processes.test.ts).
// Usage: node local-process.mjs BUILT-SOURCE FOLDER count TIMES | absent ROUNDS
// Prints one line of JSON for each thing it was told that it did.
const [built, path, work, times] = process.argv.slice(2)
const { openLocalStore, StoreError } = await import(`${built}/store/index.js`)
const store = await openLocalStore({ path })
const lost = (error) => {
  if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
}
process.stdout.write('"ready"\n')

if (work === 'count')
  for (let done = 0; done < Number(times); ) {
    const { body, etag } = await store.get('counter')
    const next = Number(body) + 1
    await store.putIfMatch('counter', [Buffer.from(String(next))], etag).then(() => {
      done++
      process.stdout.write(`${next}\n`)
    }, lost)
  }
if (work === 'absent')
  for (let round = 0; round < Number(times); round++)
    await store.putIfAbsent(`raced/${round}/key`, [Buffer.from(String(process.pid))]).then(() => {
      process.stdout.write(`${round}\n`)
    }, lost)
