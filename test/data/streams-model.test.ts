// The heart of data/: whatever is written, truncated, frozen, stored early or recorded, in whatever order, a read plan
// shows what a plain array of bytes shows, and what a generation records is what the file was when it was frozen.
import assert from 'node:assert'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Extent, type ReadPart, replaceExtents, type Stream } from '../../src/data/index.ts'
import { BLOCK_BYTES, type SegmentId } from '../../src/segments/index.ts'
import { World } from './world.ts'

const FILE_BYTES = 6 * BLOCK_BYTES
const SLAB_BYTES = 2 * BLOCK_BYTES

const offset = fc.oneof(
  fc.nat(FILE_BYTES),
  fc.nat(8).map((block) => block * BLOCK_BYTES),
  fc.nat(60).map((page) => page * 4096),
)
const length = fc.oneof(
  fc.integer({ min: 1, max: 5000 }),
  fc.constantFrom(4096, BLOCK_BYTES, SLAB_BYTES),
  fc.integer({ min: 1, max: 3 * BLOCK_BYTES }),
)
const ino = fc.integer({ min: 1, max: 2 })
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('write'), ino, offset, length }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('append'), ino, length }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('truncate'), ino, offset }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('truncateToRuns'), ino, nth: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('share'), ino, from: ino, nth: fc.nat(9), offset }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('punch'), ino, offset, length }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('freeze'), ino }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('place'), ino }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('record'), ino, fails: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('endUpload'), nth: fc.nat(9), fails: fc.nat(4) }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('tick') }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('read'), ino, offset, length }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('drop'), ino }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** One file: what must be seen, and what the tables would hold. */
class File {
  bytes = Buffer.alloc(0)
  frozenBytes: Buffer<ArrayBuffer> | null = null
  recorded: Extent[] = []
  recordedBytes: Buffer<ArrayBuffer> = Buffer.alloc(0)
  constructor(readonly ino: number) {}
}

/** Slabs that were kept in place of a copy, in all runs. */
let adopted = 0

class Run {
  readonly world: World
  readonly files = new Map<number, File>()
  readonly named = new Set<SegmentId>()
  seed = 0
  time = 0

  constructor(maxPieceBytes: number) {
    this.world = new World({ maxPieceBytes, slabBytes: SLAB_BYTES })
    for (const ino of [1, 2]) this.files.set(ino, new File(ino))
  }

  stream(file: File): Stream {
    const time = { sec: 0, nsec: 0 }
    const sizeBytes = file.recordedBytes.length
    return this.world.streams.open(file.ino, { sizeBytes, mtime: time, ctime: time, atime: null })
  }

  write(file: File, at: number, lengthBytes: number): void {
    const { slabs } = this.world.streams
    const slab = lengthBytes === SLAB_BYTES ? slabs.take() : undefined
    const data = slab?.bytes ?? Buffer.alloc(lengthBytes)
    this.seed += 1
    for (let i = 0; i < lengthBytes; i++) data[i] = 1 + ((this.seed * 31 + i * 7 + (i >> 8)) % 255)
    const now = { sec: ++this.time, nsec: 0 }
    this.stream(file).write(at, data, now, slab)
    if (slab !== undefined && slab.holders > 1) adopted += 1
    else data.fill(0xee)
    if (slab !== undefined) slabs.letGo(slab)
    const wanted = Buffer.alloc(Math.max(file.bytes.length, at + lengthBytes))
    file.bytes.copy(wanted)
    for (let i = 0; i < lengthBytes; i++) wanted[at + i] = 1 + ((this.seed * 31 + i * 7 + (i >> 8)) % 255)
    file.bytes = wanted
    expect(this.stream(file).attributes.mtime).toEqual(now)
  }

  /** What some recorded extent holds now stands at `at` too. */
  share(file: File, from: File, nth: number, at: number): void {
    const extent = from.recorded[nth % Math.max(1, from.recorded.length)]
    if (extent === undefined) return
    const { range } = extent
    this.stream(file).share(at, range, { sec: ++this.time, nsec: 0 })
    expect(this.world.streams.segmentsInUse().has(range.segment)).toBe(true)
    expect([...this.world.streams.unrecordedSharers(range.segment)]).toContain(file.ino)
    this.put(file, at, this.world.readRange(range))
  }

  put(file: File, at: number, body: Buffer): void {
    const wanted = Buffer.alloc(Math.max(file.bytes.length, at + body.length))
    file.bytes.copy(wanted)
    body.copy(wanted, at)
    file.bytes = wanted
  }

  truncate(file: File, size: number): void {
    this.stream(file).truncate(size, { sec: ++this.time, nsec: 0 })
    const wanted = Buffer.alloc(size)
    file.bytes.copy(wanted, 0, 0, Math.min(size, file.bytes.length))
    file.bytes = wanted
  }

  freeze(file: File): void {
    const stream = this.stream(file)
    if (stream.frozen !== null) return
    const wasDirty = stream.isDirty
    const frozen = stream.freeze()
    expect(frozen !== null).toBe(wasDirty)
    if (frozen !== null) file.frozenBytes = Buffer.from(file.bytes)
  }

  place(file: File): void {
    const { frozen } = this.stream(file)
    frozen?.place(this.world.place(file.ino, frozen.runs))
  }

  /** Commits the frozen generation; with `fails` the first of its early uploads does. */
  async record(file: File, fails: boolean): Promise<void> {
    const stream = this.stream(file)
    const { frozen } = stream
    if (frozen === null) return
    this.place(file)
    const packed = frozen.runs
    let isSettled = false
    const settled = this.world.streams.settled([file.ino]).then(() => {
      isSettled = true
    })
    await this.world.tick()
    for (let nth = 0; this.world.early.length > 0 && !(isSettled as boolean); nth++) {
      await this.world.endUpload(nth, fails && nth === 0)
      await this.world.tick()
    }
    await settled
    if (frozen.runs !== packed) this.place(file)
    await this.recordSome(file)
    const changes = frozen.changes()
    expect(changes.attributes.sizeBytes).toBe(file.frozenBytes!.length)
    let end = 0
    for (const { fileOffset, range } of changes.extents) {
      expect(fileOffset).toBeGreaterThanOrEqual(end)
      expect(range.lengthBytes).toBeGreaterThan(0)
      end = fileOffset + range.lengthBytes
      this.named.add(range.segment)
    }
    expect(end).toBeLessThanOrEqual(file.frozenBytes!.length)
    for (const id of changes.sharedFrom ?? []) expect(changes.extents.map(({ range }) => range.segment)).toContain(id)
    const before = file.recorded.reduce((sum, extent) => sum + extent.range.lengthBytes, 0)
    const { result, removed } = replaceExtents(file.recorded, changes)
    const sum = (ranges: { lengthBytes: number }[]) => ranges.reduce((total, range) => total + range.lengthBytes, 0)
    expect(sum(result.map((extent) => extent.range))).toBe(
      before + sum(changes.extents.map((extent) => extent.range)) - sum(removed),
    )
    file.recorded = result
    file.recordedBytes = file.frozenBytes!
    file.frozenBytes = null
    stream.recorded()
    // What the tables hold is what the file was when it was frozen.
    const shown = Buffer.alloc(file.recordedBytes.length)
    for (const { fileOffset, range } of file.recorded) this.world.readRange(range).copy(shown, fileOffset)
    assert(shown.equals(file.recordedBytes), 'recorded bytes differ from the frozen ones')
    this.world.streams.release(file.ino)
  }

  /** Records the frozen generation from the front, to the ends of some of its runs: what is seen stays the same. */
  async recordSome(file: File): Promise<void> {
    const { frozen } = this.stream(file)
    for (let nth = 0; frozen !== null && frozen.runs.length > 1 && nth < 3; nth++) {
      const { fileOffset, lengthBytes } = frozen.runs[(this.seed + nth) % Math.min(3, frozen.runs.length)]!
      const end = fileOffset + lengthBytes
      const changes = frozen.changes(end)
      for (const { fileOffset, range } of changes.extents) {
        expect(fileOffset + range.lengthBytes).toBeLessThanOrEqual(end)
        this.named.add(range.segment)
      }
      file.recorded = replaceExtents(file.recorded, changes).result
      frozen.recordedBefore(end)
      this.check(file, 0, file.bytes.length)
    }
  }

  check(file: File, at: number, lengthBytes: number): void {
    const end = Math.min(file.bytes.length, at + lengthBytes)
    const wanted = file.bytes.subarray(Math.min(at, end), end)
    const overlapping = file.recorded.filter(
      ({ fileOffset, range }) => fileOffset < at + lengthBytes && fileOffset + range.lengthBytes > at,
    )
    const parts = this.stream(file).plan(at, lengthBytes, overlapping)
    const shown = Buffer.concat(parts.map((part) => this.partBytes(part)))
    if (!shown.equals(wanted)) {
      const first = wanted.findIndex((byte, i) => byte !== shown[i])
      throw new Error(`inode ${file.ino} differs at ${at + first} (${shown.length} of ${wanted.length} bytes shown)`)
    }
  }

  partBytes(part: ReadPart): Buffer {
    if (part.kind === 'zeros') return Buffer.alloc(part.lengthBytes)
    return part.kind === 'memory' ? Buffer.from(part.bytes) : this.world.readRange(part.range)
  }

  async apply(operation: Operation): Promise<void> {
    const file = 'ino' in operation ? this.files.get(operation.ino)! : null
    switch (operation.op) {
      case 'write':
        return this.write(file!, operation.offset!, operation.length!)
      case 'append':
        if (file!.bytes.length < 3 * FILE_BYTES) this.write(file!, file!.bytes.length, operation.length!)
        return
      case 'share':
        return this.share(file!, this.files.get(operation.from!)!, operation.nth!, operation.offset!)
      case 'punch':
        this.stream(file!).punch(operation.offset!, operation.length!, { sec: ++this.time, nsec: 0 })
        return this.put(file!, operation.offset!, Buffer.alloc(operation.length!))
      case 'truncate':
        return this.truncate(file!, operation.offset!)
      case 'truncateToRuns':
        return this.truncate(file!, operation.nth! * BLOCK_BYTES)
      case 'freeze':
        return this.freeze(file!)
      case 'place':
        return this.place(file!)
      case 'record':
        return await this.record(file!, operation.fails as boolean)
      case 'endUpload':
        if (this.world.early.length > 0) await this.world.endUpload(operation.nth!, operation.fails === 0)
        return
      case 'tick':
        return await this.world.tick()
      case 'read':
        return this.check(file!, operation.offset!, operation.length!)
      case 'drop':
        this.world.streams.drop(file!.ino)
        // As after the file was made anew under its number: nothing recorded, nothing visible.
        this.files.set(file!.ino, new File(file!.ino))
        return
    }
  }

  async finish(): Promise<void> {
    const { world } = this
    for (const file of this.files.values()) {
      await this.record(file, false)
      this.freeze(file)
      await this.record(file, false)
      this.check(file, 0, file.bytes.length)
      expect(world.streams.get(file.ino)).toBeUndefined()
    }
    await world.tick()
    while (world.early.length > 0) await world.endUpload(0)
    await world.tick()
    expect(world.streams.dirtyBytes).toBe(0)
    expect(world.streams.uploadsUnderWay).toBe(0)
    expect([...world.streams]).toEqual([])
    await world.streams.deleteUnnamed()
    for (const file of this.files.values()) this.check(file, 0, file.bytes.length)
    expect([...this.named].flatMap((id) => [...world.streams.unrecordedSharers(id)])).toEqual([])
    const unnamed = world.earlyStored.filter((id) => !this.named.has(id))
    expect(world.deleted.sort((a, b) => a - b)).toEqual(unnamed.sort((a, b) => a - b))
  }
}

for (const [blocks, numRuns] of [
  [1, 400],
  [2, 300],
  [64, 150],
] as const) {
  test(`streams show what a plain array shows, pieces of ${blocks} blocks leaving early`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 80, size: 'max' }), async (operations) => {
        const run = new Run(blocks * BLOCK_BYTES)
        for (const operation of operations) {
          await run.apply(operation)
          for (const file of run.files.values()) run.check(file, 0, file.bytes.length + 10)
        }
        await run.finish()
      }),
      { numRuns },
    )
    expect(adopted).toBeGreaterThan(numRuns / 2)
    adopted = 0
  }, 300_000)
}
