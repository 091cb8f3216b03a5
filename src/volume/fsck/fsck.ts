// fsck: checks a volume, and mends it.
//
// A check opens the volume for reading, as of its last commit; it takes no slot and writes nothing, so that it works on a
// mounted volume too. Mending takes the slot as a mount does (and is refused as one is), checks, mends what it may of what
// it found, and checks again, until nothing is left to mend.
//
// Must stay true: what a round does not understand it leaves for people: a finding without a fix stays, and is said to.
import { nameKeys, PINNED_TABLES, TABLE_KINDS } from '../../meta/index.ts'
import type { Clock, Random } from '../../platform/index.ts'
import { createSegmentStore, type SegmentStore } from '../../segments/index.ts'
import { type ListedObject, type ObjectStore, StoreError } from '../../store/index.ts'
import {
  type Database,
  type DatabaseOptions,
  type Holder,
  inspectDatabase,
  type Judgement,
  openDatabase,
  openDatabaseReadOnly,
  readSlot,
  recoverRoot,
  restoreRoot,
  type TableDamage,
  type WritableDatabase,
} from '../../tables/index.ts'
import { listAll } from '../leftovers.ts'
import { shareMemory } from '../memory-shares.ts'
import type { VolumeLog, VolumeWriter } from '../open.ts'
import { refuseToWriteReadOnly, type VolumeIdentity } from '../volume-json.ts'
import { checkAll, type IdEnds } from './check.ts'
import type { CheckContext } from './context.ts'
import { Findings, type Found, PHASES } from './findings.ts'
import { identify, putVolumeJson, recoveryFindings } from './recover.ts'
import { Repair } from './repair.ts'
import type { Finding, FsckCounts, FsckProgress, FsckReport } from './report.ts'
import { Survey } from './survey.ts'

const SLOT = 0
/** Each mends something. */
const ROUNDS_MAX = 40
/** Looks at a volume that changes meanwhile. */
const LOOKS_MAX = 3

export interface FsckOptions {
  store: ObjectStore
  clock: Clock
  random: Random
  log: VolumeLog
  memoryBytes: number
  parallelism: number
  /** Reads and verifies all file data. */
  readsData: boolean
  /** Whether who holds the volume lives. */
  judge: (holder: Holder) => Promise<Judgement>
  onProgress: FsckProgress
}

export type FsckRepairOptions = FsckOptions & { writer: Omit<VolumeWriter, 'judge' | 'probe' | 'takeOver'> }

/** The uuid of a volume that may be damaged. */
export async function identifyVolume({ store }: Pick<FsckOptions, 'store'>): Promise<string> {
  return (await identify(store)).identity.json.uuid
}

/** Checks a volume. Throws for a store that does not answer, and for what is no volume; never for damage. */
export async function checkVolume(options: FsckOptions): Promise<FsckReport> {
  for (let look = 1; ; look++) {
    const seen = await fsckLook(options)
    const isDamaged = seen.report.findings.some(({ severity }) => severity === 'damage')
    if (!isDamaged || !seen.report.mounted || look === LOOKS_MAX || !(await seen.hasChanged())) return seen.report
  }
}

async function fsckLook(options: FsckOptions): Promise<{ report: FsckReport; hasChanged: () => Promise<boolean> }> {
  const { store } = options
  const identified = await identify(store)
  const { identity } = identified
  const before = await etagOfRoot(store)
  const listed = await list(options)
  const { databaseOptions, segments } = layers(options, identity)
  const recovered = await recoverRoot({ store, volumeUuid: identity.uuid })
  const database = await openDatabaseReadOnly(databaseOptions, recovered.damage === null ? undefined : recovered.root)
  try {
    const ends: IdEnds = { ino: endOf(database, 1), segment: endOf(database, 2) }
    const context = contextOf(options, identity, { database, segments, listed })
    const counts = await checkAll(context, ends, () => false)
    const report = reportOf(identity, database, counts, {
      findings: [...recoveryFindings(identified, recovered), ...context.findings.found.map(({ finding }) => finding)],
      mounted: recovered.slotDamage === null && (await isMounted(options)),
    })
    return { report, hasChanged: async () => (await etagOfRoot(store)) !== before }
  } finally {
    await database.close('abandon')
  }
}

/** Null when there is none. */
async function etagOfRoot(store: ObjectStore): Promise<string | null> {
  try {
    return (await store.head('root')).etag
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return null
    throw error
  }
}

/** Checks and mends. Throws FsError EBUSY naming the holder when the volume is mounted. */
export async function repairVolume(options: FsckRepairOptions): Promise<FsckReport> {
  const { clock, judge, log, random, store } = options
  const { self, leaseMs, onFailure } = options.writer
  const identified = await identify(store)
  const { identity } = identified
  refuseToWriteReadOnly(store.name, identity)
  const writer = { holder: self, leaseMs, judge, takeOver: false, onFailure }
  const recovered = await restoreRoot({ store, volumeUuid: identity.uuid, clock, random, log }, writer)
  const { databaseOptions, segments } = layers(options, identity)
  const database = await openDatabase(databaseOptions, writer)
  try {
    if (identified.damage !== null) await putVolumeJson(store, identity)
    const mending = new Mending(options, identity, database, segments)
    const report = await mending.run(recoveryFindings(identified, recovered))
    await database.close(mending.hooks)
    return report
  } catch (error) {
    // As a crash: the next run goes on.
    await database.close('abandon')
    throw error
  }
}

class Mending {
  readonly #options: FsckRepairOptions
  readonly #identity: VolumeIdentity
  readonly #database: WritableDatabase
  readonly #segments: SegmentStore
  readonly #findings = new Map<string, Finding>()
  /** Damages of the journal: told once, and gone with the first checkpoint. */
  readonly #told = new Set<string>()
  #repair: Repair | null = null

  constructor(
    options: FsckRepairOptions,
    identity: VolumeIdentity,
    database: WritableDatabase,
    segments: SegmentStore,
  ) {
    this.#options = options
    this.#identity = identity
    this.#database = database
    this.#segments = segments
  }

  get hooks() {
    return (this.#repair as Repair).hooks
  }

  /** `before`: what was found, and mended, before the volume was opened. */
  async run(before: readonly Finding[]): Promise<FsckReport> {
    for (const finding of before) this.#findings.set(identityOf(finding), finding)
    const { replayedCommits, checkpointNumber, epoch } = this.#database.status
    for (let round = 1; ; round++) {
      const { context, counts } = await this.#check()
      const damages = context.findings.damages
      this.#note(context.findings.found)
      const mended = round < ROUNDS_MAX && (await this.#mendSome(context, damages, context.survey.carried.size > 0))
      if (mended) continue
      this.#settle(damages)
      const report = reportOf(this.#identity, this.#database, counts, {
        findings: [...this.#findings.values()],
        mounted: false,
      })
      return { ...report, replayedCommits, checkpointNumber, epoch }
    }
  }

  async #check(): Promise<{ context: CheckContext; counts: FsckCounts }> {
    const database = this.#database
    const listed = await list(this.#options)
    const context = contextOf(this.#options, this.#identity, { database, segments: this.#segments, listed })
    const ends: IdEnds = { ino: database.takeId('ino'), segment: database.takeId('segment') }
    const counts = await checkAll(context, ends, (damage) => this.#told.has(keyOf(damage)))
    this.#repair = new Repair(context, database)
    return { context, counts }
  }

  /** Mends what comes first; whether anything was there to mend. */
  async #mendSome(context: CheckContext, damages: readonly Found[], hasCarried: boolean): Promise<boolean> {
    const repair = this.#repair as Repair
    const counted = damages.filter(({ phase }) => phase === 'counted-bytes')
    const isTablesTurn = hasCarried || damages.some(({ phase }) => phase === 'tables')
    const phase = isTablesTurn
      ? 'tables'
      : PHASES.find(
          (each) => each !== 'counted-bytes' && damages.some((found) => found.phase === each && found.fix !== null),
        )
    if (counted.length === 0 && phase === undefined) return false
    await repair.apply(counted)
    if (phase !== undefined) await repair.apply(damages.filter((found) => found.phase === phase))
    await this.#database.mend({ inspector: context.inspector, hooks: repair.hooks })
    for (const damage of context.inspector.damages) if (damage.table === undefined) this.#told.add(keyOf(damage))
    return true
  }

  #note(found: readonly Found[]): void {
    for (const { finding } of found) {
      const key = identityOf(finding)
      if (!this.#findings.has(key)) this.#findings.set(key, finding)
    }
  }

  /** What the last round did not find any more was mended. */
  #settle(left: readonly Found[]): void {
    const open = new Set(left.map(({ finding }) => identityOf(finding)))
    for (const [key, finding] of this.#findings) if (finding.severity === 'damage') finding.repaired = !open.has(key)
  }
}

/** By which a finding is known again in the next round. */
function identityOf({ kind, severity, object, inode, message }: Finding): string {
  return [kind, severity, object, inode, message].join('|')
}

function keyOf({ kind, object }: TableDamage): string {
  return `${kind}|${object}`
}

function endOf(database: Database, sort: number): number {
  const range = database.rootInForce.idRanges.find((each) => each.sort === sort && each.slot === SLOT)
  return range?.end ?? 0
}

async function list({ onProgress, store }: FsckOptions): Promise<Map<string, ListedObject>> {
  const objects = await listAll(store, (done) => onProgress('listing objects', done, null, 'objects'))
  return new Map(objects.map((object) => [object.key, object]))
}

async function isMounted({ judge, store }: FsckOptions): Promise<boolean> {
  const { state } = await readSlot(store, SLOT)
  return state.epoch > 0 && state.released === null && (await judge(state)) !== 'dead'
}

function layers(
  { clock, log, memoryBytes, parallelism, random, store }: FsckOptions,
  identity: VolumeIdentity,
): { databaseOptions: DatabaseOptions; segments: SegmentStore } {
  const shares = shareMemory(memoryBytes)
  const segments = createSegmentStore({
    store,
    volumeUuid: identity.uuid,
    segmentSizeBytes: identity.json.segmentSize,
    cacheBytes: shares.blockBytes,
    uploads: parallelism,
    fetches: parallelism,
    clock,
  })
  const databaseOptions: DatabaseOptions = {
    store,
    segments,
    kinds: TABLE_KINDS,
    pinned: PINNED_TABLES,
    volumeUuid: identity.uuid,
    volumeJson: identity.bytes,
    clock,
    random,
    log,
    pageCacheBytes: shares.pageBytes,
    changeBytesMax: shares.changeBytes,
    salvage: true,
  }
  return { databaseOptions, segments }
}

function contextOf(
  { clock, onProgress, parallelism, readsData, store }: FsckOptions,
  identity: VolumeIdentity,
  opened: { database: Database; segments: SegmentStore; listed: Map<string, ListedObject> },
): CheckContext {
  return {
    store,
    identity,
    clock,
    nameKeys: nameKeys(identity.hashKey),
    ...opened,
    inspector: inspectDatabase(opened.database),
    survey: new Survey(),
    findings: new Findings(),
    progress: onProgress,
    parallelism,
    readsData,
  }
}

function reportOf(
  { json }: VolumeIdentity,
  database: Database,
  counts: FsckCounts,
  { findings, mounted }: { findings: Finding[]; mounted: boolean },
): FsckReport {
  const { checkpointNumber, epoch, replayedCommits } = database.status
  return { volume: json.uuid, name: json.name, checkpointNumber, epoch, replayedCommits, mounted, findings, counts }
}
