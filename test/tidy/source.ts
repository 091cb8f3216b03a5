// What the tidiness rules look at: the texts of files, parsed, and what their imports and identifiers say.
//
// A rule is a function from a list of texts to a list of violations: it reads no disk, so that its test can feed it a
// violation and see it reported.
import { type Comment, type Node, parseSync } from 'oxc-parser'

/** A file of the repository: its path from the top, with slashes. */
export interface SourceText {
  path: string
  text: string
}

export interface Violation {
  path: string
  line: number
  what: string
}

/** As editors and terminals link it. */
export function describeViolation({ path, line, what }: Violation): string {
  return `${path}:${line}: ${what}`
}

export interface Import {
  specifier: string
  /** The names asked for; `*` for the whole module; none for a bare import, `import()` and `typeof import()`. */
  names: string[]
  /** Types only: gone when it runs. */
  isType: boolean
  line: number
}

export interface ParsedSource extends SourceText {
  program: Node
  comments: Comment[]
  imports: Import[]
  lineOf(offset: number): number
}

const parsed = new WeakMap<SourceText, ParsedSource>()

/** Parses a TypeScript text; throws when it is none. */
export function parseSource(source: SourceText): ParsedSource {
  const known = parsed.get(source)
  if (known !== undefined) return known
  const { program, comments, errors } = parseSync(source.path, source.text)
  if (errors.length > 0) throw new Error(`${source.path} does not parse: ${errors[0]!.message}`)
  const lineStarts = [0]
  for (let at = source.text.indexOf('\n'); at >= 0; at = source.text.indexOf('\n', at + 1)) lineStarts.push(at + 1)
  const lineOf = (offset: number): number => {
    const after = lineStarts.findIndex((start) => start > offset)
    return after < 0 ? lineStarts.length : after
  }
  const result = { ...source, program, comments, lineOf, imports: findImports(program, lineOf) }
  parsed.set(source, result)
  return result
}

/** Calls `visit` for every node below and including `root`, parents first; `visit` returns false to leave out what is
 *  below. */
export function walk(root: Node, visit: (node: Node, parent: Node | null) => boolean | undefined): void {
  const stack: [Node, Node | null][] = [[root, null]]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [node, parent] = next
    if (visit(node, parent) === false) continue
    const children = Object.values(node).flatMap((value: unknown) => (Array.isArray(value) ? value : [value]))
    for (const child of children.reverse()) if (isNode(child)) stack.push([child, node])
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}

function findImports(program: Node, lineOf: (offset: number) => number): Import[] {
  const imports: Import[] = []
  const add = (specifier: string, names: string[], isType: boolean, at: number) =>
    imports.push({ specifier, names, isType, line: lineOf(at) })
  walk(program, (node) => {
    if (node.type === 'ImportDeclaration') {
      const names = node.specifiers.map((each) =>
        each.type === 'ImportSpecifier'
          ? nameOf(each.imported)
          : each.type === 'ImportDefaultSpecifier'
            ? 'default'
            : '*',
      )
      const isType =
        node.importKind === 'type' ||
        (node.specifiers.length > 0 &&
          node.specifiers.every((each) => each.type === 'ImportSpecifier' && each.importKind === 'type'))
      add(node.source.value, names, isType, node.start)
    } else if (node.type === 'ExportNamedDeclaration' && node.source !== null) {
      const names = node.specifiers.map((each) => nameOf(each.local))
      add(node.source.value, names, node.exportKind === 'type', node.start)
    } else if (node.type === 'ExportAllDeclaration') {
      add(node.source.value, ['*'], node.exportKind === 'type', node.start)
    } else if (node.type === 'ImportExpression' && node.source.type === 'Literal') {
      add(String(node.source.value), [], false, node.start)
    } else if (node.type === 'TSImportType') {
      add(node.source.value, [], true, node.start)
    }
    return undefined
  })
  return imports
}

function nameOf(name: { type: string; name?: string; value?: string }): string {
  return name.name ?? name.value ?? ''
}

/** Resolves a relative specifier from a file, by paths alone; null for a package or a module of Node's. */
export function resolveImport(path: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null
  return joinPath(path.split('/').slice(0, -1).join('/'), specifier)
}

/** Joins with slashes and takes out `.` and `..`. */
export function joinPath(folder: string, relative: string): string {
  const parts: string[] = []
  for (const part of `${folder}/${relative}`.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}
