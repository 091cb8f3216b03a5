// The proof that the simulation notices: each rule of DESIGN section 5 (src/platform/rules.ts) switched off breaks a
// promise in the world of its recorded seed, and with the rule on that world is well. Where that world has changed since it was
// recorded, another one near must break.
//
//   CAIRNFS_SIM_SEARCH=2000 npx vitest run --project unit test/simulation/mutations.test.ts
//
// looks for such seeds, up to that many for each rule, and writes them to mutations.json and docs/TESTING.md: to be done
// whenever the worlds change. CAIRNFS_SIM_RULE narrows it to rules that contain these words,
// CAIRNFS_SIM_MISSING=1 to those that have no seed yet; CAIRNFS_SIM_FROM is the first seed to try.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { RULES, type Rule, withoutRule } from '../../src/platform/index.ts'
import { play } from './world.ts'

const RECORD = new URL('./mutations.json', import.meta.url)
const DOCUMENT = new URL('../../docs/TESTING.md', import.meta.url)
const BEGIN = '<!-- mutations: written by test/simulation/mutations.test.ts -->'
const END = '<!-- end of mutations -->'
const SEARCH = Number(process.env.CAIRNFS_SIM_SEARCH ?? 0)
const FROM = Number(process.env.CAIRNFS_SIM_FROM ?? 1)
const ONLY = process.env.CAIRNFS_SIM_RULE ?? ''
/** Every so many'th rule, from this one on: several processes may share the search. */
const [PART = 0, PARTS = 1] = (process.env.CAIRNFS_SIM_PART ?? '0/1').split('/').map(Number)
/** Only for rules without a seed. */
const MISSING = process.env.CAIRNFS_SIM_MISSING === '1'

/** How many worlds are tried where the recorded one does not break any more. */
const NEARBY = 50

/** The worlds of these are folders on a disk that loses power. */
const isOfDisk = (rule: Rule) => rule.startsWith('the local store')

interface Caught {
  seed: number
  /** What the world says first. */
  violation: string
}
const record = JSON.parse(readFileSync(RECORD, 'utf8')) as Partial<Record<Rule, Caught>>

async function violationOf(seed: number, rule: Rule | null, disk: boolean): Promise<string | null> {
  try {
    await withoutRule(rule, () => play({ seed, disk }))
    return null
  } catch (error) {
    return (error as Error).message
  }
}

/** The first world from `from` to `to` that breaks without the rule, and is well with it. */
async function firstCaught(rule: Rule, from: number, to: number): Promise<Caught | null> {
  for (let seed = from; seed <= to; seed++) {
    const violation = await violationOf(seed, rule, isOfDisk(rule))
    if (violation === null || (await violationOf(seed, null, isOfDisk(rule))) !== null) continue
    return { seed, violation: inShort(violation) }
  }
  return null
}

/** The first line, without what differs from run to run or would break a table. */
function inShort(violation: string): string {
  const [line = ''] = violation.replace(/^seed \d+(?: over a folder)?: (\w*Error( \[\w+\])?: )?/, '').split('\n')
  const short = line.split(/: it was|; it was/)[0] as string
  return (short.length > 110 ? `${short.slice(0, 107)}...` : short).replace(/[^\x20-\x7e]/g, '.').replaceAll('|', '\\|')
}

function table(): string {
  const rows = RULES.map((rule) => {
    const caught = record[rule]
    return `| ${rule} | ${caught?.seed ?? 'none'} | ${caught?.violation ?? 'not caught'} |`
  })
  return [BEGIN, '| without the rule | seed | what breaks |', '|---|---|---|', ...rows, END].join('\n')
}

/** Several may search at a time, for different rules. */
function writeRecord(found: Rule, caught: Caught | null): void {
  Object.assign(record, JSON.parse(readFileSync(RECORD, 'utf8')))
  if (caught === null) delete record[found]
  else record[found] = caught
  const ordered = Object.fromEntries(RULES.flatMap((rule) => (record[rule] ? [[rule, record[rule]]] : [])))
  writeFileSync(RECORD, `${JSON.stringify(ordered, null, 2)}\n`)
}

if (SEARCH > 0) {
  const isWanted = (rule: Rule, index: number) =>
    rule.includes(ONLY) && index % PARTS === PART && !(MISSING && record[rule])
  test.each(RULES.filter(isWanted))(
    'search: %s',
    async (rule) => {
      const caught = await firstCaught(rule, FROM, SEARCH)
      writeRecord(rule, caught)
      console.log(`${rule}: ${JSON.stringify(record[rule]) ?? `not caught in ${SEARCH} seeds`}`)
    },
    3_600_000,
  )

  afterAll(() => {
    Object.assign(record, JSON.parse(readFileSync(RECORD, 'utf8')))
    const document = readFileSync(DOCUMENT, 'utf8')
    const from = document.indexOf(BEGIN)
    const to = document.indexOf(END)
    writeFileSync(DOCUMENT, document.slice(0, from) + table() + document.slice(to + END.length))
  })
} else {
  test('every rule is caught, and docs/TESTING.md says by which seed', () => {
    expect(RULES.filter((rule) => record[rule] === undefined)).toEqual([])
    expect(readFileSync(DOCUMENT, 'utf8')).toContain(table())
  })

  test.each(Object.entries(record) as [Rule, Caught][])(
    'without the rule "%s" its world breaks',
    async (rule, { seed }) => {
      expect(await violationOf(seed, null, isOfDisk(rule))).toBeNull()
      if ((await violationOf(seed, rule, isOfDisk(rule))) !== null) return
      // The worlds have changed since.
      const again = await firstCaught(rule, 1, NEARBY)
      expect(again, `nothing breaks in world ${seed}, nor in the first ${NEARBY}: search anew`).not.toBeNull()
      console.log(`without the rule "${rule}" world ${seed} is well now, ${again?.seed} is not: search anew`)
    },
  )
}
