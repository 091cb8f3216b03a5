// Reading the journal of a damaged volume: what is missing or damaged is left out and told, the rest is replayed. Records
// are physical, so that what a commit says stands by itself, whatever became of those before it.
//
// Must stay true:
// - What lies behind a gap of a tenure whose end is not known is void, as ever: it was under way when the writer died.
//   Where a seal is known, by `root` or because it is there, every commit before it was made; and so was every one that a
//   commit behind it calls acknowledged: there a gap is damage.
// - A damaged object takes its place all the same: what lies behind it may have been acknowledged, and is replayed; unless
//   it is of a seal's size, a header alone, which no commit has: that ends the tenure.
// - Nothing is deleted here. Damaged commits are trimmed with those that can be read, once a checkpoint contains these;
//   until then everything lies as it was found, and can be salvaged again.
import { FsError } from '../platform/index.ts'
import {
  COMMIT_HEADER_BYTES,
  type DecodedCommit,
  decodeCommit,
  encodeSeal,
  journalKey,
  journalPrefix,
} from './commit-format.ts'
import { listAll } from './read-object.ts'
import type { Tenure } from './root.ts'
import {
  type FoundTenures,
  isToSeal,
  type JournalSource,
  readAll,
  readIfThere,
  type SealOrder,
  sealOrRead,
} from './seal.ts'

/** An object of the journal, or why it cannot be read. */
type Found = { commit: DecodedCommit } | { damage: string; bytes: number }

/** As `readTenures`, leaving out what cannot be read. With `seal`, a seal that is damaged or gone is put again. */
export async function salvageTenures(
  source: JournalSource,
  slot: number,
  tenures: readonly Tenure[],
  seal: SealOrder | null,
): Promise<FoundTenures> {
  const found: FoundTenures = { tenures: [], commits: [], commitKeys: [], leftOut: [] }
  for (const tenure of tenures) await new TenureSalvage(source, slot, tenure, seal, found).run()
  return found
}

class TenureSalvage {
  readonly #objects = new Map<number, Found>()

  constructor(
    readonly source: JournalSource,
    readonly slot: number,
    readonly tenure: Tenure,
    readonly seal: SealOrder | null,
    readonly found: FoundTenures,
  ) {}

  async run(): Promise<void> {
    const { tenure, found } = this
    await this.#readObjects()
    const sealSeq = this.#knownEnd()
    if (sealSeq === null) {
      found.tenures.push({ ...tenure, sealSeq: await this.#toOpenEnd() })
      return
    }
    await this.#readMissing(sealSeq)
    let missingFrom: number | null = null
    for (let seq = tenure.firstSeq; seq <= sealSeq; seq++) {
      const object = this.#objects.get(seq)
      if (object === undefined && seq < sealSeq) {
        missingFrom ??= seq
        continue
      }
      if (missingFrom !== null) this.#tellGap(missingFrom, seq - 1)
      missingFrom = null
      if (seq < sealSeq) this.#take(seq, object as Found)
    }
    await this.#checkSeal(sealSeq)
    found.tenures.push({ ...tenure, sealSeq })
  }

  async #readObjects(): Promise<void> {
    const { source, slot, tenure } = this
    const prefix = journalPrefix(slot, tenure.epoch)
    const startAfter = journalKey(slot, tenure.epoch, tenure.firstSeq - 1)
    await this.#read((await listAll(source.store, prefix, startAfter)).map(({ key }) => key))
  }

  /** A listing is not of one moment: what it lacks before a seal is asked for by itself. */
  async #readMissing(sealSeq: number): Promise<void> {
    const keys: string[] = []
    for (let seq = this.tenure.firstSeq; seq <= sealSeq; seq++) if (!this.#objects.has(seq)) keys.push(this.#key(seq))
    await this.#read(keys)
  }

  async #read(keys: readonly string[]): Promise<void> {
    for (const [key, body] of await readAll(keys, (each) => readIfThere(this.source, each))) {
      const seq = Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16)
      if (body !== null && this.#key(seq) === key) this.#objects.set(seq, this.#decode(key, body))
    }
  }

  #decode(key: string, body: Buffer): Found {
    try {
      return { commit: decodeCommit(body, key, this.source.volumeUuid) }
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      return { damage: error.message, bytes: body.length }
    }
  }

  #knownEnd(): number | null {
    if (this.tenure.sealSeq !== null) return this.tenure.sealSeq
    const seals = [...this.#objects].filter(([, object]) => 'commit' in object && object.commit.isSeal)
    return seals.length === 0 ? null : Math.min(...seals.map(([seq]) => seq))
  }

  /** Replays up to the first gap, and seals that where it is ours to do; returns the place of the seal. */
  async #toOpenEnd(): Promise<number | null> {
    const { seal, tenure } = this
    const madeSeq = this.#acknowledgedSeq()
    await this.#readMissing(madeSeq)
    let missingFrom: number | null = null
    for (let seq = tenure.firstSeq; ; seq++) {
      let object = this.#objects.get(seq)
      if (object === undefined && seq <= madeSeq) {
        missingFrom ??= seq
        continue
      }
      if (missingFrom !== null) this.#tellGap(missingFrom, seq - 1)
      missingFrom = null
      if (object === undefined) {
        if (!isToSeal(seal, tenure)) return null
        const place = { slot: this.slot, epoch: tenure.epoch, seq, session: seal.sealAs.session }
        object = this.#decode(this.#key(seq), await sealOrRead(this.source, place))
      }
      if ('commit' in object && object.commit.isSeal) return seq
      if ('damage' in object && object.bytes === COMMIT_HEADER_BYTES) {
        await this.#checkSeal(seq)
        return seq
      }
      this.#take(seq, object)
    }
  }

  /** Up to where commits are known to have been made, by what those behind them say. */
  #acknowledgedSeq(): number {
    let last = 0
    for (const object of this.#objects.values())
      if ('commit' in object) last = Math.max(last, object.commit.acknowledgedSeq)
    return last
  }

  #take(seq: number, object: Found): void {
    const key = this.#key(seq)
    this.found.commitKeys.push(key)
    if ('commit' in object) this.found.commits.push(object.commit)
    else this.#tell('damaged-commit', seq, `${object.damage}: what its ${object.bytes} bytes changed is lost`)
  }

  async #checkSeal(seq: number): Promise<void> {
    const object = this.#objects.get(seq)
    if (object !== undefined && 'commit' in object && object.commit.isSeal) return
    const key = this.#key(seq)
    if (object !== undefined && 'commit' in object) {
      // Its writer had long lost the slot.
      this.#tell('damaged-commit', seq, `${key}: lies where the seal of its tenure was, and is void`)
      return
    }
    if (object === undefined) this.#tell('journal-gap', seq, `${key}, a seal, is missing: nothing is lost with it`)
    else this.#tell('damaged-commit', seq, `${object.damage}: a seal, nothing is lost with it`)
    if (this.seal === null) return
    const place = { slot: this.slot, epoch: this.tenure.epoch, seq, session: this.seal.sealAs.session }
    await this.source.store.put(key, encodeSeal(this.source.volumeUuid, place))
  }

  #tellGap(from: number, to: number): void {
    const which = from === to ? `${this.#key(from)} is` : `${this.#key(from)} to ${this.#key(to)} are`
    this.#tell('journal-gap', from, `${which} missing: ${to - from + 1} commits, what they changed is lost`)
  }

  #tell(kind: 'damaged-commit' | 'journal-gap', seq: number, message: string): void {
    this.found.leftOut.push({ kind, object: this.#key(seq), message })
  }

  #key(seq: number): string {
    return journalKey(this.slot, this.tenure.epoch, seq)
  }
}
