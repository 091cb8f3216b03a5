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
  /** Directories larger than this are not tried, unless --most says so: they take too long. */
  mostEntries: number
  /** How the directory comes about. `keys`: objects put straight into a bucket that all rounds share, so that only
   *  reading is measured. */
  filling: 'created' | 'keys'
  /** What a reader has to know of the figures. */
  note?: string
  /** Its version, or why it cannot run here. */
  probe(workspace: Workspace): Promise<{ version: string } | { missing: string }>
  /** A fresh volume, formatted and mounted. The runner takes away what it leaves when it fails. */
  open(place: Place): Promise<Instance>
}

/** Where an instance may put what. */
export interface Place {
  workspace: Workspace
  minio: Minio
  /** Of the same MinIO, as the system is to reach it: latency may be added. */
  endpoint: string
  /** Its own: the name of its volume, and the mark of its processes. */
  name: string
  folder: string
  /** Its own bucket's name, still to be made; `filling: 'keys'`: the bucket with the keys. */
  bucket: string
  entries: number
}

export interface Instance {
  /** The path of the directory that is measured. */
  directory: string
  /** Mounts it may hang in. */
  mountpoints: string[]
  /** Unmounts, drops the kernel's caches and its own, mounts again, and loads the directory's parent. */
  remountCold(): Promise<void>
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
