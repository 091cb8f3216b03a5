// What is compared: a filesystem over MinIO, or what stands beside one.
import type { Step } from '../measure.ts'
import type { Minio } from '../minio.ts'
import type { Temperature, Workload } from '../workloads/index.ts'
import type { Command, Workspace } from '../workspace.ts'

export interface System {
  /** For --systems and in the JSON. */
  id: string
  /** A column's head. */
  title: string
  limits: Limits
  /** `false`: keys in a bucket, on which runs what workloads have for that. */
  isFilesystem?: boolean
  /** How the directory comes about: through a mount of its own in each run, or once for all rounds, and for all systems
   *  that share it, so that only reading is measured. */
  filling: 'created' | SharedDirectory
  /** What a reader has to know of the figures. */
  note?: string
  /** Its version, or why it cannot run here. */
  probe(workspace: Workspace): Promise<{ version: string } | { missing: string }>
  /** A fresh volume, formatted and mounted. The runner takes away what it leaves when it fails. */
  open(place: Place): Promise<Instance>
}

export interface SharedDirectory {
  /** For its bucket's name. */
  id: string
  /** What is said meanwhile. */
  doing: string
  /** Puts it into a bucket that is there and empty. */
  fill(place: Pick<Place, 'workspace' | 'minio' | 'bucket' | 'entries'>): Promise<void>
}

/** What takes too long, and is not tried unless --most says so. */
export interface Limits {
  /** The largest directory. */
  entries: number
  /** The smallest, for what says nothing of smaller ones. */
  entriesFrom?: number
  /** The same for some workloads, by their ids. */
  entriesOf?: Readonly<Record<string, number>>
  /** The workloads that are tried where latency is added. */
  withLatency: 'all' | readonly string[]
  /** Why, in the report; null where there is no limit. */
  reason: string | null
}

export const NO_LIMITS: Limits = { entries: Number.POSITIVE_INFINITY, withLatency: 'all', reason: null }

/** Where an instance may put what. */
export interface Place {
  workspace: Workspace
  minio: Minio
  /** Of the same MinIO, as the system is to reach it: latency may be added. */
  endpoint: string
  /** Its own: the name of its volume, and the mark of its processes. */
  name: string
  folder: string
  /** Its own bucket's name, still to be made; or the one with the shared directory. */
  bucket: string
  entries: number
  /** What cairnfs's --memory is the next time it mounts; its default unless told. */
  memory?: string
}

export interface Instance {
  /** The path of the directory that is measured. */
  directory: string
  /** Mounts it may hang in. */
  mountpoints: string[]
  /** Unmounts, and drops the kernel's caches and its own. */
  unmountCold(): Promise<void>
  /** Mounts after that, and looks the directory up. */
  mountAgain(): Promise<void>
  /** What makes everything durable, as far as the system has such a thing. */
  barrier: Command
  /** Makes the directory faster than by creating files; for sizes where those would take hours. */
  load?(): Promise<void>
  /** What runs in the place of a workload's own command, for what is no filesystem; null: it has no such thing. */
  translate?(workload: Workload, temperature: Temperature): Pick<Step, 'command' | 'judge'> | null
  /** The processes that serve it. */
  daemons(): number[]
  /** `MAJOR:MINOR` of its FUSE mount, if it has one. */
  connection(): string | null
  /** Makes it usable again after a command was ended by force, keeping the directory. */
  recover(): Promise<void>
  /** Unmounts. By force: what is not stored is given up. The runner then ends the place's processes, and removes its
   *  folder and its bucket. */
  stop(options: { force: boolean }): Promise<void>
}
