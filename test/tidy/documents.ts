// Documents: each has one title, each is reached by links from README.md, no link and no mention of one in the source
// leads nowhere.
import { joinPath, type SourceText, type Violation } from './source.ts'

const START = 'README.md'

/** Reports what is wrong with the documents. `exists` says whether a path of the repository is there (links may lead to
 *  folders and source files too). */
export function checkDocuments(documents: readonly SourceText[], exists: (path: string) => boolean): Violation[] {
  const byPath = new Map(documents.map((document) => [document.path, document]))
  return [
    ...documents.flatMap(checkTitle),
    ...documents.flatMap((document) => checkLinks(document, byPath, exists)),
    ...checkReached(documents, byPath),
  ]
}

/** Reports comments of source files that name documents which are not there. A number alone names a decision:
 *  docs/decisions/0003. */
export function checkMentions(sources: readonly SourceText[], documents: readonly SourceText[]): Violation[] {
  const paths = documents.map(({ path }) => path)
  return sources.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) =>
      [...line.matchAll(/(?<![\w/])docs\/[\w./-]*\w/g)].flatMap(([mention]) => {
        const isThere = paths.some(
          (each) => each === mention || each.startsWith(`${mention}-`) || each.startsWith(`${mention}/`),
        )
        return isThere ? [] : [{ path, line: index + 1, what: `names ${mention}, which is not there` }]
      }),
    ),
  )
}

interface Line {
  number: number
  text: string
}

/** The lines outside fenced code, without inline code. */
function proseLines({ text }: SourceText): Line[] {
  let fence: string | null = null
  return text.split('\n').flatMap((line, index) => {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1]
    if (fence !== null) {
      if (mark?.startsWith(fence)) fence = null
      return []
    }
    if (mark !== undefined) {
      fence = mark
      return []
    }
    return [{ number: index + 1, text: line.replace(/`[^`]*`/g, (code) => 'x'.repeat(code.length)) }]
  })
}

function checkTitle(document: SourceText): Violation[] {
  const titles = proseLines(document).filter(({ text }) => /^# \S/.test(text))
  if (titles.length === 1) return []
  const what = titles.length === 0 ? 'has no title (a line "# ...")' : `has ${titles.length} titles: one H1 each`
  return [{ path: document.path, line: titles[1]?.number ?? 1, what }]
}

interface Link {
  line: number
  target: string
  anchor: string | null
}

/** Relative links, resolved. */
function linksOf(document: SourceText): Link[] {
  const folder = document.path.split('/').slice(0, -1).join('/')
  const pattern = /\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)|^\[[^\]]+\]: *(\S+)/g
  return proseLines(document).flatMap(({ number, text }) =>
    [...text.matchAll(pattern)].flatMap((match) => {
      const link = (match[1] ?? match[2])!
      if (/^[a-z]+:/i.test(link)) return []
      const [path, anchor] = link.split('#') as [string, string | undefined]
      const target = path === '' ? document.path : joinPath(folder, decodeURI(path))
      return [{ line: number, target, anchor: anchor ?? null }]
    }),
  )
}

function checkLinks(
  document: SourceText,
  byPath: ReadonlyMap<string, SourceText>,
  exists: (path: string) => boolean,
): Violation[] {
  return linksOf(document).flatMap(({ line, target, anchor }) => {
    const linked = byPath.get(target)
    if (linked === undefined && !exists(target))
      return [{ path: document.path, line, what: `links to ${target}, which is not there` }]
    if (linked === undefined || anchor === null || anchorsOf(linked).has(anchor)) return []
    return [{ path: document.path, line, what: `links to ${target}#${anchor}, which has no such heading` }]
  })
}

/** Headings as GitHub makes them anchors. */
function anchorsOf({ text }: SourceText): Set<string> {
  const headings = [...text.matchAll(/^#{1,6} +(.+)$/gm)].map((match) => match[1]!)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/ /g, '-'),
    ),
  )
}

function checkReached(documents: readonly SourceText[], byPath: ReadonlyMap<string, SourceText>): Violation[] {
  if (!byPath.has(START)) return [{ path: START, line: 1, what: 'is missing: every document is reached from it' }]
  const reached = new Set<string>()
  const waiting = [START]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const document = byPath.get(path)
    if (document === undefined || reached.has(path)) continue
    reached.add(path)
    waiting.push(...linksOf(document).map(({ target }) => target))
  }
  return documents
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => ({ path, line: 1, what: `is an orphan: no chain of links leads to it from ${START}` }))
}
