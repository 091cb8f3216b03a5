// A second reader of volumes, written from docs/FORMAT.md alone: it imports nothing of cairnfs, and shares no code with
// it. What it lists, and what the filesystem says, must agree: then the page tells the truth.
//
// layouts.ts has the page's byte tables; format.test.ts compares them, both ways.
//
// Must stay true: it believes nothing. Every crc, length, id and uuid it comes by is checked, and so is all that the
// tables say twice (parents, usage, link counts, copies of directories).
import { createHash, type Hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { check, crc32c, EXTENT, FormatError, nameKey, number, PARENT, USAGE_ROW } from './layouts.ts'
import {
  BLOCK,
  blocksOf,
  type Commit,
  decodeCommit,
  decodeDentry,
  decodeExtent,
  decodeInode,
  decodePage,
  decodePointer,
  decodeRoot,
  decodeSegment,
  decodeVolumeJson,
  decodeXattrPiece,
  type Extent,
  hex14,
  type Inode,
  journalFolder,
  type Pointer,
  type Root,
  type Segment,
  segmentKey,
  type Tenure,
  type VolumeJson,
  type XattrPiece,
} from './structures.ts'

interface Changes {
  cleared: boolean
  records: Map<number, Buffer | null>
}

const DIRECTORY = 1
const EXTENTS = 2
const XATTRS = 3
const PARENTS = 4
const SHARED = 5
const ORPHANS = 6
const USAGE = 7
const SHARERS = 8
const ROWS = 128
const HAS_OWNERS = new Set([1, 2, 3])
const ROOT_INO = 1

// The listing.

export interface ListedEntry {
  /** Bytes as latin1; the root is ''. */
  path: string
  type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'char' | 'block'
  ino: number
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  rdev: number
  size: number
  mtimeNs: bigint
  nlink: number
  /** Bytes as latin1. */
  target: string | null
  /** Extended attributes: name and the hash of the value, by name. */
  xattrs: [name: string, sha256: string][]
  sha256: string | null
}

/** By st_mode >> 12. */
const TYPES: Record<number, ListedEntry['type']> = {
  1: 'fifo',
  2: 'char',
  4: 'directory',
  6: 'block',
  8: 'file',
  10: 'symlink',
  12: 'socket',
}
const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const ZEROS = Buffer.alloc(1 << 20)

/** A volume in a folder that nobody is writing to. */
export class VolumeDecoder {
  readonly json: VolumeJson
  readonly root: Root
  /** Commits on top of what the pages hold. */
  readonly commits: Commit[] = []
  /** Of each page segment met: the copies in its trailer. */
  readonly trailers: { root: Buffer; volumeJson: Buffer }[] = []
  /** How often each sort of thing was met: tests see to it that they met it. */
  readonly met = {
    innerPages: 0,
    tableExtents: 0,
    shared: 0,
    extentsInCommits: 0,
    seals: 0,
    ordinals: 0,
    sharedExtents: 0,
    inlineXattrs: 0,
    tableXattrs: 0,
  }
  readonly #folder: string
  readonly #changes = new Map<string, Changes>()
  readonly #commitData = new Map<number, Buffer>()
  readonly #segments = new Map<number, Segment>()
  readonly #liveBytes = new Map<number, number>()
  readonly #references: { ino: number; fileOffset: number; length: number; segment: number }[] = []

  constructor(folder: string) {
    this.#folder = folder
    this.json = decodeVolumeJson(this.#read('volume.json'))
    this.root = decodeRoot(this.#read('root'), this.json.uuid)
    for (const tenure of this.root.tenures) this.#replay(tenure)
  }

  #read(key: string): Buffer {
    try {
      return readFileSync(join(this.#folder, key))
    } catch {
      throw new FormatError(`${key} is missing`)
    }
  }

  /** Steps 3 and 5 of section 11. */
  #replay({ epoch, firstSeq, sealSeq }: Tenure): void {
    const folder = journalFolder(this.root.slot, epoch)
    let names: string[] = []
    try {
      names = readdirSync(join(this.#folder, folder))
    } catch {
      // No object has this prefix.
    }
    const there = new Set(names)
    for (let seq = firstSeq; ; seq++) {
      const name = hex14(seq)
      if (!there.has(name)) {
        check(sealSeq === 0, `${folder}/${name} is missing before the seal at ${sealSeq}`)
        return
      }
      const place = { slot: this.root.slot, epoch, seq }
      const commit = decodeCommit(this.#read(`${folder}/${name}`), place, this.json.uuid)
      check(sealSeq === 0 || commit.isSeal === (seq === sealSeq), `${folder}/${name}: the seal is elsewhere`)
      if (commit.isSeal) {
        this.met.seals++
        return
      }
      this.#apply(commit)
    }
  }

  #apply(commit: Commit): void {
    this.commits.push(commit)
    if (commit.dataId !== 0) this.#commitData.set(commit.dataId, commit.data)
    for (const { kind, owner, cleared, records } of commit.tables) {
      const name = `${kind}/${owner}`
      let changes = this.#changes.get(name)
      if (changes === undefined || cleared) {
        changes = { cleared: cleared || changes?.cleared === true, records: new Map() }
        this.#changes.set(name, changes)
      }
      for (const { key, record } of records) changes.records.set(key, record)
    }
  }

  /** Every record of a table, in order. */
  table(kind: number, owner: number): Map<number, Buffer> {
    const changes = this.#changes.get(`${kind}/${owner}`)
    const records = new Map<number, Buffer>()
    if (changes?.cleared !== true) {
      const pointer = this.#rootPage(kind, owner)
      if (pointer !== null) this.#readTree(pointer, { kind, owner, level: null, from: 0 }, records)
    }
    if (changes === undefined) return records
    for (const [key, record] of changes.records) {
      if (record === null) records.delete(key)
      else records.set(key, record)
    }
    return new Map([...records].sort(([a], [b]) => a - b))
  }

  #rootPage(kind: number, owner: number): Pointer | null {
    const inRoot = this.root.tables.find((table) => table.kind === kind && table.owner === owner)
    if (inRoot !== undefined) return inRoot.pointer
    if (!HAS_OWNERS.has(kind) || (kind === DIRECTORY && owner === ROOT_INO)) return null
    const row = this.#rows(kind).get(owner)
    return row === undefined ? null : decodePointer(row, 0)
  }

  readonly #rowsTables = new Map<number, Map<number, Buffer>>()
  #rows(kind: number): Map<number, Buffer> {
    let rows = this.#rowsTables.get(kind)
    if (rows === undefined) {
      rows = this.table(kind + ROWS, 0)
      this.#rowsTables.set(kind, rows)
    }
    return rows
  }

  #readTree(
    pointer: Pointer,
    expected: { kind: number; owner: number; level: number | null; from: number },
    into: Map<number, Buffer>,
  ): void {
    const { segment, offset, storedBytes, crc } = pointer
    const where = `${segmentKey(segment)} at ${offset}`
    const { entries, object, isPages } = this.#segment(segment)
    const entry = entries.find((each) => each.offset === offset)
    check(isPages && entry !== undefined && entry.storedBytes === storedBytes, `${where}: no page lies there`)
    const stored = object.subarray(offset, offset + storedBytes)
    check(crc32c(stored) === crc && entry.crc === crc, `${where}: crc`)
    const page = decodePage(stored, where)
    check(page.kind === expected.kind && page.owner === expected.owner, `${where}: of another table`)
    check(entry.tableKind === page.kind && entry.owner === page.owner, `${where}: contents differ`)
    check(entry.key === page.keys[0], `${where}: contents have another first key`)
    check(expected.level === null || page.level === expected.level, `${where}: wrong level`)
    check(page.keys[0]! >= expected.from, `${where}: a key below its parent's`)
    for (const [index, key] of page.keys.entries()) {
      const record = page.records[index]!
      if (page.level === 0) {
        into.set(key, record)
        continue
      }
      if (index === 0) this.met.innerPages++
      const below = { kind: page.kind, owner: page.owner, level: page.level - 1, from: key }
      this.#readTree(decodePointer(record, 0), below, into)
      check([...into.keys()].at(-1)! < (page.keys[index + 1] ?? Number.POSITIVE_INFINITY), `${where}: overlaps`)
    }
  }

  #segment(id: number): Segment {
    let segment = this.#segments.get(id)
    if (segment === undefined) {
      segment = decodeSegment(this.#read(segmentKey(id)), id, this.json.uuid)
      this.#segments.set(id, segment)
      if (segment.trailer !== null) this.trailers.push(segment.trailer)
    }
    return segment
  }

  #extentsOf(inode: Inode): Extent[] {
    const extents =
      inode.extents ??
      [...this.table(EXTENTS, inode.ino)].map(([fileOffset, record]) => {
        this.met.tableExtents++
        check(record.length === EXTENT.bytes, 'extent: wrong length')
        return decodeExtent(record, 0, fileOffset)
      })
    let end = 0
    let allocated = 0
    for (const { fileOffset, length, segment } of extents) {
      check(fileOffset >= end, `inode ${inode.ino}: extents overlap`)
      end = fileOffset + length
      allocated += length
      this.#liveBytes.set(segment, (this.#liveBytes.get(segment) ?? 0) + length)
      this.#references.push({ ino: inode.ino, fileOffset, length, segment })
    }
    check(allocated === inode.allocated, `inode ${inode.ino}: ${allocated} bytes allocated, not ${inode.allocated}`)
    return extents
  }

  /** The bytes of an extent. */
  #bytesOf(extent: Extent): Buffer {
    const { segment, offset, pieceBytes, skipBytes, length } = extent
    const inCommit = this.#commitData.get(segment)
    if (inCommit !== undefined) this.met.extentsInCommits++
    const object = inCommit ?? this.#segment(segment).object
    const storedEnd = offset + pieceBytes + 4 * Math.ceil(pieceBytes / BLOCK)
    check(storedEnd <= object.length, `extent: ends behind segment ${segment}`)
    const blocks = blocksOf(object.subarray(offset, storedEnd), `segment ${segment} at ${offset}`)
    return Buffer.concat(blocks).subarray(skipBytes, skipBytes + length)
  }

  #xattrsOf(inode: Inode): ListedEntry['xattrs'] {
    const values = new Map<string, Buffer>()
    const add = (name: Buffer, value: Buffer) => {
      const text = name.toString('latin1')
      check(text.length > 0 && !values.has(text), `inode ${inode.ino}: the attribute ${text} stands there twice`)
      values.set(text, value)
    }
    for (const { name, value } of inode.xattrs) add(name, value)
    this.met.inlineXattrs += values.size
    const pieces = new Map<string, XattrPiece[]>()
    const records = inode.tableNames === 0 ? [] : this.table(XATTRS, inode.ino)
    for (const [key, record] of records) {
      const piece = decodeXattrPiece(record)
      const base = nameKey(this.json.hashKey, piece.name)
      check(key >= base && key < base + 256, `inode ${inode.ino}: the key of ${piece.name} is not its hash`)
      const name = piece.name.toString('latin1')
      pieces.set(name, [...(pieces.get(name) ?? []), piece])
    }
    let [names, bytes] = [0, 0]
    for (const found of pieces.values()) {
      found.sort((a, b) => a.piece - b.piece)
      const { name, valueBytes } = found[0]!
      const value = Buffer.concat(found.map((each) => each.bytes))
      check(found.every(({ piece }, index) => piece === index) && value.length === valueBytes, `${name} is not whole`)
      this.met.tableXattrs++
      names += name.length + 1
      bytes += valueBytes
      add(name, value)
    }
    check(names === inode.tableNames && bytes === inode.tableValues, `inode ${inode.ino}: attributes do not add up`)
    const hashed = [...values].map(([name, value]): [string, string] => [name, sha256Of(value)])
    return hashed.filter(([name]) => name !== 'cairnfs.acl').sort(([a], [b]) => (a < b ? -1 : 1))
  }

  #hash(inode: Inode): string {
    const hash = createHash('sha256')
    let at = 0
    for (const extent of this.#extentsOf(inode)) {
      if (extent.fileOffset >= inode.size) continue
      hashZeros(hash, extent.fileOffset - at)
      const bytes = this.#bytesOf(extent).subarray(0, inode.size - extent.fileOffset)
      hash.update(bytes)
      at = extent.fileOffset + bytes.length
    }
    hashZeros(hash, inode.size - at)
    return hash.digest('hex')
  }

  /** The whole tree, each directory before its entries, these in order of readdir. Checks what is said twice. */
  list(): ListedEntry[] {
    const listed: ListedEntry[] = []
    const shared = this.table(SHARED, 0)
    const parents = this.table(PARENTS, 0)
    const names = new Map<number, number>()
    const hashes = new Map<number, string>()
    let named = 0

    const visit = (path: string, inode: Inode): ListedEntry => {
      const type = TYPES[inode.mode >> 12]
      check(type !== undefined, `inode ${inode.ino}: unknown type`)
      let sha256: string | null = null
      if (type === 'file') {
        sha256 = hashes.get(inode.ino) ?? this.#hash(inode)
        hashes.set(inode.ino, sha256)
      }
      const entry: ListedEntry = {
        path,
        type,
        ino: inode.ino,
        mode: inode.mode & 0o7777,
        uid: inode.uid,
        gid: inode.gid,
        rdev: inode.rdev,
        size: inode.size,
        mtimeNs: inode.mtimeNs,
        nlink: inode.nlink,
        target: type === 'symlink' ? inode.target.toString('latin1') : null,
        xattrs: this.#xattrsOf(inode),
        sha256,
      }
      listed.push(entry)
      return entry
    }

    const walk = (path: string, ino: number, copy: Inode | null): void => {
      const records = this.table(DIRECTORY, ino)
      const own = records.get(0)
      check(own !== undefined, `directory ${ino} has no "."`)
      const inode = decodeInode(own)
      check(inode.ino === ino && (inode.mode & S_IFMT) === S_IFDIR, `directory ${ino}: its "." is another's`)
      const isCopyFresh = copy === null || JSON.stringify(plain(copy)) === JSON.stringify(plain(inode))
      check(this.commits.length > 0 || isCopyFresh, `directory ${ino}: the copy in its dentry is old`)
      visit(path, inode)
      let directories = 0
      for (const [key, record] of records) {
        if (key === 0) continue
        const dentry = decodeDentry(key, record)
        const base = nameKey(this.json.hashKey, dentry.name)
        check(key >= base && key < base + 256, `directory ${ino}: the key of ${dentry.name} is not its hash`)
        if (key > base) this.met.ordinals++
        const childPath = `${path}/${dentry.name.toString('latin1')}`
        named++
        if (dentry.inode === null) {
          this.met.shared++
          const row = shared.get(dentry.ino)
          check(row !== undefined, `${childPath}: no inode ${dentry.ino} in SHARED`)
          const child = decodeInode(row)
          check(child.ino === dentry.ino && (child.mode & S_IFMT) === dentry.type, `${childPath}: another inode`)
          check(!parents.has(child.ino), `${childPath}: a shared inode with a parent`)
          names.set(child.ino, (names.get(child.ino) ?? 0) + 1)
          visit(childPath, child)
          continue
        }
        const child = dentry.inode
        check((child.mode & S_IFMT) === dentry.type, `${childPath}: another type`)
        const parent = parents.get(child.ino)
        check(parent !== undefined, `${childPath}: no row in PARENTS`)
        check(number(PARENT, 'directory', parent) === ino, `${childPath}: another parent`)
        check(number(PARENT, 'key', parent) === key, `${childPath}: another key in PARENTS`)
        if (dentry.type === S_IFDIR) {
          directories++
          walk(childPath, child.ino, child)
        } else {
          check(child.nlink === 1, `${childPath}: ${child.nlink} links in one dentry`)
          visit(childPath, child)
        }
      }
      check(inode.nlink === 2 + directories, `${path}: nlink ${inode.nlink} with ${directories} directories`)
    }
    walk('', ROOT_INO, null)

    for (const [ino, record] of shared)
      check(decodeInode(record).nlink === names.get(ino), `inode ${ino}: nlink is not the number of its names`)
    let sharedNames = 0
    for (const count of names.values()) sharedNames += count
    check(parents.size === named - sharedNames, 'PARENTS names what no directory holds')
    for (const [ino, record] of this.table(ORPHANS, 0)) {
      const inode = decodeInode(record)
      check(inode.ino === ino && inode.nlink === 0, `orphan ${ino} has a name`)
      this.#extentsOf(inode)
    }
    this.#checkUsage()
    this.#checkSharers()
    this.#checkIds()
    return listed
  }

  #checkUsage(): void {
    const usage = this.table(USAGE, 0)
    for (const [segment, row] of usage) {
      const live = this.#liveBytes.get(segment) ?? 0
      const said = number(USAGE_ROW, 'liveBytes', row)
      check(said === live, `USAGE says ${said} bytes of segment ${segment} live, extents name ${live}`)
      const isCommit = (number(USAGE_ROW, 'flags', row) & 1) === 1
      check(isCommit === this.#commitData.has(segment), `USAGE is wrong on whether ${segment} is a commit's data`)
    }
    for (const segment of this.#liveBytes.keys()) check(usage.has(segment), `USAGE lacks segment ${segment}`)
  }

  /** Whoever refers to a segment elsewhere than its contents say is among its sharers. */
  #checkSharers(): void {
    const sharers = this.table(SHARERS, 0)
    for (const { ino, fileOffset, length, segment } of this.#references) {
      if (this.#commitData.has(segment)) continue
      let covered = fileOffset
      for (const { owner, key, storedBytes } of this.#segment(segment).entries) {
        const end = key + storedBytes - 4 * Math.ceil(storedBytes / (BLOCK + 4))
        if (owner === ino && key <= covered && covered < end) covered = end
      }
      if (covered >= fileOffset + length) continue
      this.met.sharedExtents++
      const row = sharers.get(segment) ?? Buffer.alloc(0)
      check(row.length % 8 === 0 && row.length <= 8 * 2048, `SHARERS of segment ${segment}: a wrong length`)
      const inos = Array.from({ length: row.length / 8 }, (_, index) => Number(row.readBigUInt64LE(8 * index)))
      check(inos.includes(ino), `SHARERS of segment ${segment} lacks inode ${ino}`)
    }
  }

  /** Ids in use lie before the ends that root gives; the live bytes of page segments are at most what they hold. */
  #checkIds(): void {
    const end = (sort: number) => this.root.idRanges.find((range) => range.sort === sort && range.slot === 0)?.end ?? 0
    for (const segment of [...this.#segments.keys(), ...this.#commitData.keys()])
      check(segment < end(2), `segment ${segment} lies beyond the id range`)
    for (const ino of this.table(PARENTS, 0).keys()) check(ino < end(1), `inode ${ino} lies beyond the id range`)
    for (const { segment, liveBytes, totalBytes } of this.root.pageSegments) {
      check(liveBytes <= totalBytes, `page segment ${segment}: more live than there is`)
      if (liveBytes === 0) continue
      const stored = this.#segment(segment).entries.reduce((sum, entry) => sum + entry.storedBytes, 0)
      check(stored === totalBytes, `page segment ${segment} holds ${stored} bytes of pages, not ${totalBytes}`)
    }
  }
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function plain({ mtimeNs, target, ...rest }: Inode): object {
  return { ...rest, mtimeNs: String(mtimeNs), target: target.toString('latin1') }
}

function hashZeros(hash: Hash, lengthBytes: number): void {
  for (let left = lengthBytes; left > 0; left -= ZEROS.length)
    hash.update(ZEROS.subarray(0, Math.min(left, ZEROS.length)))
}
