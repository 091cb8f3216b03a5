// `cairnfs fsck`: checks a volume, and mends it. docs/FSCK.md says what each kind of finding means.
import { Command } from 'commander'
import type { Finding, FsckReport } from '../volume/index.ts'
import { CommandError, codeOf, describeError, UsageError } from './errors.ts'
import { addOptions, type FsckSettings, readFsckSettings } from './options.ts'
import { formatSize } from './units.ts'

const SLOT = 0
/** As fsck(8) has them. */
const CLEAN = 0
const REPAIRED = 1
const LEFT_UNCORRECTED = 4
const OPERATIONAL_ERROR = 8
export const USAGE_STATUS = 16
/** Lines for people about one kind of finding. */
const LINES_PER_KIND = 50

interface FsckFlags {
  data: boolean
  repair: boolean
  json: boolean
}

export function fsckCommand(): Command {
  const command = new Command('fsck')
    .summary('check a volume, and mend it')
    .description(
      'Checks everything in STORE that a volume is made of: every table, name, inode, extent, segment and counter. ' +
        'Changes nothing unless --repair is given. Works on an unmounted volume, and on a mounted one as of its last ' +
        'commit; --repair refuses while it is mounted.',
    )
    .argument('<STORE>', 's3://BUCKET/PREFIX or file:///PATH')
    .option('--data', 'also read and verify every byte that files have')
    .option('--repair', 'mend what is found')
    .option('--json', 'one JSON object, for programs')
  addOptions(command, 'fsck')
  return command
    .addHelpText(
      'after',
      '\nRepairing never drops what can be read: what has no name goes to /lost+found, as # and its inode number. Bytes ' +
        'of a\nfile that are lost go on to give an I/O error when they are read, until they are overwritten; later runs ' +
        'list them.\n' +
        '\nExit status, as fsck(8): 0 clean, 1 damage was found and mended, 4 damage is left, 8 the check could not be ' +
        'made,\n16 wrong usage.\n' +
        '\nExamples:\n' +
        '  cairnfs fsck file:///var/lib/vol\n' +
        '  cairnfs fsck s3://bucket/prefix --data --json\n' +
        '  cairnfs fsck s3://bucket/prefix --repair',
    )
    .action(async (storeName: string, options: Record<string, unknown>) => {
      const flags = { data: options.data === true, repair: options.repair === true, json: options.json === true }
      try {
        const settings = readFsckSettings(options)
        const { explainingStore } = await import('./store-errors.ts')
        const report = await explainingStore({ name: storeName, endpoint: settings.store.endpoint }, () =>
          run(storeName, settings, flags),
        )
        process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : formatReport(report, flags))
        process.exitCode = statusOf(report)
      } catch (error) {
        const { isStoreName } = await import('./store-errors.ts')
        const isUsage = error instanceof UsageError || !isStoreName(storeName)
        const status = isUsage ? USAGE_STATUS : OPERATIONAL_ERROR
        throw new CommandError(describeError(error), status, { cause: error })
      }
    })
}

async function run(storeName: string, settings: FsckSettings, { data, repair }: FsckFlags): Promise<FsckReport> {
  const { systemClock, systemRandom } = await import('../platform/index.ts')
  const { checkVolume, identifyVolume, repairVolume } = await import('../volume/index.ts')
  const { describeSelf, holderJudge, takeSlotLock } = await import('./held-slot.ts')
  const { openCountedStore } = await import('./open-store.ts')
  const { showSteps } = await import('./step-progress.ts')
  const { store, mounted } = await openCountedStore(storeName, settings.store)
  const progress = await showSteps()
  const { silentLogger } = await import('../observe/index.ts')
  // It works in the background of nobody: requests have the time of a mount.
  mounted(silentLogger)
  const common = {
    store,
    clock: systemClock,
    random: systemRandom,
    log: (level: 'info' | 'warn' | 'error', message: string) => {
      if (level === 'error') process.stderr.write(`cairnfs fsck: ${message}\n`)
    },
    memoryBytes: settings.memoryBytes,
    parallelism: settings.store.parallelism,
    readsData: data,
    onProgress: progress.update,
  }
  try {
    if (!repair) return await checkVolume({ ...common, judge: holderJudge(null) })
    const uuid = await identifyVolume(common)
    const lock = await takeSlotLock({ uuid, slot: SLOT, storeName, mountpoint: 'cairnfs fsck' })
    let isReleased = false
    try {
      const writer = { self: describeSelf(lock), leaseMs: settings.leaseMs, onFailure: () => {} }
      const report = await repairVolume({ ...common, judge: holderJudge(lock), writer })
      isReleased = true
      return report
    } catch (error) {
      // Held by somebody else: writers/ names him.
      isReleased ||= codeOf(error) === 'EBUSY'
      throw error
    } finally {
      // A file that writers/ may name stays: by it the next mount sees at once that we are gone.
      if (isReleased) lock.release()
      else lock.abandon()
    }
  } finally {
    progress.stop()
    await store.close()
  }
}

function statusOf({ findings }: FsckReport): number {
  const damages = findings.filter(({ severity }) => severity === 'damage')
  if (damages.some(({ repaired }) => !repaired)) return LEFT_UNCORRECTED
  return damages.length > 0 ? REPAIRED : CLEAN
}

/** The report as lines for people. */
export function formatReport(report: FsckReport, { data, repair }: { data: boolean; repair: boolean }): string {
  const { counts, findings, name } = report
  const lines: string[] = []
  const told = new Map<string, number>()
  for (const finding of findings) {
    const sort = `${finding.severity} ${finding.kind}`
    const count = (told.get(sort) ?? 0) + 1
    told.set(sort, count)
    if (count <= LINES_PER_KIND) lines.push(lineOf(finding, repair))
  }
  for (const [sort, count] of told)
    if (count > LINES_PER_KIND) lines.push(`${sort.split(' ')[1]}: ${count - LINES_PER_KIND} more; --json lists all`)
  const damages = findings.filter(({ severity }) => severity === 'damage')
  const mended = damages.filter(({ repaired }) => repaired).length
  const read = data ? `, ${formatSize(counts.dataBytesRead)} of them read` : ''
  lines.push(
    `${name}: ${counts.directories} directories, ${counts.files} files, ${counts.otherInodes} others; ` +
      `${formatSize(counts.dataBytes)} of data in ${counts.segments} segments${read}; ${counts.pages} pages`,
    `${name}: checkpoint ${report.checkpointNumber} of epoch ${report.epoch}, ${report.replayedCommits} commits on top` +
      (report.mounted ? '; somebody has it mounted, or died with it: as of its last commit' : ''),
    `${name}: ${verdict(damages.length, mended, { data, repair })}`,
  )
  return lines.map((line) => `${line}\n`).join('')
}

function lineOf({ kind, message, path, remedy, repaired, severity }: Finding, repair: boolean): string {
  const what = `${kind}: ${path === undefined ? '' : `${path}: `}${message}`
  if (severity === 'notice') return `note: ${what}`
  if (remedy === null) return `${what}; this cannot be mended`
  if (!repair) return `${what}; --repair: ${remedy}`
  return repaired ? `${what}; mended: ${remedy}` : `${what}; NOT MENDED`
}

function verdict(damages: number, mended: number, { data, repair }: { data: boolean; repair: boolean }): string {
  if (damages === 0) return 'clean'
  const found = `${damages} ${damages === 1 ? 'damage' : 'damages'} found`
  // Without --data the next run would not find again what only --data finds.
  if (!repair) return `${found}, nothing was changed: to mend, repeat with ${data ? '--data ' : ''}--repair`
  return mended === damages ? `${found}, all mended` : `${found}, ${mended} mended, ${damages - mended} left`
}
