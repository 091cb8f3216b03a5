// The layers of DESIGN section 2: a layer imports any layer below it, only through its index.ts, and none above.
import { parseSource, resolveImport, type SourceText, type Violation } from './source.ts'

/** From the top down. The two entry files of src/ itself stand above all. */
export const LAYERS = [
  'cli',
  'volume',
  'fuse',
  'vfs',
  'meta',
  'data',
  'tables',
  'segments',
  'store',
  'observe',
  'platform',
] as const

const ENTRY_FILES = ['src/main.ts', 'src/mount-helper.ts']

/** Reports imports that go up or sideways past an index.ts, and folders and files of src/ that are no layer's. */
export function checkLayers(sources: readonly SourceText[]): Violation[] {
  return sources.flatMap((source) => {
    const from = layerOf(source.path)
    if (from === null) return []
    if (from === 'unknown') return [{ path: source.path, line: 1, what: 'belongs to no layer (test/tidy/layers.ts)' }]
    return parseSource(source).imports.flatMap(({ specifier, line }) => {
      const target = resolveImport(source.path, specifier)
      const what = target === null ? null : judge(from, target)
      return what === null ? [] : [{ path: source.path, line, what: `imports ${specifier}: ${what}` }]
    })
  })
}

type Layer = (typeof LAYERS)[number] | 'entry'

function layerOf(path: string): Layer | 'unknown' | null {
  if (!path.startsWith('src/')) return null
  if (ENTRY_FILES.includes(path)) return 'entry'
  const folder = path.split('/')[1]
  return path.split('/').length > 2 ? (LAYERS.find((layer) => layer === folder) ?? 'unknown') : 'unknown'
}

/** What is wrong with an import of `target` from `from`, or null. */
function judge(from: Layer, target: string): string | null {
  const to = layerOf(target)
  if (to === null) return 'it lies outside src/'
  if (to === 'unknown') return 'it belongs to no layer'
  if (to === from) return null
  if (to === 'entry') return 'nothing imports an entry file'
  const isBelow = from === 'entry' || LAYERS.indexOf(to) > LAYERS.indexOf(from)
  if (!isBelow) return `${from}/ lies below ${to}/`
  return target === `src/${to}/index.ts` ? null : `${to}/ is to be imported through its index.ts`
}
