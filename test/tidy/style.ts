// House rules of single files: the opening comment, no default exports, no `any`, no silenced compiler, no mark of
// unfinished work without words, no test left out in silence, no file too long to read.
import type { Node } from 'oxc-parser'
import { parseSource, type SourceText, type Violation, walk } from './source.ts'

const LINES_MAX = 600
/** Tools ask for these. */
const DEFAULT_EXPORTS = ['vitest.config.ts']

/** Every file says first what it is. */
export function checkOpeningComment(sources: readonly SourceText[]): Violation[] {
  return sources.flatMap(({ path, text }) =>
    /^(#!.*\n)?\/[/*][^\n]*\w/.test(text)
      ? []
      : [{ path, line: 1, what: 'does not open with a comment that says what it is' }],
  )
}

export function checkLength(sources: readonly SourceText[]): Violation[] {
  return sources.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
    return lines > LINES_MAX ? [{ path, line: LINES_MAX, what: `has ${lines} lines: ${LINES_MAX} at most` }] : []
  })
}

export function checkDefaultExports(sources: readonly SourceText[]): Violation[] {
  return findNodes(sources, (node, path) => {
    // A .d.ts says what a package of somebody else's exports.
    if (DEFAULT_EXPORTS.includes(path) || path.endsWith('.d.ts')) return null
    const isDefault =
      node.type === 'ExportDefaultDeclaration' ||
      node.type === 'TSExportAssignment' ||
      (node.type === 'ExportSpecifier' && node.exported.type === 'Identifier' && node.exported.name === 'default')
    return isDefault ? 'has a default export' : null
  })
}

export function checkAny(sources: readonly SourceText[]): Violation[] {
  return findNodes(sources, (node) => (node.type === 'TSAnyKeyword' ? 'uses the type any' : null))
}

/** Comments that silence the compiler, and marks of unfinished work that do not say what is missing. */
export function checkComments(sources: readonly SourceText[]): Violation[] {
  return sources.flatMap((source) => {
    const { comments, lineOf } = parseSource(source)
    return comments.flatMap(({ value, start }) =>
      value.split('\n').flatMap((line, index) => {
        const what = judgeComment(line)
        return what === null ? [] : [{ path: source.path, line: lineOf(start) + index, what }]
      }),
    )
  })
}

function judgeComment(line: string): string | null {
  if (/^[\s*]*@ts-(ignore|nocheck)\b/.test(line))
    return 'silences the compiler: @ts-expect-error with a reason, if at all'
  if (/^[\s*]*@ts-expect-error\W*$/.test(line)) return '@ts-expect-error without a reason'
  const mark = /\b(TODO|FIXME|XXX)\b(.*)/.exec(line)
  if (mark !== null && (mark[2]!.match(/\p{L}{2,}/gu) ?? []).length < 3) return `${mark[1]} without words`
  return null
}

const TEST_FUNCTIONS = ['test', 'it', 'describe', 'suite']
/** In a title: why it is not always run. scripts/test prints titles of what was skipped. */
const REASON = /\((needs|skipped:) [^)]+\)/

/** A test that does not always run says why, where the summary of a run shows it: `(needs root)` in its title, or the
 *  argument of `context.skip`. Nothing is run alone. */
export function checkSkippedTests(sources: readonly SourceText[]): Violation[] {
  return findNodes(sources, (node) => {
    if (node.type !== 'CallExpression') return null
    const { callee } = node
    if (callee.type === 'MemberExpression' && memberName(callee) === 'skip' && !isTestFunction(callee.object)) {
      // context.skip(reason), context.skip(condition, reason)
      const object = callee.object.type === 'Identifier' ? callee.object.name : ''
      const isContext = /^(context|ctx|task)$/.test(object)
      return isContext && !hasText(node.arguments.at(-1)) ? `${object}.skip without a reason` : null
    }
    const modifier = modifierOf(callee)
    if (modifier === null || modifier === 'each') return null
    if (modifier === 'only') return 'runs one test alone: .only'
    return hasReason(node.arguments[0]) ? null : `.${modifier} without a reason, "(needs ...)", in its title`
  })
}

/** In the text of a title, or as a variable of that name put into it. */
function hasReason(title: Node | undefined): boolean {
  if (title === undefined) return false
  let isNamed = false
  walk(title, (node) => {
    isNamed ||= node.type === 'Identifier' && node.name === 'reason'
    return undefined
  })
  return isNamed || REASON.test(textOf(title))
}

const MODIFIERS = ['only', 'skip', 'skipIf', 'runIf', 'todo']

/** Which modifier a call of a test function, with its title, has: `test.skip(title)`, `test.skipIf(condition)(title)`. */
function modifierOf(callee: Node): string | null {
  if (callee.type === 'MemberExpression') {
    const name = memberName(callee)
    const isDirect = name !== null && isTestFunction(callee.object) && MODIFIERS.includes(name)
    return isDirect && name !== 'skipIf' && name !== 'runIf' ? name : null
  }
  if (callee.type === 'CallExpression' || callee.type === 'TaggedTemplateExpression') {
    const inner = callee.type === 'CallExpression' ? callee.callee : callee.tag
    for (let at: Node = inner; at.type === 'MemberExpression' || at.type === 'CallExpression'; ) {
      if (at.type === 'MemberExpression') {
        const name = memberName(at)
        if (name !== null && MODIFIERS.includes(name) && isTestFunction(at.object)) return name
        at = at.object
      } else at = at.callee
    }
  }
  return null
}

/** `test`, or `test.concurrent`, `describe.sequential` and the like. */
function isTestFunction(node: Node): boolean {
  if (node.type === 'Identifier') return TEST_FUNCTIONS.includes(node.name)
  if (node.type === 'CallExpression') return isTestFunction(node.callee)
  return node.type === 'MemberExpression' && isTestFunction(node.object)
}

function memberName(node: Extract<Node, { type: 'MemberExpression' }>): string | null {
  return node.property.type === 'Identifier' && !node.computed ? node.property.name : null
}

function textOf(node: Node | undefined): string {
  if (node?.type === 'Literal') return String(node.value)
  if (node?.type === 'TemplateLiteral') return node.quasis.map(({ value }) => value.raw).join('x')
  return ''
}

function hasText(node: Node | undefined): boolean {
  // A name may stand for the reason.
  return node !== undefined && (textOf(node) !== '' || node.type === 'Identifier' || node.type === 'BinaryExpression')
}

function findNodes(sources: readonly SourceText[], judge: (node: Node, path: string) => string | null): Violation[] {
  return sources.flatMap((source) => {
    const { program, lineOf } = parseSource(source)
    const violations: Violation[] = []
    walk(program, (node) => {
      const what = judge(node, source.path)
      if (what !== null) violations.push({ path: source.path, line: lineOf(node.start), what })
      return undefined
    })
    return violations
  })
}
