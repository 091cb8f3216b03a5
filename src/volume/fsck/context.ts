// What the passes of a check share.
import type { NameKeys } from '../../meta/index.ts'
import type { Clock } from '../../platform/index.ts'
import type { SegmentStore } from '../../segments/index.ts'
import type { ListedObject, ObjectStore } from '../../store/index.ts'
import type { Database, Inspector, TableKind } from '../../tables/index.ts'
import type { VolumeIdentity } from '../volume-json.ts'
import type { Findings } from './findings.ts'
import type { FsckProgress } from './report.ts'
import type { Survey } from './survey.ts'

export interface CheckContext {
  store: ObjectStore
  identity: VolumeIdentity
  clock: Clock
  nameKeys: NameKeys
  database: Database
  inspector: Inspector
  segments: SegmentStore
  /** Every object of the store. */
  listed: ReadonlyMap<string, ListedObject>
  survey: Survey
  findings: Findings
  progress: FsckProgress
  parallelism: number
  /** Reads and verifies every block. */
  readsData: boolean
}

/** Added to a kind's number: the table of its tables' root pages. */
export const ROWS = 128

/** Whether what a table holds under `key` cannot be read: nothing is known of it then. */
export function isUnreadable({ inspector }: CheckContext, kind: TableKind, owner: number, key: number): boolean {
  return inspector.damages.some(({ table }) => {
    if (table === undefined) return false
    if (table.kind === kind && table.owner === owner) return key >= table.from && key < table.to
    return table.kind === kind + ROWS && owner >= table.from && owner < table.to
  })
}

/** Whether a table has any range that cannot be read. */
export function hasUnreadable({ inspector }: CheckContext, kind: TableKind, owner: number): boolean {
  return inspector.damages.some(({ table }) => {
    if (table === undefined) return false
    if (table.kind === kind) return table.owner === owner
    return table.kind === kind + ROWS && owner >= table.from && owner < table.to
  })
}
