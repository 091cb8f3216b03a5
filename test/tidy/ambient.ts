// Ambient state (the clock, chance, timers, the process, the disk) is an argument everywhere but in platform/ and cli/,
// so that the filesystem runs in a simulation. What is let through elsewhere stands in EXCEPTIONS, with the reason.
import type { Node } from 'oxc-parser'
import { type Import, type ParsedSource, parseSource, type SourceText, type Violation, walk } from './source.ts'

/** Paths that begin so may use anything ambient. */
const FREE = ['src/platform/', 'src/cli/', 'src/main.ts', 'src/mount-helper.ts']

export interface AmbientException {
  path: string
  uses: readonly string[]
  reason: string
}

/** `uses` names globals as written (`process.env`), modules (`node:fs`), or one name of a module (`node:os.hostname`). */
export const EXCEPTIONS: readonly AmbientException[] = [
  { path: 'src/store/local-disk.ts', uses: ['node:fs', 'node:fs/promises'], reason: 'files are its subject' },
  { path: 'src/store/http-client.ts', uses: ['node:net', 'node:tls'], reason: 'connections are its subject' },
  { path: 'src/store/s3-objects.ts', uses: ['Date.now'], reason: 'signatures are of the time of day' },
  { path: 'src/fuse/mountinfo.ts', uses: ['node:fs'], reason: 'mounting: reads /proc/self/mountinfo' },
  {
    path: 'src/fuse/mount.ts',
    uses: [
      'node:fs',
      'node:child_process',
      'process.env',
      'process.getuid',
      'process.getgid',
      'process.geteuid',
      'setTimeout',
      'clearTimeout',
    ],
    reason: 'mounting: who mounts decides how, and fusermount3 is a process with an environment and a deadline',
  },
  {
    path: 'src/fuse/native-transport.ts',
    uses: ['node:fs', 'process.getuid', 'process.getgid', 'process.geteuid', 'setImmediate'],
    reason: 'mounting: who mounts is who asks, and the end shows in /proc/self/fd',
  },
  {
    path: 'src/fuse/device-loop.ts',
    uses: ['setImmediate', 'performance.now', 'node:fs'],
    reason:
      'the kernel is on the other side: its turns are those of the event loop, its busy poll is real time, its device a file',
  },
]

/** Modules of Node's that are ambient as a whole. */
const MODULES = [
  'node:fs',
  'node:fs/promises',
  'node:child_process',
  'node:cluster',
  'node:dgram',
  'node:dns',
  'node:net',
  'node:perf_hooks',
  'node:process',
  'node:readline',
  'node:readline/promises',
  'node:timers',
  'node:timers/promises',
  'node:tls',
  'node:tty',
  'node:worker_threads',
]
/** Modules of which only some names are ambient; of the others, all but these. */
const MODULE_NAMES: Record<string, RegExp> = {
  'node:os': /^(?!constants$)/, // errno and signal numbers are no state
  'node:crypto': /^(random|getRandomValues|webcrypto|generate|\*|default)/,
  'node:util': /^(\*|default)$/,
}

/** Globals that are ambient however they are used. */
const GLOBALS = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'process',
  'console',
  'performance',
  'crypto',
  'fetch',
]
/** Properties of globals that are. */
const PROPERTIES: Record<string, readonly string[]> = { Date: ['now'], Math: ['random'] }

/** Reports ambient state outside platform/ and cli/, and exceptions that nothing needs any more. */
export function checkAmbientState(
  sources: readonly SourceText[],
  exceptions: readonly AmbientException[] = EXCEPTIONS,
): Violation[] {
  const unneeded = new Set(exceptions.flatMap(({ path, uses }) => uses.map((use) => `${path} ${use}`)))
  const violations: Violation[] = []
  for (const source of sources) {
    if (!source.path.startsWith('src/') || FREE.some((start) => source.path.startsWith(start))) continue
    const allowed = exceptions.filter(({ path }) => path === source.path).flatMap(({ uses }) => uses)
    for (const { use, line } of ambientUses(parseSource(source))) {
      const exception = allowed.find((each) => use === each || use.startsWith(`${each}.`))
      if (exception === undefined)
        violations.push({ path: source.path, line, what: `uses ${use}: take it as an argument` })
      else unneeded.delete(`${source.path} ${exception}`)
    }
  }
  for (const each of unneeded) {
    const [path, use] = each.split(' ') as [string, string]
    violations.push({ path, line: 1, what: `no longer uses ${use}: take the exception out of test/tidy/ambient.ts` })
  }
  return violations
}

interface Use {
  use: string
  line: number
}

function ambientUses(source: ParsedSource): Use[] {
  const uses = source.imports.filter(({ isType }) => !isType).flatMap(ambientImports)
  const local = declaredNames(source.program)
  walk(source.program, (node, parent) => {
    if (node.type === 'TSTypeQuery') return false // typeof setTimeout, as a type
    const use = isReference(node, parent) && !local.has(node.name) ? ambientUse(node.name, parent) : null
    if (use !== null) uses.push({ use, line: source.lineOf(node.start) })
    return undefined
  })
  return uses
}

function ambientImports({ specifier, names, line }: Import): Use[] {
  const isAmbient = MODULE_NAMES[specifier]
  const module = specifier.startsWith('node:') ? specifier : `node:${specifier}`
  const isConstants = names.length > 0 && names.every((name) => name === 'constants')
  if (MODULES.includes(module)) return isConstants ? [] : [{ use: module, line }]
  if (isAmbient === undefined) return []
  const asked = names.length === 0 ? ['*'] : names
  return asked.filter((name) => isAmbient.test(name)).map((name) => ({ use: `${specifier}.${name}`, line }))
}

function ambientUse(name: string, parent: Node | null): string | null {
  const property =
    parent?.type === 'MemberExpression' && parent.object.type === 'Identifier' && parent.object.name === name
      ? propertyName(parent)
      : null
  if (GLOBALS.includes(name)) return property === null ? name : `${name}.${property}`
  if (property !== null && PROPERTIES[name]?.includes(property)) return `${name}.${property}`
  const isNow = name === 'Date' && parent?.type === 'NewExpression' && parent.arguments.length === 0
  return isNow ? 'new Date()' : null
}

function propertyName({ property, computed }: { property: Node; computed: boolean }): string | null {
  if (property.type === 'Identifier' && !computed) return property.name
  return property.type === 'Literal' ? String(property.value) : null
}

type Identifier = Extract<Node, { type: 'Identifier' }>

/** Whether a node is a name that stands for a value, not the name of a property or of a type. */
function isReference(node: Node, parent: Node | null): node is Identifier {
  if (node.type !== 'Identifier' || parent === null) return false
  if (parent.type === 'MemberExpression') return parent.object === node || parent.computed
  if (parent.type === 'Property' || parent.type === 'PropertyDefinition' || parent.type === 'MethodDefinition')
    return parent.value === node || parent.computed
  return !parent.type.startsWith('TS') || parent.type === 'TSNonNullExpression' || parent.type === 'TSAsExpression'
}

/** Names that the file itself declares or imports: those are not the globals. */
function declaredNames(program: Node): Set<string> {
  const names = new Set<string>()
  const add = (pattern: Node | null) => {
    if (pattern?.type === 'Identifier') names.add(pattern.name)
    else if (pattern?.type === 'ObjectPattern') {
      for (const each of pattern.properties) add(each.type === 'RestElement' ? each.argument : each.value)
    } else if (pattern?.type === 'ArrayPattern') for (const each of pattern.elements) add(each)
    else if (pattern?.type === 'AssignmentPattern') add(pattern.left)
    else if (pattern?.type === 'RestElement') add(pattern.argument)
  }
  walk(program, (node) => {
    if (node.type === 'VariableDeclarator') add(node.id)
    else if (node.type === 'FunctionDeclaration' || node.type === 'FunctionExpression') {
      add(node.id)
      for (const each of node.params) add(each.type === 'TSParameterProperty' ? each.parameter : each)
    } else if (node.type === 'ArrowFunctionExpression') for (const each of node.params) add(each as Node)
    else if (node.type.startsWith('Import') && 'local' in node) add(node.local as Node)
    return undefined
  })
  return names
}
