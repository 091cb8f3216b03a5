// The end of scripts/test: what failed, the line that runners read (`N passed, N failed, N skipped`), and the summary,
// one line. Reads a JSON object on standard input:
//   folder     of the results that vitest-results.mjs wrote, NAME.json for each part that ran
//   steps      build, lint and the like that failed: each counts as one failure
//   skipped    parts that did not run: [name, reason]
//   seconds    how long it all took
//   minio      its version, or why there was none
//   node24     the version that the parts named node24... ran on
// Exits with 1 when anything failed.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const { folder, steps, skipped, seconds, minio, node24 } = JSON.parse(readFileSync(0, 'utf8'))
const parts = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => ({ name: basename(name, '.json'), ...JSON.parse(readFileSync(join(folder, name), 'utf8')) }))

const sum = (of) => parts.reduce((total, part) => total + of(part), 0)
const failed = sum((part) => part.failed) + steps.length
const notRun = parts.flatMap((part) => part.skipped)
for (const step of steps) console.log(`FAILED ${step}`)
for (const part of parts) for (const failure of part.failures) console.log(`FAILED ${part.name}: ${failure}`)
for (const { name, reason } of notRun) console.log(`skipped ${name}${reason === null ? '' : `: ${reason}`}`)

const passed = sum((part) => part.passed)
console.log(`${passed} passed, ${failed} failed, ${notRun.length} skipped`)

const ran = parts.map((part) => {
  const node = part.name.startsWith('node24') ? ` (Node ${node24})` : ''
  return `${part.name} ${part.passed}${part.failed > 0 ? ` and ${part.failed} failed` : ''}${node}`
})
const didRun = (name) => parts.some((part) => part.name === name && part.passed > 0)
const stores = [...(didRun('unit') ? ['memory', 'local folder'] : []), ...(didRun('s3') ? ['S3'] : [])]
/** Tests skipped for one reason are named by it, once. */
const reasons = new Map()
for (const { name, reason } of notRun) {
  const why = reason ?? /\(((?:needs|skipped:) [^)]+|[^()]+)\)/.exec(name)?.[1] ?? name
  reasons.set(why, (reasons.get(why) ?? 0) + 1)
}
const left = [
  ...skipped.map(([name, reason]) => `${name} (${reason})`),
  ...[...reasons].map(([why, count]) => `${count} ${count === 1 ? 'test' : 'tests'} (${why})`),
]
console.log(
  [
    `scripts/test: ${failed === 0 ? 'passed' : `FAILED (${failed})`} in ${Math.floor(seconds / 60)} min ${seconds % 60} s`,
    `run: ${ran.join(', ') || 'nothing'}`,
    `skipped: ${left.join(', ') || 'nothing'}`,
    `stores: ${stores.join(', ') || 'none'}`,
    `MinIO: ${minio}`,
  ]
    .join('; ')
    .replaceAll('\n', ' '),
)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
