#!/usr/bin/env node
// Makes src/meta/fold-table.ts from the Unicode 12.1.0 data in @unicode/unicode-12.1.0: what folding of names needs, as
// short strings. Run by hand when the form of the table changes; the version never does (it stands in every volume).
//
//   node scripts/make-fold-table.mjs           writes the file
//   node scripts/make-fold-table.mjs --check   fails when the file is not what would be written
import { readFileSync, writeFileSync } from 'node:fs'

const DATA = '@unicode/unicode-12.1.0'
const FILE = new URL('../src/meta/fold-table.ts', import.meta.url)

const load = async (path) => (await import(`${DATA}/${path}.mjs`)).default

/** Ranges as "gap+length" pairs in base 36, from the end of the range before. */
function encodeRanges(ranges) {
  let end = 0
  return ranges
    .map(({ begin, end: next }) => {
      const pair = `${(begin - end).toString(36)} ${(next - begin).toString(36)}`
      end = next
      return pair
    })
    .join(' ')
}

/** Single code points to single ones, in runs of one distance and one step (1 or 2). */
function encodeSingles(pairs) {
  const runs = []
  for (const [from, to] of pairs) {
    const last = runs.at(-1)
    const step = last === undefined ? 0 : from - last.last
    const fits = last !== undefined && to - from === last.delta && (last.step === step || (last.count === 1 && step <= 2))
    if (fits) {
      last.step = step
      last.last = from
      last.count++
    } else runs.push({ first: from, last: from, delta: to - from, step: 1, count: 1 })
  }
  let at = 0
  return runs
    .map(({ first, last, delta, step, count }) => {
      const run = [first - at, count, step, delta].map((number) => number.toString(36)).join(' ')
      at = last
      return run
    })
    .join(' ')
}

const common = [...(await load('Case_Folding/C/code-points'))].sort(([a], [b]) => a - b)
const full = [...(await load('Case_Folding/F/code-points'))].sort(([a], [b]) => a - b)
const ignorable = await load('Binary_Property/Default_Ignorable_Code_Point/ranges')
const unassigned = await load('General_Category/Unassigned/ranges')

const strings = {
  UNASSIGNED: ['Code points without a character.', encodeRanges(unassigned)],
  IGNORABLE: ['Default_Ignorable_Code_Point.', encodeRanges(ignorable)],
  COMMON: [
    'Case_Folding, status C: runs of code points that fold to one each: distance, count, step, difference.',
    encodeSingles(common.map(([from, to]) => [from, Array.isArray(to) ? to[0] : to])),
  ],
  FULL: [
    'Case_Folding, status F: a code point, and those that it folds to.',
    full.map(([from, to]) => [from, ...to].map((point) => point.toString(36)).join(' ')).join(','),
  ],
}

const text = `// Made by scripts/make-fold-table.mjs from the data of Unicode 12.1.0: do not edit. Numbers are in base 36; ranges are the
// distance from the end of the one before, and the length.
${Object.entries(strings)
  .map(([name, [what, body]]) => `\n/** ${what} */\n// biome-ignore format: one long string\nexport const ${name} =\n  '${body}'\n`)
  .join('')}`

if (process.argv[2] === '--check') {
  if (readFileSync(FILE, 'utf8') !== text) {
    console.error('src/meta/fold-table.ts is not what scripts/make-fold-table.mjs makes: run it')
    process.exit(1)
  }
} else writeFileSync(FILE, text)
