// The workloads of `bench -- listing`, in the order in which they run and are reported. To add one: a file here, a line
// below.
import { create } from './create.ts'
import { findSize } from './find-size.ts'
import { firstEntry } from './first-entry.ts'
import { listLong } from './list-long.ts'
import { listNames } from './list-names.ts'
import { mount } from './mount.ts'
import { remove } from './remove.ts'
import { statMissing } from './stat-missing.ts'
import { statName } from './stat-name.ts'
import type { Workload } from './workload.ts'

export const LISTING: readonly Workload[] = [
  create,
  mount,
  firstEntry,
  listNames,
  listLong,
  findSize,
  statName,
  statMissing,
  remove,
]
export { lookups } from './lookups.ts'
export type { BucketMode, Figures, Output, Temperature, Workload } from './workload.ts'
export { printedFigures } from './workload.ts'
