// Programs on one mount: random operations on few names, so that they collide, each told to the oracle in the turn in
// which it took effect. An operation that has to wait keeps the others out until it is answered; what runs beside them are
// syncs, checkpoints, timers and everything else that the filesystem does by itself.
import { FsError, isPromise, type MaybePromise, type Random, seededRandom } from '../../src/platform/index.ts'
import type { Attributes, Handle, Ino } from '../../src/vfs/index.ts'
import { chooseXattr, shownValue, XATTR_SHARE } from './attributes.ts'
import type { ClientOptions } from './client-options.ts'
import { COPY_SHARE, chooseCopy } from './copying.ts'
import { isMissing } from './counted-store.ts'
import { CALLER, readAll, shownOf } from './explore.ts'
import { type Hold, type Mark, ROOT } from './oracle.ts'

const NAMES = ['a', 'b', 'c', 'd', 'e']
const O_RDWR = 2
const O_TRUNC = 0o1000
/** Operations that a mount which cannot make anything durable must refuse. */
const CHANGES =
  /^(create|mkdir|symlink|remove|link|rename|chmod|write|truncate|copy|setxattr|removexattr|open .* O_TRUNC)/
/** What is written is cut out of these: drawing each byte would take most of a world's time. */
const BYTES = seededRandom(1).bytes(1 << 20)
const TRUNCATE_HOLD_MS = 30_000

interface OpenFile {
  ino: Ino
  handle: Handle
  writable: boolean
  /** Reads under way: it is not closed meanwhile. */
  readers: number
}

export class Client {
  readonly #options: ClientOptions
  readonly #open: OpenFile[] = []
  /** The operation under way, while it waits. */
  #busy: Promise<void> | null = null
  /** Syncs under way. */
  readonly #syncs = new Map<Promise<void>, 'all' | readonly number[]>()
  /** Reads that others run beside. */
  readonly #reads = new Set<Promise<void>>()
  /** Errors that a mount gives once it can write no more. */
  refusals = 0
  operations = 0
  /** Syncs acknowledged that had something to make durable. */
  acknowledged = 0

  constructor(options: ClientOptions) {
    this.#options = options
  }

  /** Whether an operation waits for its answer: what it did is not known now. */
  get isBusy(): boolean {
    return this.#busy !== null
  }

  /** Runs `steps` operations, with pauses. */
  async run(steps: number): Promise<void> {
    const { process, random, meanPauseMs } = this.#options
    for (let step = 0; step < steps && this.refusals < 20; step++) {
      await process.clock.sleep(random.next() * 2 * meanPauseMs)
      const before = this.refusals
      await this.#any()
      if (this.refusals > before) await process.clock.sleep(random.next() * 10_000)
      this.operations++
    }
  }

  #any(): Promise<void> {
    const { copies, xattrs } = this.#options
    if (copies !== null && copies.next() < COPY_SHARE) return this.#copy(copies)
    if (xattrs !== null && xattrs.next() < XATTR_SHARE) return this.#xattr(xattrs)
    return this.#operation()
  }

  /** Waits for all syncs and reads begun, and closes all files. */
  async finish(): Promise<void> {
    while (this.#syncs.size > 0) await Promise.all(this.#syncs.keys())
    while (this.#reads.size > 0) await Promise.all(this.#reads)
    for (const file of [...this.#open]) await this.#close(file)
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#options.random.next() * from.length)] as T
  }

  /** Calls the filesystem. `apply` runs in the turn in which it succeeded. Resolves to null when it failed, with the
   *  error told to `refused`. */
  async #call<T>(
    what: string,
    invoke: () => MaybePromise<T>,
    apply: (result: T) => Promise<void> | void,
    expected: string | null = null,
  ): Promise<T | null> {
    while (this.#busy !== null) await this.#busy
    let release = () => {}
    const keepOthersOut = () => {
      if (this.#busy !== null) return
      this.#busy = new Promise((resolve) => {
        release = () => {
          this.#busy = null
          resolve()
        }
      })
    }
    this.#options.note(what)
    const { hasFailed, isLost } = this.#options
    const mustFail = isLost() && !what.startsWith('close')
    const mustRefuse = hasFailed() && CHANGES.test(what)
    let outcome: T
    try {
      const answer = invoke()
      if (isPromise(answer)) {
        keepOthersOut()
        outcome = await answer
      } else outcome = answer
    } catch (error) {
      release()
      if (!(error instanceof FsError)) throw error
      if (error.code === 'EIO' || error.code === 'EROFS') this.#refused(what, error)
      else if (error.code !== expected) this.#options.fail(`${what} gave ${error.code}, not ${expected ?? 'success'}`)
      return null
    }
    if (mustFail) this.#options.fail(`${what} succeeded though the volume was lost`)
    else if (mustRefuse && hasFailed()) this.#options.fail(`${what} succeeded though nothing can be made durable`)
    else if (expected !== null) this.#options.fail(`${what} succeeded, but should have given ${expected}`)
    else {
      const more = apply(outcome)
      if (more !== undefined) {
        keepOthersOut()
        await more
      }
    }
    release()
    return outcome
  }

  /** A mount may refuse what it cannot do: when its store did not answer, or it lost the volume. */
  #refused(what: string, error: FsError): void {
    const { fail, hadTrouble, isSole } = this.#options
    this.refusals++
    if (!isSole()) return
    if (isMissing(error)) fail(`${what} failed, as an object is gone: ${error.message}`)
    else if (!hadTrouble()) fail(`${what} failed though every request was answered: ${error.message}`)
  }

  #directory(): number {
    const { oracle, random } = this.#options
    return random.next() < 0.5 ? ROOT : this.#pick(oracle.directories())
  }

  async #operation(): Promise<void> {
    const { isChurning, random } = this.#options
    const dice = random.next()
    if (isChurning && dice < 0.3)
      await (dice < 0.1 ? this.#remove() : dice < 0.2 ? this.#write(true) : this.#readAside())
    else await this.#usual(random.next())
  }

  async #usual(dice: number): Promise<void> {
    if (dice < 0.16) await this.#create()
    else if (dice < 0.2) await this.#mkdir()
    else if (dice < 0.22) await this.#symlink()
    else if (dice < 0.36) await this.#write(false)
    else if (dice < 0.42) await this.#write(true)
    else if (dice < 0.46) await this.#truncate()
    else if (dice < 0.6) await this.#rename()
    else if (dice < 0.66) await this.#remove()
    else if (dice < 0.7) await this.#link()
    else if (dice < 0.73) await this.#chmod()
    else if (dice < 0.76) await this.#read()
    else if (dice < 0.78) await this.#readAside()
    else if (dice < 0.84) await this.#closeOne()
    else if (dice < 0.93) await this.#fsync()
    else if (dice < 0.96) await this.#fsyncDirectory()
    else await this.#sync()
  }

  // Names.

  /** A name and what it stands for, looked up as the kernel would; its reference is given back. */
  async #lookup(directory: number, name: string): Promise<number | null> {
    const { fs, oracle } = this.#options
    const there = () => oracle.inode(directory).names.get(name)
    if (oracle.inode(directory).nlink === 0) return null
    while (this.#busy !== null) await this.#busy
    const expected = there() === undefined ? 'ENOENT' : null
    const entry = await this.#call(
      `lookup ${name} in ${directory}`,
      () => fs.lookup(CALLER, directory as Ino, Buffer.from(name)),
      ({ attributes }) => {
        if (attributes.ino !== there())
          this.#options.fail(`${name} in ${directory} is ${attributes.ino}, not ${there()}`)
      },
      expected,
    )
    return entry?.attributes.ino ?? null
  }

  #forget(ino: number | null): void {
    if (ino !== null && this.#options.forgets) this.#options.fs.forget(ino as Ino, 1)
  }

  async #create(): Promise<void> {
    const { fs, oracle, random } = this.#options
    const directory = this.#directory()
    const name = this.#pick(NAMES)
    const there = await this.#lookup(directory, name)
    if (there !== null) {
      await this.#openFile(there, random.next() < 0.4)
      return this.#forget(there)
    }
    while (this.#busy !== null) await this.#busy
    if (oracle.inode(directory).nlink === 0 || oracle.inode(directory).names.has(name)) return
    const created = await this.#call(
      `create ${name} in ${directory}`,
      () => fs.create(CALLER, directory as Ino, Buffer.from(name), 0o644, { flags: O_RDWR }),
      ({ entry, opened }) => {
        const { ino, mode } = entry.attributes
        oracle.create(directory, name, ino, mode, shownOf(entry.attributes))
        this.#open.push({ ino, handle: opened.handle, writable: true, readers: 0 })
      },
    )
    if (created !== null) this.#forget(created.entry.attributes.ino)
  }

  async #openFile(ino: number, truncates: boolean): Promise<void> {
    const { fs, isPressed, now, oracle } = this.#options
    if (!oracle.isFile(ino)) return
    const hadBytes = oracle.content(ino).length > 0
    await this.#call(
      `open ${ino}${truncates ? ' O_TRUNC' : ''}`,
      () => fs.open(CALLER, ino as Ino, { flags: O_RDWR | (truncates ? O_TRUNC : 0) }),
      ({ handle }) => {
        this.#open.push({ ino: ino as Ino, handle, writable: true, readers: 0 })
        if (!truncates) return
        // A sync that began before, and needs the file, may take the truncation along, or not.
        const isAsked = [...this.#syncs.values()].some((inos) => inos === 'all' || inos.includes(ino))
        const untilMs = hadBytes ? now() + TRUNCATE_HOLD_MS : 0
        return this.#changed(ino, Buffer.alloc(0), oracle.truncationHold(ino, untilMs, isAsked || isPressed))
      },
    )
  }

  async #mkdir(): Promise<void> {
    const { fs, oracle } = this.#options
    const directory = this.#directory()
    const name = this.#pick(NAMES)
    if (oracle.inode(directory).nlink === 0 || oracle.directories().length > 8) return
    while (this.#busy !== null) await this.#busy
    const made = await this.#call(
      `mkdir ${name} in ${directory}`,
      () => fs.mkdir(CALLER, directory as Ino, Buffer.from(name), 0o755),
      ({ attributes }) => oracle.create(directory, name, attributes.ino, attributes.mode, ''),
      oracle.inode(directory).nlink === 0 ? 'ENOENT' : oracle.inode(directory).names.has(name) ? 'EEXIST' : null,
    )
    if (made !== null) this.#forget(made.attributes.ino)
  }

  async #symlink(): Promise<void> {
    const { fs, oracle, random } = this.#options
    const directory = this.#directory()
    const name = this.#pick(NAMES)
    const target = `to-${Math.floor(random.next() * 1000)}`
    while (this.#busy !== null) await this.#busy
    if (oracle.inode(directory).nlink === 0) return
    const made = await this.#call(
      `symlink ${name} in ${directory}`,
      () => fs.symlink(CALLER, directory as Ino, Buffer.from(name), Buffer.from(target)),
      ({ attributes }) => oracle.create(directory, name, attributes.ino, attributes.mode, '', target),
      oracle.inode(directory).names.has(name) ? 'EEXIST' : null,
    )
    if (made !== null) this.#forget(made.attributes.ino)
  }

  async #remove(): Promise<void> {
    const { fs, oracle } = this.#options
    const directory = this.#directory()
    const name = this.#pick(NAMES)
    const ino = await this.#lookup(directory, name)
    if (ino === null) return
    while (this.#busy !== null) await this.#busy
    if (oracle.inode(directory).names.get(name) === ino) {
      const removes = oracle.isDirectory(ino)
      await this.#call(
        `remove ${name} from ${directory}`,
        () => (removes ? fs.rmdir : fs.unlink)(CALLER, directory as Ino, Buffer.from(name)),
        () => oracle.unlink(directory, name),
        removes && oracle.inode(ino).names.size > 0 ? 'ENOTEMPTY' : null,
      )
    }
    this.#forget(ino)
  }

  async #link(): Promise<void> {
    const { fs, oracle } = this.#options
    const from = await this.#someFile()
    if (from === null) return
    const directory = this.#directory()
    const name = this.#pick(NAMES)
    while (this.#busy !== null) await this.#busy
    if (oracle.inode(from).nlink > 0 && oracle.inode(directory).nlink > 0) {
      const made = await this.#call(
        `link ${from} as ${name} in ${directory}`,
        () => fs.link(CALLER, from as Ino, directory as Ino, Buffer.from(name)),
        () => oracle.link(from, directory, name),
        oracle.inode(directory).names.has(name) ? 'EEXIST' : null,
      )
      if (made !== null) this.#forget(from)
    }
    this.#forget(from)
  }

  async #rename(): Promise<void> {
    const { fs, oracle } = this.#options
    const from = this.#directory()
    const name = this.#pick(NAMES)
    const to = this.#directory()
    const newName = this.#pick(NAMES)
    const ino = await this.#lookup(from, name)
    if (ino === null) return
    while (this.#busy !== null) await this.#busy
    const stillThere = oracle.inode(from).names.get(name) === ino
    if (stillThere && oracle.inode(to).nlink > 0) {
      await this.#call(
        `rename ${name} in ${from} to ${newName} in ${to}`,
        () =>
          fs.rename(
            CALLER,
            { parent: from as Ino, name: Buffer.from(name) },
            { parent: to as Ino, name: Buffer.from(newName) },
            0,
          ),
        () => oracle.rename(from, name, to, newName),
        oracle.renameError(from, ino, to, newName),
      )
    }
    this.#forget(ino)
  }

  async #chmod(): Promise<void> {
    const { fs, oracle } = this.#options
    const ino = await this.#someFile()
    if (ino === null) return
    const mode = this.#pick([0o600, 0o640, 0o644])
    await this.#call(
      `chmod ${ino}`,
      () => fs.setattr(CALLER, ino as Ino, { mode }),
      () => oracle.chmod(ino, mode),
    )
    this.#forget(ino)
  }

  async #xattr(random: Random): Promise<void> {
    const { fs, oracle } = this.#options
    const directory = random.next() < 0.3 ? this.#directory() : null
    const ino = directory ?? (await this.#someFile())
    if (ino === null) return
    while (this.#busy !== null) await this.#busy
    const { nlink, xattrs } = oracle.inode(ino)
    if (nlink > 0) {
      const { what, name, value, expected } = chooseXattr(random, xattrs)
      const change = () =>
        value === null
          ? fs.removexattr!(CALLER, ino as Ino, name)
          : fs.setxattr!(CALLER, ino as Ino, { name, value, flags: 0 })
      const done = () => oracle.setXattr(ino, name.toString(), value === null ? null : shownValue(value))
      await this.#call(`${what} of ${ino}`, change, done, expected)
    }
    if (directory === null) this.#forget(ino)
  }

  // Files.

  /** A file by a name, referenced. */
  async #someFile(): Promise<number | null> {
    const ino = await this.#lookup(this.#directory(), this.#pick(NAMES))
    if (ino === null) return null
    if (this.#options.oracle.isFile(ino)) return ino
    this.#forget(ino)
    return null
  }

  /** The file changed in this turn: asks what it shows. */
  #changed(ino: number, content: Buffer, hold: Hold): Promise<void> | undefined {
    const { fs, oracle, fail } = this.#options
    const state = oracle.change(ino, content, hold)
    const note = ({ attributes }: { attributes: Attributes }) => {
      if (attributes.sizeBytes !== content.length)
        fail(`inode ${ino} shows ${attributes.sizeBytes} bytes, not ${content.length}`)
      state.shown = shownOf(attributes)
    }
    const answer = fs.getattr(ino as Ino)
    if (!isPromise(answer)) {
      note(answer)
      return undefined
    }
    return answer.then(note, (error: unknown) => {
      if (!(error instanceof FsError)) throw error
      this.#refused(`getattr ${ino}`, error)
    })
  }

  async #write(large: boolean): Promise<void> {
    const { fs, oracle, random, smallBytes, largeBytes } = this.#options
    const files = this.#open.filter(({ writable }) => writable)
    if (files.length === 0) return this.#create()
    const { ino, handle } = this.#pick(files)
    const lengthBytes = 1 + Math.floor(random.next() * (large ? largeBytes : smallBytes))
    const from = Math.floor(random.next() * (BYTES.length - lengthBytes))
    const body = BYTES.subarray(from, from + lengthBytes)
    let offset = 0
    await this.#call(
      `write ${body.length} to ${ino}`,
      () => {
        offset = Math.floor(random.next() * 1.2 * oracle.content(ino).length)
        return fs.write(handle, ino, offset, body)
      },
      () => {
        const before = oracle.content(ino)
        const after = Buffer.alloc(Math.max(before.length, offset + body.length))
        before.copy(after)
        body.copy(after, offset)
        return this.#changed(ino, after, oracle.holdOf(ino))
      },
    )
  }

  async #copy(random: Random): Promise<void> {
    const { fs, oracle, fail } = this.#options
    while (this.#busy !== null) await this.#busy
    const copy = chooseCopy(random, this.#open, (ino) => oracle.content(ino))
    if (copy === null) return this.#create()
    const { what, from, to, lengthBytes, takes, after, expected } = copy
    const done = (taken: number) => {
      if (taken !== takes) fail(`${what} took ${taken} bytes`)
      return taken === 0 ? undefined : this.#changed(to.ino, after, oracle.holdOf(to.ino))
    }
    await this.#call(what, () => fs.copyFileRange(from, to, lengthBytes, 0), done, expected)
  }

  async #truncate(): Promise<void> {
    const { fs, oracle, random } = this.#options
    const ino = await this.#someFile()
    if (ino === null) return
    let size = 0
    await this.#call(
      `truncate ${ino}`,
      () => {
        size = Math.floor(random.next() * 1.3 * oracle.content(ino).length)
        return fs.setattr(CALLER, ino as Ino, { sizeBytes: size })
      },
      () => {
        const after = Buffer.alloc(size)
        oracle.content(ino).copy(after)
        return this.#changed(ino, after, oracle.holdOf(ino))
      },
    )
    this.#forget(ino)
  }

  async #read(): Promise<void> {
    const { fs, oracle, fail } = this.#options
    if (this.#open.length === 0) return
    const { ino } = this.#pick(this.#open)
    const expected: { content: Buffer } = { content: Buffer.alloc(0) }
    await this.#call(
      `read ${ino}`,
      () => {
        expected.content = oracle.content(ino)
        return readAll(fs, ino, expected.content.length)
      },
      (content) => {
        if (!content.equals(expected.content)) fail(`inode ${ino} reads other bytes than were written`)
      },
    )
  }

  /** A read that others run beside: what it gives was there at some moment while it was under way. */
  async #readAside(): Promise<void> {
    while (this.#busy !== null) await this.#busy
    if (this.#open.length === 0) return
    const { fs, oracle, fail, note } = this.#options
    const file = this.#pick(this.#open)
    const { ino, handle } = file
    const lengthBytes = Math.min(oracle.content(ino).length, 1 << 20)
    if (lengthBytes === 0) return
    const what = `read ${ino} aside`
    note(what)
    const since = oracle.stateOf(ino)
    file.readers++
    const done = attempt(() => fs.read(handle, ino, 0, lengthBytes))
      .then((parts) => {
        if (!oracle.hadSince(ino, since, lengthBytes, Buffer.concat(parts)))
          fail(`${what} gives other bytes than inode ${ino} had meanwhile`)
      })
      .catch((error: unknown) => {
        if (error instanceof FsError && error.code === 'EIO') this.#refused(what, error)
        else fail(`${what} failed with ${error}`)
      })
      .finally(() => {
        file.readers--
        this.#reads.delete(done)
      })
    this.#reads.add(done)
  }

  async #closeOne(): Promise<void> {
    const idle = this.#open.filter(({ readers }) => readers === 0)
    if (idle.length > 0) await this.#close(this.#pick(idle))
  }

  async #close(file: OpenFile): Promise<void> {
    const { fs, oracle } = this.#options
    this.#open.splice(this.#open.indexOf(file), 1)
    await this.#call(
      `close ${file.ino}`,
      () => fs.release(file.handle, file.ino),
      () => {
        if (!this.#open.some(({ ino, writable }) => ino === file.ino && writable)) oracle.unhold(file.ino)
      },
    )
  }

  // Syncs: begun now, answered whenever they are.

  async #begin(
    what: string,
    inos: 'all' | readonly number[],
    mark: () => Mark,
    sync: () => Promise<void>,
  ): Promise<void> {
    while (this.#busy !== null) await this.#busy
    const { oracle, fail } = this.#options
    this.#options.note(what)
    const promised = mark()
    const done = attempt(sync).then(
      () => {
        this.acknowledged++
        const wrong = oracle.acknowledge(promised)
        if (wrong !== null) fail(`${what}: ${wrong}`)
      },
      (error: unknown) => {
        if (error instanceof FsError && error.code === 'EIO') this.#refused(what, error)
        else fail(`${what} failed with ${error}`)
      },
    )
    this.#syncs.set(done, inos)
    void done.then(() => this.#syncs.delete(done))
  }

  async #fsync(): Promise<void> {
    const { fs, oracle } = this.#options
    if (this.#open.length === 0) return
    const { ino, handle } = this.#pick(this.#open)
    // What O_TRUNC holds back may be shown by a sync of the file that is under way.
    await this.#begin(
      `fsync ${ino}`,
      [ino],
      () => {
        oracle.unhold(ino)
        return oracle.mark([ino])
      },
      () => fs.fsync(handle, ino, false),
    )
  }

  async #fsyncDirectory(): Promise<void> {
    const { fs, oracle } = this.#options
    const directory = this.#pick(oracle.directories().filter((ino) => ino !== ROOT))
    if (directory === undefined) return
    await this.#begin(
      `fsync of directory ${directory}`,
      [],
      () => oracle.mark([]),
      () => fs.fsyncdir(directory as Ino),
    )
  }

  async #sync(): Promise<void> {
    const { fs, oracle } = this.#options
    await this.#begin(
      'fsync of the root',
      'all',
      () => {
        for (const ino of oracle.files.keys()) oracle.unhold(ino)
        return oracle.mark('all')
      },
      () => fs.fsyncdir(ROOT as Ino),
    )
  }
}

/** What a call gives, with what it throws at once as a rejection. */
async function attempt<T>(call: () => MaybePromise<T>): Promise<T> {
  return call()
}
