// Source files that the program never reaches, and imports of files that are not there.
import { parseSource, resolveImport, type SourceText, type Violation } from './source.ts'

/** What package.json's `bin` is compiled from. */
export const ENTRIES = ['src/main.ts', 'src/mount-helper.ts']

/** Reports files of src/ to which no chain of imports leads from `entries`. A .d.ts counts as reached when a reached file
 *  imports a module that it declares. */
export function checkOrphans(sources: readonly SourceText[], entries: readonly string[] = ENTRIES): Violation[] {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const reached = new Set<string>()
  const modules = new Set<string>()
  const violations: Violation[] = []
  const waiting: string[] = []
  for (const entry of entries) {
    if (byPath.has(entry)) waiting.push(entry)
    else violations.push({ path: entry, line: 1, what: 'the entry file is missing' })
  }
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    for (const { specifier, line } of parseSource(byPath.get(path)!).imports) {
      const target = resolveImport(path, specifier)
      if (target === null) modules.add(specifier)
      else if (byPath.has(target)) waiting.push(target)
      else if (target.endsWith('.ts')) violations.push({ path, line, what: `imports ${specifier}, which is not there` })
    }
  }
  for (const source of sources) {
    const { path } = source
    if (!path.startsWith('src/') || reached.has(path)) continue
    if (path.endsWith('.d.ts') && declaredModules(source).some((name) => modules.has(name))) continue
    violations.push({ path, line: 1, what: `is an orphan: nothing leads to it from ${entries.join(' or ')}` })
  }
  return violations
}

function declaredModules({ text }: SourceText): string[] {
  return [...text.matchAll(/^declare module '([^']+)'/gm)].map((match) => match[1]!)
}
