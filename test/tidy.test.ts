// The house rules as tests (DESIGN section 2, STYLE): each rule is run over the repository, and over a planted violation
// that it must report. The rules lie in test/tidy/.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkAmbientState } from './tidy/ambient.ts'
import { checkDocuments, checkMentions } from './tidy/documents.ts'
import { checkLayers } from './tidy/layers.ts'
import { checkOrphans } from './tidy/orphans.ts'
import { checkSemantics } from './tidy/semantics.ts'
import { describeViolation, parseSource, type SourceText, type Violation } from './tidy/source.ts'
import {
  checkAny,
  checkComments,
  checkDefaultExports,
  checkLength,
  checkOpeningComment,
  checkSkippedTests,
} from './tidy/style.ts'

const TOP = join(import.meta.dirname, '..')

/** Files below a folder of the repository whose names end so. */
function readTexts(folder: string, ending: string): SourceText[] {
  if (!existsSync(join(TOP, folder))) return []
  return readdirSync(join(TOP, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .map((path) => readText(join(folder, path)))
}

function readText(path: string): SourceText {
  return { path, text: readFileSync(join(TOP, path), 'utf8') }
}

const source = readTexts('src', '.ts')
const code = [...source, ...readTexts('test', '.ts'), ...readTexts('bench', '.ts'), readText('vitest.config.ts')]
const documents = [
  ...['README.md'].filter((path) => existsSync(join(TOP, path))).map(readText),
  ...readTexts('docs', '.md'),
]

interface Rule {
  promise: string
  repository: () => Violation[]
  /** Reports planted texts. */
  check: (planted: readonly SourceText[]) => Violation[]
  /** Each with the part of the report that must come, or null where none may. */
  planted: readonly [name: string, texts: Record<string, string>, report: string | null][]
}

const onDocuments = (texts: readonly SourceText[]) => checkDocuments(texts, (path) => path === 'src')

/** A document with one row, and what there is to be named. */
const semantics = (row: string) => ({
  'docs/SEMANTICS.md': `# What programs may rely on\n${row}\n`,
  'test/a.test.ts': `test('a holds', () => {})`,
  'test/conformance/cases/open.py': '@case\ndef of_f_is_EEXIST():\n    pass\n',
})

const RULES: readonly Rule[] = [
  {
    promise: 'a layer imports layers below it only, through their index.ts',
    repository: () => checkLayers(source),
    check: checkLayers,
    planted: [
      [
        'upward',
        { 'src/store/a.ts': `import { x } from '../tables/index.ts'` },
        'src/store/a.ts:1: imports ../tables/index.ts: store/ lies below tables/',
      ],
      [
        'upward, types alone',
        { 'src/data/a.ts': `\nimport type { X } from '../meta/index.ts'` },
        'src/data/a.ts:2: imports ../meta/index.ts',
      ],
      ['upward, re-exported', { 'src/data/a.ts': `export * from '../vfs/index.ts'` }, 'data/ lies below vfs/'],
      ['upward, when it runs', { 'src/vfs/a.ts': `await import('../fuse/index.ts')` }, 'vfs/ lies below fuse/'],
      [
        'upward, in a type',
        { 'src/vfs/a.ts': `type T = typeof import('../volume/index.ts')` },
        'vfs/ lies below volume/',
      ],
      ['past the index', { 'src/vfs/a.ts': `import { x } from '../meta/reap.ts'` }, 'through its index.ts'],
      ['out of src', { 'src/vfs/a.ts': `import { x } from '../../test/x.ts'` }, 'outside src/'],
      ['an entry file', { 'src/cli/a.ts': `import '../main.ts'` }, 'nothing imports an entry file'],
      ['a new folder', { 'src/utils/a.ts': '' }, 'belongs to no layer'],
      ['a new file on top', { 'src/helpers.ts': '' }, 'belongs to no layer'],
      ['downward is fine', { 'src/vfs/a.ts': `import { x } from '../platform/index.ts'\nimport './b.ts'` }, null],
    ],
  },
  {
    promise: 'ambient state is touched in platform/ and cli/ only, or where an exception says why',
    repository: () => checkAmbientState(source),
    check: (texts) => checkAmbientState(texts, [{ path: 'src/fuse/x.ts', uses: ['process.env'], reason: 'planted' }]),
    planted: [
      ...[
        ['Date.now', 'const a = Date.now()'],
        ['Date.now', 'const now = Date.now'],
        ['Date.now', `const a = Date['now']()`],
        ['new Date()', 'const a = new Date()'],
        ['Math.random', 'const a = Math.random()'],
        ['performance.now', 'const a = performance.now()'],
        ['setTimeout', 'setTimeout(() => {}, 1)'],
        ['setTimeout', 'const later = setTimeout'],
        ['setInterval', 'setInterval(() => {}, 1)'],
        ['setImmediate', 'setImmediate(() => {})'],
        ['process.env', 'const a = process.env.HOME'],
        ['process.argv', 'const a = process.argv'],
        ['process.exit', 'process.exit(1)'],
        ['process', 'const { env } = process'],
        ['console.log', `console.log('x')`],
        ['crypto.randomUUID', 'const a = crypto.randomUUID()'],
        ['node:fs', `import { readFileSync } from 'node:fs'`],
        ['node:fs/promises', `import * as files from 'node:fs/promises'`],
        ['node:fs', `import { readFileSync } from 'fs'`],
        ['node:fs', `const fs = await import('node:fs')`],
        ['node:child_process', `import { spawn } from 'node:child_process'`],
        ['node:timers/promises', `import { setTimeout } from 'node:timers/promises'`],
        ['node:os.hostname', `import { constants, hostname } from 'node:os'`],
        ['node:crypto.randomBytes', `import { createHash, randomBytes } from 'node:crypto'`],
      ].map(
        ([use, text]) =>
          [text!, { 'src/vfs/a.ts': text!, 'src/fuse/x.ts': 'process.env' }, `src/vfs/a.ts:1: uses ${use}:`] as [
            string,
            Record<string, string>,
            string,
          ],
      ),
      [
        'another use than the exception',
        { 'src/fuse/x.ts': 'process.env\nprocess.exit()' },
        'src/fuse/x.ts:2: uses process.exit:',
      ],
      [
        'an exception that nothing needs',
        { 'src/fuse/x.ts': 'export {}' },
        'src/fuse/x.ts:1: no longer uses process.env',
      ],
      [
        'in platform/ and cli/, as types, as names of other things',
        {
          'src/fuse/x.ts': 'process.env.HOME',
          'src/platform/a.ts': 'Date.now()',
          'src/cli/a.ts': 'process.exit()',
          'src/main.ts': 'process.exit()',
          'src/vfs/a.ts':
            `import type { Dirent } from 'node:fs'\nimport { constants } from 'node:os'\nimport { constants as flags } from 'node:fs'\n` +
            'type T = ReturnType<typeof setTimeout>\nconst d = new Date(0)\nconst a = { process: 1, fetch() {} }\n' +
            'a.process\nfunction f(performance: { now(): number }) { performance.now() }',
          'test/a.ts': 'Date.now()',
        },
        null,
      ],
    ],
  },
  {
    promise: 'every source file is reached from main.ts or mount-helper.ts',
    repository: () => checkOrphans(source),
    check: checkOrphans,
    planted: [
      [
        'a file that nothing imports',
        { 'src/main.ts': '', 'src/mount-helper.ts': '', 'src/vfs/a.ts': '' },
        'src/vfs/a.ts:1: is an orphan',
      ],
      [
        'a file that only an orphan imports',
        { 'src/main.ts': '', 'src/mount-helper.ts': '', 'src/vfs/a.ts': `import './b.ts'`, 'src/vfs/b.ts': '' },
        'src/vfs/b.ts:1: is an orphan',
      ],
      [
        'a declaration of what nothing uses',
        { 'src/main.ts': '', 'src/mount-helper.ts': '', 'src/a.d.ts': `declare module 'm' {}` },
        'src/a.d.ts:1: is an orphan',
      ],
      [
        'an import that leads nowhere',
        { 'src/main.ts': `import './gone.ts'`, 'src/mount-helper.ts': '' },
        'src/main.ts:1: imports ./gone.ts, which is not there',
      ],
      ['a missing entry file', { 'src/main.ts': '' }, 'src/mount-helper.ts:1: the entry file is missing'],
      [
        'imports of every form',
        {
          'src/main.ts': `import './a.ts'\nexport * from './b.ts'\nawait import('./c.ts')\ntype T = import('./d.ts').T\nimport m from 'm'`,
          'src/mount-helper.ts': '',
          'src/a.ts': '',
          'src/b.ts': '',
          'src/c.ts': '',
          'src/d.ts': '',
          'src/m.d.ts': `declare module 'm' {}`,
        },
        null,
      ],
    ],
  },
  {
    promise: 'every document has one title and is reached from README.md, and no link is broken',
    repository: () => checkDocuments(documents, (path) => existsSync(join(TOP, path))),
    check: onDocuments,
    planted: [
      ['two titles', { 'README.md': '# a\n\n# b\n' }, 'README.md:3: has 2 titles'],
      ['no title', { 'README.md': '## a\n```sh\n# b\n```\n' }, 'README.md:1: has no title'],
      ['an orphan', { 'README.md': '# a\n', 'docs/A.md': '# b\n' }, 'docs/A.md:1: is an orphan'],
      [
        'a link in code is none',
        { 'README.md': '# a\n`[b](docs/A.md)`\n', 'docs/A.md': '# b\n' },
        'docs/A.md:1: is an orphan',
      ],
      [
        'a broken link',
        { 'README.md': '# a\n[b](docs/B.md)\n' },
        'README.md:2: links to docs/B.md, which is not there',
      ],
      [
        'a broken link by reference',
        { 'README.md': '# a\n[b]: ./B.md\n' },
        'README.md:2: links to B.md, which is not there',
      ],
      [
        'a broken anchor',
        { 'README.md': '# a\n[b](#c)\n' },
        'README.md:2: links to README.md#c, which has no such heading',
      ],
      ['no README', { 'docs/A.md': '# b\n' }, 'README.md:1: is missing'],
      [
        'links of every form',
        {
          'README.md': '# a\n[b](docs/A.md#one-two) [c](https://example.org/x) [d](src)\n',
          'docs/A.md': '# b\n## One, two\n[a](../README.md)\n',
        },
        null,
      ],
    ],
  },
  {
    promise: 'documents that the source names are there',
    repository: () => checkMentions(source, documents),
    check: (texts) => checkMentions(texts, [{ path: 'docs/decisions/0001-a.md', text: '' }]),
    planted: [
      ['a missing one', { 'src/a.ts': '\n// see docs/GONE.md.' }, 'src/a.ts:2: names docs/GONE.md'],
      ['a missing number', { 'src/a.ts': '// docs/decisions/0002' }, 'names docs/decisions/0002'],
      ['a number', { 'src/a.ts': '// (docs/decisions/0001).' }, null],
    ],
  },
  {
    promise: 'docs/SEMANTICS.md names tests that are there, and leaves out no deviation',
    repository: () => checkSemantics([...documents, ...readTexts('test', '.ts'), ...readTexts('test', '.py')]),
    check: checkSemantics,
    planted: [
      ['no test', semantics('| promise | It works | by itself |'), 'docs/SEMANTICS.md:2: names no test'],
      ['no file', semantics('| limit | x | [a](../test/gone.test.ts): "x" |'), 'names "x" of test/gone.test.ts'],
      ['no title', semantics('| limit | x | [a](../test/a.test.ts): "b holds" |'), 'names "b holds" of test/a.test.ts'],
      ['a title', semantics('| limit | x | [a](../test/a.test.ts): "a holds" |'), null],
      ['no case', semantics('| limit | x | [a](../test/conformance/cases/open.py): "is EIO" |'), 'names "is EIO"'],
      ['a case', semantics('| limit | x | [a](../test/conformance/cases/open.py): "of f is EEXIST" |'), null],
      ['another kind', semantics('| hope | x | [a](../test/a.test.ts): "a holds" |'), 'is a hope'],
      [
        'a deviation left out',
        { ...semantics(''), 'test/conformance/exceptions.py': "CAIRNFS = {\n    **listed(R, ('open', 'is x')),\n}\n" },
        'tells of no deviation that "is x" of open shows',
      ],
    ],
  },
  {
    promise: 'every file opens with a comment that says what it is',
    repository: () => checkOpeningComment(code),
    check: checkOpeningComment,
    planted: [
      ['none', { 'src/a.ts': `import 'x'\n// late` }, 'src/a.ts:1: does not open with a comment'],
      ['an empty one', { 'src/a.ts': '//\nx' }, 'does not open with a comment'],
      ['after #!', { 'src/main.ts': '#!/usr/bin/env node\n// The command.\n' }, null],
    ],
  },
  {
    promise: 'no default exports',
    repository: () => checkDefaultExports(code),
    check: checkDefaultExports,
    planted: [
      ['a function', { 'src/a.ts': 'export default function f() {}' }, 'src/a.ts:1: has a default export'],
      ['by name', { 'src/a.ts': 'const a = 1\nexport { a as default }' }, 'src/a.ts:2: has a default export'],
      ['what a tool asks for', { 'vitest.config.ts': 'export default {}' }, null],
    ],
  },
  {
    promise: 'no `any`',
    repository: () => checkAny(code),
    check: checkAny,
    planted: [
      ['a parameter', { 'src/a.ts': '\nfunction f(a: any) {}' }, 'src/a.ts:2: uses the type any'],
      ['a cast', { 'test/a.ts': 'x as any' }, 'test/a.ts:1: uses the type any'],
      ['a word', { 'src/a.ts': `// any\nconst any = 'any'` }, null],
    ],
  },
  {
    promise: 'no silenced compiler and no TODO without words',
    repository: () => checkComments(code),
    check: checkComments,
    planted: [
      ['@ts-ignore', { 'src/a.ts': 'x\n// @ts-ignore because\ny' }, 'src/a.ts:2: silences the compiler'],
      ['@ts-nocheck', { 'src/a.ts': '/* @ts-nocheck */' }, 'silences the compiler'],
      ['@ts-expect-error', { 'src/a.ts': '// @ts-expect-error\ny' }, '@ts-expect-error without a reason'],
      ['TODO', { 'src/a.ts': '// TODO\ny' }, 'src/a.ts:1: TODO without words'],
      ['FIXME', { 'src/a.ts': '/*\n * FIXME: later\n */' }, 'src/a.ts:2: FIXME without words'],
      ['with words', { 'src/a.ts': `// TODO: issue 7, the cleaner deletes these\nconst a = '// TODO'` }, null],
    ],
  },
  {
    promise: 'no test is run alone, and one that may be skipped says why',
    repository: () => checkSkippedTests(code),
    check: checkSkippedTests,
    planted: [
      ['it.only', { 'test/a.ts': `it.only('x', () => {})` }, 'test/a.ts:1: runs one test alone'],
      ['describe.only.each', { 'test/a.ts': `describe.only.each([1])('x', () => {})` }, 'runs one test alone'],
      ['test.concurrent.only', { 'test/a.ts': `test.concurrent.only('x', () => {})` }, 'runs one test alone'],
      ['it.skip', { 'test/a.ts': `it.skip('x', () => {})` }, '.skip without a reason'],
      ['test.skipIf', { 'test/a.ts': `test.skipIf(true)('x', () => {})` }, '.skipIf without a reason'],
      ['describe.runIf', { 'test/a.ts': `describe.runIf(true)('x', () => {})` }, '.runIf without a reason'],
      ['test.todo', { 'test/a.ts': `test.todo('x')` }, '.todo without a reason'],
      ['context.skip', { 'test/a.ts': `test('x', (context) => { context.skip() })` }, 'context.skip without a reason'],
      [
        'with a reason',
        {
          'test/a.ts':
            `test.skipIf(a)('x (needs root)', () => {})\ntest('y', (context) => { context.skip(a, 'no /dev/fuse') })\n` +
            'describe.skipIf(a)(`z ($' +
            '{reason})`, () => {})\nskip(1)',
        },
        null,
      ],
    ],
  },
  {
    promise: 'no file has more than 600 lines',
    repository: () => checkLength(code),
    check: checkLength,
    planted: [
      ['601', { 'src/a.ts': 'x\n'.repeat(601) }, 'src/a.ts:600: has 601 lines'],
      ['600', { 'src/a.ts': 'x\n'.repeat(600) }, null],
    ],
  },
]

const report = (violations: readonly Violation[]) => violations.map(describeViolation)

describe.each(RULES)('$promise', ({ repository, check, planted }) => {
  test('holds in this repository', () => {
    expect(report(repository())).toEqual([])
  })

  test.each(planted)('planted: %s', (_, texts, expected) => {
    const found = report(check(Object.entries(texts).map(([path, text]) => ({ path, text }))))
    if (expected === null) expect(found).toEqual([])
    else expect(found).toContainEqual(expect.stringContaining(expected))
  })
})

test('the rules see the whole source', () => {
  expect(source.map(({ path }) => path)).toEqual(expect.arrayContaining(['src/main.ts', 'src/mount-helper.ts']))
  expect(source.length).toBeGreaterThan(50)
  expect(() => parseSource({ path: 'src/a.ts', text: 'const = 1' })).toThrow('src/a.ts does not parse')
})
