// docs/SEMANTICS.md: each line of its table names tests that are there, and no deviation that the conformance suite knows of is left
// out of it.
import type { SourceText, Violation } from './source.ts'

const DOCUMENT = 'docs/SEMANTICS.md'
const EXCEPTIONS = 'test/conformance/exceptions.py'
const CASES = /^test\/conformance\/cases\/(\w+)\.py$/
/** Cases that every call with a path has. */
const PATHS = 'test/conformance/paths.py'
const KINDS = ['promise', 'deviation', 'limit']

/** `texts`: the document, the tests, and the Python of the conformance suite. */
export function checkSemantics(texts: readonly SourceText[]): Violation[] {
  const byPath = new Map(texts.map((each) => [each.path, each.text]))
  const document = byPath.get(DOCUMENT)
  if (document === undefined) return []
  const rows = document.split('\n').flatMap((text, index) => {
    const [, kind = '', , tests = ''] = text.split(/(?<!\\)\|/).map((cell) => cell.trim())
    return text.startsWith('| ') && kind !== '' ? [{ line: index + 1, kind, tests: testsOf(tests) }] : []
  })
  const violations = rows.flatMap(({ line, kind, tests }) => {
    const at = (what: string): Violation => ({ path: DOCUMENT, line, what })
    return [
      ...(KINDS.includes(kind) ? [] : [at(`is a ${kind}: ${KINDS.join(', ')}`)]),
      ...(tests.length > 0 ? [] : [at('names no test: [name](../path): "title"')]),
      ...tests.flatMap(({ path, title }) =>
        hasTest(byPath, path, title) ? [] : [at(`names "${title}" of ${path}, which is not there`)],
      ),
    ]
  })
  const told = rows.filter(({ kind }) => kind === 'deviation').flatMap(({ tests }) => tests)
  const missing = deviations(byPath.get(EXCEPTIONS) ?? '').filter(
    ({ call, title }) => !told.some((each) => each.title === title && each.path.endsWith(`/${call}.py`)),
  )
  return [
    ...violations,
    ...missing.map(({ call, title }) => ({
      path: DOCUMENT,
      line: 1,
      what: `tells of no deviation that "${title}" of ${call} shows`,
    })),
  ]
}

function testsOf(cell: string): { path: string; title: string }[] {
  return [...cell.matchAll(/\]\(\.\.\/([^)]+)\): "([^"]+)"/g)].map(([, path, title]) => ({
    path: path!,
    title: title!,
  }))
}

/** Titles of cases are names of functions; those of other tests stand in strings that open a line or a call. A part is enough. */
function hasTest(byPath: ReadonlyMap<string, string>, path: string, title: string): boolean {
  const text = byPath.get(path)
  if (text === undefined) return false
  const call = CASES.exec(path)?.[1]
  if (call === undefined) {
    return text.split('\n').some((line) => line.includes(title) && /^\s*['"`]|\(['"`]/.test(line))
  }
  if (text.includes(`\ndef ${title.replaceAll(' ', '_')}(`)) return true
  return text.includes(`path_cases('${call}'`) && (byPath.get(PATHS) ?? '').includes(`add(call, '${title}'`)
}

/** What is listed of cairnfs by design: not what is only not built yet, nor what other filesystems lack. */
function deviations(text: string): { call: string; title: string }[] {
  const [, list = ''] = /^CAIRNFS = \{\n([\s\S]*?)^\}/m.exec(text) ?? []
  return [...list.matchAll(/\('(\w+)', '([^']+)'/g)].map(([, call, title]) => ({ call: call!, title: title! }))
}
