// What a filesystem must show, and what it may show after a crash (DESIGN section 5): a plain model of names and files
// that remembers every state it went through, and which of them were acknowledged as durable.
//
// The names are one history: after a crash they are one of its states, no older than the last acknowledged. Each file has
// a history of its own, likewise. Some states are tied: a rename over a name never shows without what its file held then;
// what an O_TRUNC left is not shown before the file is closed, synced, or 30 s have passed.

/** S_IFMT and the types. */
const TYPE = 0o170000
const DIRECTORY = 0o040000
const FILE = 0o100000

export interface FileState {
  content: Buffer
  /** Size and mtime as shown, in one string. */
  shown: string
  /** Held by an O_TRUNC until this time (virtual ms); 0: not. */
  heldUntilMs: number
  /** Need not be durable before that: an O_TRUNC may hold it, though it may be shown. */
  waitsUntilMs: number
  /** When it was made, and when what held it back ended. */
  sinceMs: number
}

export type Hold = Pick<FileState, 'heldUntilMs' | 'waitsUntilMs'>

interface FileHistory {
  states: FileState[]
  /** Index of the oldest state that may be found. */
  durable: number
}

interface NamesState {
  text: string
  /** Renames over a name so far: at least this state of the file comes with them. */
  brought: ReadonlyMap<number, number>
  sinceMs: number
}

export interface ModelInode {
  ino: number
  mode: number
  nlink: number
  target: string
  /** Names of a directory. */
  names: Map<string, number>
  /** Extended attributes, and how their values show. */
  xattrs: Map<string, string>
  parent: number
}

/** What was acknowledged: states of the names and of files. */
export interface Mark {
  names: number
  files: readonly (readonly [ino: number, state: number])[]
}

/** The oldest states that may be found. */
export interface Floor {
  names: number
  files: ReadonlyMap<number, number>
}

/** A tree as it was found, parents first. */
export interface Found {
  inodes: Map<number, ModelInode>
  files: Map<number, { content: Buffer; shown: string }>
}

export const ROOT = 1

export class Oracle {
  inodes = new Map<number, ModelInode>()
  readonly files = new Map<number, FileHistory>()
  readonly history: NamesState[] = []
  durableNames = 0
  /** What the next holder of the volume recovered: from then on nothing newer may be acknowledged. */
  #recovered: Floor | null = null
  readonly #now: () => number

  constructor(found: Found, now: () => number) {
    this.#now = now
    for (const [ino, inode] of found.inodes)
      this.inodes.set(ino, { ...inode, names: new Map(inode.names), xattrs: new Map(inode.xattrs) })
    for (const [ino, { content, shown }] of found.files)
      this.files.set(ino, { states: [{ content, shown, heldUntilMs: 0, waitsUntilMs: 0, sinceMs: now() }], durable: 0 })
    this.history.push({ text: textOf(this.inodes), brought: new Map(), sinceMs: now() })
  }

  inode(ino: number): ModelInode {
    const inode = this.inodes.get(ino)
    if (inode === undefined) throw new Error(`the model knows no inode ${ino}`)
    return inode
  }

  isDirectory(ino: number): boolean {
    return (this.inode(ino).mode & TYPE) === DIRECTORY
  }

  isFile(ino: number): boolean {
    return (this.inode(ino).mode & TYPE) === FILE
  }

  directories(): number[] {
    return [...this.inodes.values()]
      .filter(({ mode, nlink }) => (mode & TYPE) === DIRECTORY && nlink > 0)
      .map(({ ino }) => ino)
  }

  isWithin(ino: number, ancestor: number): boolean {
    for (let at = ino; ; at = this.inode(at).parent) {
      if (at === ancestor) return true
      if (at === ROOT) return false
    }
  }

  // Changes of names, each called in the turn in which it took effect.

  create(parent: number, name: string, ino: number, mode: number, shown: string, target = ''): void {
    if (this.inodes.has(ino) || this.files.has(ino)) throw new Error(`inode number ${ino} is given out twice`)
    const isDirectory = (mode & TYPE) === DIRECTORY
    const nlink = isDirectory ? 2 : 1
    this.inodes.set(ino, { ino, mode, nlink, target, names: new Map(), xattrs: new Map(), parent })
    if ((mode & TYPE) === FILE)
      this.files.set(ino, {
        states: [{ content: Buffer.alloc(0), shown, heldUntilMs: 0, waitsUntilMs: 0, sinceMs: this.#now() }],
        durable: 0,
      })
    this.inode(parent).names.set(name, ino)
    if (isDirectory) this.inode(parent).nlink++
    this.#note()
  }

  chmod(ino: number, mode: number): void {
    const inode = this.inode(ino)
    inode.mode = (inode.mode & TYPE) | mode
    this.#note()
  }

  /** `shown`: how the value shows; null: it is removed. */
  setXattr(ino: number, name: string, shown: string | null): void {
    const { xattrs } = this.inode(ino)
    if (shown === null) xattrs.delete(name)
    else xattrs.set(name, shown)
    this.#note()
  }

  link(ino: number, parent: number, name: string): void {
    this.inode(ino).nlink++
    this.inode(parent).names.set(name, ino)
    this.#note()
  }

  unlink(parent: number, name: string): void {
    this.#drop(parent, name)
    this.#note()
  }

  #drop(parent: number, name: string): void {
    const { names } = this.inode(parent)
    const ino = names.get(name)
    if (ino === undefined) throw new Error(`the model has no ${name} in ${parent}`)
    names.delete(name)
    const inode = this.inode(ino)
    if ((inode.mode & TYPE) === DIRECTORY) {
      inode.nlink = 0
      this.inode(parent).nlink--
    } else inode.nlink--
  }

  /** What a rename must fail with; null where it must succeed. */
  renameError(from: number, ino: number, to: number, newName: string): string | null {
    const target = this.inode(to).names.get(newName)
    const moves = this.isDirectory(ino)
    if (moves && from !== to && this.isWithin(to, ino)) return 'EINVAL'
    if (target === undefined || target === ino) return null
    const replaces = this.isDirectory(target)
    if (replaces && from !== to && this.isWithin(from, target)) return 'ENOTEMPTY'
    if (moves && !replaces) return 'ENOTDIR'
    if (!moves && replaces) return 'EISDIR'
    return replaces && this.inode(target).names.size > 0 ? 'ENOTEMPTY' : null
  }

  rename(parent: number, name: string, newParent: number, newName: string): void {
    const ino = this.inode(parent).names.get(name)
    if (ino === undefined) throw new Error(`the model has no ${name} in ${parent}`)
    const target = this.inode(newParent).names.get(newName)
    if (target === ino) return
    if (target !== undefined) this.#drop(newParent, newName)
    this.inode(parent).names.delete(name)
    this.inode(newParent).names.set(newName, ino)
    const inode = this.inode(ino)
    if ((inode.mode & TYPE) === DIRECTORY) {
      this.inode(parent).nlink--
      this.inode(newParent).nlink++
      inode.parent = newParent
    }
    const isBrought = target !== undefined && this.isFile(ino)
    // What the file holds now comes with the rename, whatever O_TRUNC holds back.
    if (isBrought) this.unhold(ino)
    this.#note(isBrought ? ino : null)
  }

  #note(broughtIno: number | null = null): void {
    let { brought } = this.history.at(-1) as NamesState
    if (broughtIno !== null)
      brought = new Map(brought).set(broughtIno, (this.files.get(broughtIno) as FileHistory).states.length - 1)
    this.history.push({ text: textOf(this.inodes), brought, sinceMs: this.#now() })
  }

  // Changes of files.

  content(ino: number): Buffer {
    return (this.files.get(ino) as FileHistory).states.at(-1)?.content as Buffer
  }

  /** What it then shows is filled in by the caller. */
  change(ino: number, content: Buffer, hold: Hold): FileState {
    const state = { content, shown: 'unknown', ...hold, sinceMs: this.#now() }
    this.files.get(ino)?.states.push(state)
    return state
  }

  /** Closed, or synced: what O_TRUNC held back may be shown from now on. */
  unhold(ino: number): void {
    for (const state of this.files.get(ino)?.states ?? []) {
      if (state.waitsUntilMs === 0) continue
      state.sinceMs = Math.max(state.sinceMs, Math.min(state.waitsUntilMs, this.#now()))
      state.heldUntilMs = 0
      state.waitsUntilMs = 0
    }
  }

  /** Which state of a file there is now. */
  stateOf(ino: number): number {
    return (this.files.get(ino) as FileHistory).states.length - 1
  }

  /** Whether what a read of the beginning of a file gave was there in one of its states since `since`. */
  hadSince(ino: number, since: number, lengthBytes: number, bytes: Buffer): boolean {
    const { states } = this.files.get(ino) as FileHistory
    return states.slice(since).some(({ content }) => content.subarray(0, lengthBytes).equals(bytes))
  }

  /** How what an O_TRUNC leaves is held until then: not at all for certain where something may take it along. */
  truncationHold(ino: number, untilMs: number, mayShow: boolean): Hold {
    const before = this.holdOf(ino)
    const waitsUntilMs = before.waitsUntilMs || untilMs
    return { heldUntilMs: before.heldUntilMs || (mayShow ? 0 : waitsUntilMs), waitsUntilMs }
  }

  /** How the next state of a file is held: as the last one. */
  holdOf(ino: number): Hold {
    const { heldUntilMs = 0, waitsUntilMs = 0 } = this.files.get(ino)?.states.at(-1) ?? {}
    return { heldUntilMs, waitsUntilMs }
  }

  // What is durable.

  /** All there is now, of the names and of these files. */
  mark(inos: 'all' | readonly number[]): Mark {
    const wanted = inos === 'all' ? [...this.files.keys()] : inos
    return {
      names: this.history.length - 1,
      files: wanted.map((ino) => [ino, (this.files.get(ino) as FileHistory).states.length - 1] as const),
    }
  }

  /** It was acknowledged. Returns what is wrong with that, or null. */
  acknowledge(mark: Mark): string | null {
    if (this.#recovered !== null) {
      const { names, files } = this.#recovered
      if (mark.names > names)
        return `names of state ${mark.names} acknowledged after another writer found only ${names}`
      for (const [ino, state] of mark.files) {
        const found = files.get(ino)
        if (found !== undefined && state > found)
          return `state ${state} of inode ${ino} acknowledged after another writer found only ${found}`
      }
    }
    this.durableNames = Math.max(this.durableNames, mark.names)
    for (const [ino, state] of mark.files) {
      const file = this.files.get(ino) as FileHistory
      file.durable = Math.max(file.durable, state)
    }
    return null
  }

  /** In calm weather a commit has taken along all that was there before `limitMs`. */
  committedBefore(limitMs: number): void {
    for (const [index, { sinceMs }] of this.history.entries())
      if (sinceMs <= limitMs) this.durableNames = Math.max(this.durableNames, index)
    for (const file of this.files.values()) {
      const { states } = file
      for (let index = 0; index < states.length; index++) {
        const { sinceMs, waitsUntilMs } = states[index] as FileState
        if (Math.max(sinceMs, waitsUntilMs) > limitMs) break
        file.durable = Math.max(file.durable, index)
      }
    }
  }

  /** What is acknowledged by now. */
  floor(): Floor {
    return {
      names: this.durableNames,
      files: new Map([...this.files].map(([ino, { durable }]) => [ino, durable])),
    }
  }

  /** Compares what the next mount found. Returns what is wrong, or null. */
  recovered(found: Found): string | null {
    const match = this.#match(found, this.floor())
    if (typeof match === 'string') return match
    this.#recovered = match
    return null
  }

  /** Compares what somebody sees who looked when `floor` was acknowledged, or later. Returns what is wrong, or null. */
  seen(found: Found, floor: Floor): string | null {
    const match = this.#match(found, floor)
    return typeof match === 'string' ? match : null
  }

  /** The newest states that this can be, or what is wrong. */
  #match(found: Found, floor: Floor): Floor | string {
    const text = textOf(found.inodes)
    const candidates: number[] = []
    for (const [index, state] of this.history.entries())
      if (index >= floor.names && state.text === text) candidates.push(index)
    if (candidates.length === 0) {
      const isOld = this.history.some((state) => state.text === text)
      return `${isOld ? 'names older than acknowledged' : 'names as they never were'} (${floor.names} of ${this.history.length}):\n${text}\nnow:\n${this.history.at(-1)?.text}\nacknowledged:\n${this.history[floor.names]?.text}`
    }
    const newest = new Map<number, number>()
    for (const [ino, { content, shown }] of found.files) {
      const { states } = this.files.get(ino) as FileHistory
      const durable = floor.files.get(ino) ?? 0
      let last = -1
      let everWas = false
      for (const [index, state] of states.entries()) {
        if (state.shown !== shown || !state.content.equals(content)) continue
        everWas = true
        if (index >= durable && (state.heldUntilMs <= this.#now() || index === durable)) last = index
      }
      if (last === -1) {
        const why = everWas
          ? `a state that may not be shown (durable ${durable} of ${states.length})`
          : 'never like that'
        return `inode ${ino} holds ${content.length} bytes, ${shown}: ${why}; it was ${states.map((state) => `${state.content.length}/${state.shown}${state.heldUntilMs > 0 ? 'h' : ''}`).join(' ')}`
      }
      newest.set(ino, last)
    }
    const isBrought = candidates.some((index) =>
      [...(this.history[index] as NamesState).brought].every(([ino, state]) => (newest.get(ino) ?? state) >= state),
    )
    if (!isBrought) return `a rename over a name came without its data:\n${text}`
    return { names: candidates.at(-1) as number, files: newest }
  }

  /** Compares with what is visible now, in a filesystem that did not crash. */
  visible(found: Found): string | null {
    const text = textOf(found.inodes)
    if (text !== this.history.at(-1)?.text) return `names are\n${text}\nnot\n${this.history.at(-1)?.text}`
    for (const [ino, { content, shown }] of found.files) {
      const state = this.files.get(ino)?.states.at(-1) as FileState
      if (state.shown !== shown) return `inode ${ino} shows ${shown}, not ${state.shown}`
      if (!state.content.equals(content)) return `inode ${ino} has other bytes than were written`
    }
    return null
  }
}

/** Whether two looks found the same. */
export function isSame(a: Found, b: Found): boolean {
  if (textOf(a.inodes) !== textOf(b.inodes) || a.files.size !== b.files.size) return false
  return [...a.files].every(([ino, { content, shown }]) => {
    const other = b.files.get(ino)
    return other !== undefined && other.shown === shown && other.content.equals(content)
  })
}

/** Names, inode numbers, modes, links and extended attributes of a tree. */
function textOf(inodes: ReadonlyMap<number, ModelInode>): string {
  const lines: string[] = []
  const visit = (ino: number, path: string) => {
    const { names } = inodes.get(ino) as ModelInode
    for (const name of [...names.keys()].sort()) {
      const child = inodes.get(names.get(name) as number) as ModelInode
      const shown = `${child.mode.toString(8)} ${child.nlink} ${child.target}${xattrsIn(child)}`
      lines.push(`${path}/${name} ${child.ino} ${shown}`)
      if ((child.mode & TYPE) === DIRECTORY) visit(child.ino, `${path}/${name}`)
    }
  }
  const rootXattrs = xattrsIn(inodes.get(ROOT) as ModelInode)
  if (rootXattrs !== '') lines.push(`/${rootXattrs}`)
  visit(ROOT, '')
  return lines.join('\n')
}

function xattrsIn({ xattrs }: ModelInode): string {
  return [...xattrs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, shown]) => ` ${name}=${shown}`)
    .join('')
}
