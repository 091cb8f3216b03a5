// Flaws that a readdir could have, each put between a right one and its readers, and what the oracle of listings must say.
import { isPromise, type MaybePromise } from '../../src/platform/index.ts'
import type { DirectorySink, Ino } from '../../src/vfs/index.ts'
import type { Readdir } from './listing-world.ts'

type Entry = Parameters<DirectorySink>

interface Flaw {
  what: string
  /** What is said of it. */
  says: RegExp
  put: (readdir: Readdir) => Readdir
}

/** Cookies of "." and "..", which the first call shows. */
const DOTS = 2

/** All that a right readdir shows from a cookie on, kept. */
async function entriesFrom(readdir: Readdir, { ino, cookie, plus }: { ino: Ino; cookie: number; plus: boolean }) {
  const entries: Entry[] = []
  let last = cookie
  for (let before = -1; before !== entries.length; ) {
    before = entries.length
    await readdir(ino, last, plus, (name, child, mode, next, attributes) => {
      entries.push([Buffer.from(name), child, mode, next, structuredClone(attributes)])
      last = next
      return true
    })
  }
  return entries
}

function show(entries: readonly Entry[], sink: DirectorySink): void {
  for (const entry of entries) if (!sink(...entry)) return
}

export const FLAWS: readonly Flaw[] = [
  {
    what: 'goes on one key late',
    says: /leaves out/,
    put: (readdir) => (ino, cookie, plus, sink) => readdir(ino, cookie <= DOTS ? cookie : cookie + 1, plus, sink),
  },
  {
    what: 'shows the entry of the cookie again',
    says: /comes after cookie/,
    put: (readdir) => (ino, cookie, plus, sink) => readdir(ino, cookie <= DOTS ? cookie : cookie - 1, plus, sink),
  },
  {
    what: 'goes on behind all names of the same hash',
    says: /leaves out/,
    put: (readdir) => (ino, cookie, plus, sink) =>
      readdir(ino, cookie <= DOTS ? cookie : Math.ceil(cookie / 256) * 256, plus, sink),
  },
  {
    what: 'counts entries in place of keys',
    says: /had cookie/,
    put: (readdir) => async (ino, cookie, plus, sink) => {
      const entries = await entriesFrom(readdir, { ino, cookie: 0, plus })
      show(entries.map((entry, at) => entry.with(3, at + 1) as Entry).slice(cookie), sink)
    },
  },
  {
    what: 'ends where it has to wait',
    says: /leaves out/,
    put:
      (readdir) =>
      (ino, cookie, plus, sink): MaybePromise<void> => {
        let isLate = false
        const answer = readdir(ino, cookie, plus, (...entry) => !isLate && sink(...entry))
        isLate = cookie > DOTS && isPromise(answer)
        return answer
      },
  },
  {
    what: 'shows what was there when it was first asked',
    says: /was not there|leaves out|did not lead to/,
    put: (readdir) => {
      const first = new Map<Ino, Promise<Entry[]>>()
      return async (ino, cookie, plus, sink) => {
        if (!first.has(ino)) first.set(ino, entriesFrom(readdir, { ino, cookie: 0, plus: true }))
        const entries = (await first.get(ino)!).filter((entry) => entry[3] > cookie)
        show(plus ? entries : entries.map((entry) => entry.with(4, null) as Entry), sink)
      }
    },
  },
  {
    what: 'finds its place by the entry that was there',
    says: /leaves out/,
    put: (readdir) => async (ino, cookie, plus, sink) => {
      const entries = await entriesFrom(readdir, { ino, cookie: 0, plus })
      const at = entries.findIndex((entry) => entry[3] === cookie)
      if (cookie === 0 || at >= 0) show(entries.slice(at + 1), sink)
    },
  },
  {
    what: 'takes what the reader had no room for as read',
    says: /leaves out/,
    put: (readdir) => {
      const refused = new Map<string, number>()
      return async (ino, cookie, plus, sink) => {
        let last = cookie
        await readdir(ino, refused.get(`${ino}/${cookie}`) ?? cookie, plus, (...entry) => {
          const took = sink(...entry)
          if (took) last = entry[3]
          else if (last > DOTS) refused.set(`${ino}/${last}`, entry[3])
          return took
        })
      }
    },
  },
  {
    what: 'shows ".." wherever it is asked to begin',
    says: /\.\. .* stands where a name is due/,
    put: (readdir) => (ino, cookie, plus, sink) => {
      let isFirst = true
      return readdir(ino, cookie, plus, (...entry) => {
        if (isFirst && cookie > DOTS && !sink(Buffer.from('..'), ino, 0o040000, cookie + 1, null)) return false
        isFirst = false
        return sink(...entry)
      })
    },
  },
  {
    what: 'shows names in the order in which they were made',
    says: /comes after cookie/,
    put: (readdir) => async (ino, cookie, plus, sink) => {
      const entries = await entriesFrom(readdir, { ino, cookie: 0, plus })
      const ordered = [...entries.slice(0, 2), ...entries.slice(2).sort((a, b) => a[1] - b[1])]
      show(ordered.slice(cookie === 0 ? 0 : ordered.findIndex((entry) => entry[3] === cookie) + 1), sink)
    },
  },
  {
    what: 'shows a name under the inode that it led to before',
    says: /did not lead to/,
    put: (readdir) => {
      const before = new Map<string, Ino>()
      return (ino, cookie, plus, sink) =>
        readdir(ino, cookie, plus, (name, child, mode, next, attributes) => {
          const at = `${ino}/${next}`
          if (!before.has(at)) before.set(at, child)
          const first = before.get(at)!
          return sink(name, first, mode, next, attributes === null ? null : { ...attributes, ino: first })
        })
    },
  },
]
