// What listings of one directory may show while it changes, told from outside: by when operations began and ended. It
// knows nothing of tables.
//
// The model: a *life* is one name from when it came until it went. While an operation is under way a life may be there or
// not; otherwise it is known. A *pass* is what one reader is shown from a cookie on, until it goes elsewhere.
//
// It checks of each pass
// - that every life which was there all the while is shown exactly once, if its cookie lies in what was passed over: also
//   when the pass began at a remembered cookie (seekdir), of whatever entry, there or not, and when it was broken off;
// - that nothing is shown which was not there, no name that it did not have, no inode that was not behind it;
// - that cookies rise, that "." and ".." come first, once each;
// and of each life that it has one cookie, for all readers, as long as it lasts.

/** What was listed could not have been there so. */
export class WrongListing extends Error {}

/** Moments are numbers that only grow: the order in which things began and ended. */
export class Moments {
  #last = 0

  next(): number {
    return ++this.#last
  }
}

/** What something was, from when until when at most. */
interface Stay<T> {
  value: T
  from: number
  until: number
}

const NEVER = Number.POSITIVE_INFINITY

export class Life {
  readonly #moments: Moments
  readonly maybeFrom: number
  surelyFrom = NEVER
  surelyUntil = NEVER
  maybeUntil = NEVER
  cookie: number | null = null
  readonly #spellings: Stay<string>[]
  readonly #inos: Stay<number>[] = []

  constructor(moments: Moments, spelling: string) {
    this.#moments = moments
    this.maybeFrom = moments.next()
    this.#spellings = [{ value: spelling, from: this.maybeFrom, until: NEVER }]
  }

  /** As it is spelled, or may be from now on. */
  get spelling(): string {
    return this.#spellings.at(-1)!.value
  }

  get ino(): number {
    return this.#inos.at(-1)!.value
  }

  /** The operation that makes it has ended. */
  came(ino: number): void {
    this.#inos.push({ value: ino, from: this.maybeFrom, until: NEVER })
    this.surelyFrom = this.#moments.next()
  }

  /** An operation that takes it away begins. */
  goes(): void {
    this.surelyUntil = this.#moments.next()
  }

  gone(): void {
    this.maybeUntil = this.#moments.next()
  }

  /** An operation begins after which it is spelled otherwise, or leads elsewhere. Call what it returns at its end. */
  changes({ spelling = this.spelling, ino = this.ino }): () => void {
    const before = [this.#spellings.at(-1)!, this.#inos.at(-1)!]
    const from = this.#moments.next()
    this.#spellings.push({ value: spelling, from, until: NEVER })
    this.#inos.push({ value: ino, from, until: NEVER })
    return () => {
      const until = this.#moments.next()
      for (const stay of before) stay.until = until
    }
  }

  wasThere(from: number, to: number): boolean {
    return this.surelyFrom <= from && to <= this.surelyUntil
  }

  mayHaveBeenThere(from: number, to: number): boolean {
    return this.maybeFrom <= to && from <= this.maybeUntil
  }

  wasSpelled(spelling: string, from: number, to: number): boolean {
    return this.#spellings.some((stay) => stay.value === spelling && stay.from <= to && from <= stay.until)
  }

  ledTo(ino: number, from: number, to: number): boolean {
    // Until it came nobody knows.
    return (
      this.#inos.length === 0 || this.#inos.some((stay) => stay.value === ino && stay.from <= to && from <= stay.until)
    )
  }
}

export class DirectoryHistory {
  readonly moments: Moments
  readonly title: string
  readonly #lives: Life[] = []
  readonly #bySpelling = new Map<string, Life[]>()
  /** Passes that must have shown lives whose cookie nobody has seen yet. */
  readonly #unclear: { pass: Pass; life: Life; upTo: number }[] = []
  readonly dots = new Map<string, number>()

  constructor(moments: Moments, title: string) {
    this.moments = moments
    this.title = title
  }

  /** An operation that makes a name begins. */
  comes(spelling: string): Life {
    const life = new Life(this.moments, spelling)
    this.#lives.push(life)
    this.#note(spelling, life)
    return life
  }

  /** As `life.changes`. */
  changes(life: Life, to: { spelling?: string; ino?: number }): () => void {
    if (to.spelling !== undefined) this.#note(to.spelling, life)
    return life.changes(to)
  }

  #note(spelling: string, life: Life): void {
    const lives = this.#bySpelling.get(spelling)
    if (lives === undefined) this.#bySpelling.set(spelling, [life])
    else if (!lives.includes(life)) lives.push(life)
  }

  pass(from: number): Pass {
    return new Pass(this, from)
  }

  /** Those that may be meant by a name shown in a call that began at `from`. */
  candidates(spelling: string, from: number, to: number): Life[] {
    const lives = this.#bySpelling.get(spelling) ?? []
    return lives.filter((life) => life.mayHaveBeenThere(from, to) && life.wasSpelled(spelling, from, to))
  }

  /** Checks that a pass from `pass.from` up to a cookie has left nothing out. */
  checkWhole(pass: Pass, upTo: number, endedAt: number): void {
    for (const life of this.#lives) {
      if (pass.shown.has(life) || !life.wasThere(pass.beganAt, endedAt)) continue
      if (life.cookie !== null) this.#checkLeftOut(pass, life, upTo)
      else if (pass.from === 0 && upTo === NEVER) this.#leftOut(pass, life, upTo)
      else this.#unclear.push({ pass, life, upTo })
    }
  }

  /** At the end, when all cookies that can be known are. Returns how many lives nobody has seen. */
  checkUnclear(): number {
    let unknown = 0
    for (const { pass, life, upTo } of this.#unclear) {
      if (life.cookie === null) unknown++
      else this.#checkLeftOut(pass, life, upTo)
    }
    return unknown
  }

  #checkLeftOut(pass: Pass, life: Life, upTo: number): void {
    const cookie = life.cookie as number
    if (pass.from < cookie && cookie <= upTo) this.#leftOut(pass, life, upTo)
  }

  #leftOut({ from }: Pass, life: Life, upTo: number): never {
    const where = `${this.title} from ${from} to ${upTo}`
    throw new WrongListing(`${where} leaves out ${life.spelling} (${life.cookie}), which was there all the while`)
  }
}

/** What one reader is shown from a cookie on. */
export class Pass {
  readonly #history: DirectoryHistory
  readonly from: number
  readonly beganAt: number
  readonly shown = new Set<Life>()
  readonly #dotsToCome: string[]
  /** The last cookie shown, or where it began. */
  at: number

  constructor(history: DirectoryHistory, from: number) {
    this.#history = history
    this.from = from
    this.at = from
    this.beganAt = history.moments.next()
    this.#dotsToCome = ['.', '..'].filter((name) => from < (history.dots.get(name) ?? NEVER))
  }

  /** An entry is shown, by a call that began at `calledAt`. */
  entry(name: string, ino: number, cookie: number, calledAt: number): void {
    const wrong = (what: string) =>
      new WrongListing(`${this.#history.title} from ${this.from}: ${name} (${cookie}) ${what}`)
    if (!Number.isSafeInteger(cookie - 1)) throw wrong('has no exact cookie')
    if (cookie <= this.at) throw wrong(`comes after cookie ${this.at}`)
    this.at = cookie
    const dot = this.#dotsToCome.shift()
    if (dot !== undefined || name === '.' || name === '..') {
      if (name !== dot) throw wrong(`stands where ${dot ?? 'a name'} is due`)
      if ((this.#history.dots.get(name) ?? cookie) !== cookie) throw wrong('has another cookie than before')
      this.#history.dots.set(name, cookie)
      return
    }
    const now = this.#history.moments.next()
    const candidates = this.#history.candidates(name, calledAt, now)
    if (candidates.length === 0) throw wrong('was not there')
    const fitting = candidates.filter((life) => life.cookie === null || life.cookie === cookie)
    if (fitting.length === 0) throw wrong(`had cookie ${candidates[0]!.cookie}`)
    const leading = fitting.filter((life) => life.ledTo(ino, calledAt, now))
    if (leading.length === 0) throw wrong(`did not lead to ${ino}`)
    const life = leading.find((candidate) => !this.shown.has(candidate))
    if (life === undefined) throw wrong('is shown twice')
    // Where two lives of one name may be meant, the cookie may be the other's.
    if (candidates.length === 1) life.cookie = cookie
    this.shown.add(life)
  }

  /** The reader was told that there is no more, or goes elsewhere. */
  finish(isWhole: boolean): void {
    if (isWhole && this.#dotsToCome.length > 0)
      throw new WrongListing(`${this.#history.title} ends before ${this.#dotsToCome[0]}`)
    this.#history.checkWhole(this, isWhole ? NEVER : this.at, this.#history.moments.next())
  }
}
