// `cairnfs gc`: gives back what a volume that nobody has mounted does not need.
import { Command } from 'commander'
import type { GcReport } from '../volume/index.ts'
import { codeOf } from './errors.ts'
import { addOptions, type GcSettings, readGcSettings } from './options.ts'
import { formatSize } from './units.ts'

const SLOT = 0
const MEMORY_BYTES = 512 << 20

interface GcFlags {
  dryRun: boolean
  json: boolean
}

export function gcCommand(): Command {
  const command = new Command('gc')
    .summary('delete what a volume no longer needs')
    .description(
      'Deletes what crashes left in STORE and nothing refers to, then what files no longer use, packs together what is ' +
        'left of segments that are mostly garbage, and makes files whole that random writes left in pieces. A mount does ' +
        'all but the first by itself, in the background. Refuses while the volume is mounted for writing; --dry-run ' +
        'deletes nothing and works then too. Objects that are not the volume’s are listed and left alone.',
    )
    .argument('<STORE>', 's3://BUCKET/PREFIX or file:///PATH')
    .option('--dry-run', 'only tell what would be deleted')
    .option('--json', 'one JSON object, for programs')
  addOptions(command, 'gc')
  return command
    .addHelpText(
      'after',
      '\nWhat files no longer use is kept for --grace after this run has seen it, so that read-only mounts of an older\n' +
        'state can go on reading it. Where there are none, --grace 0 deletes it now.\n' +
        '\nExamples:\n' +
        '  cairnfs gc file:///var/lib/vol --dry-run\n' +
        '  cairnfs gc s3://bucket/prefix --grace 0',
    )
    .action(async (storeName: string, options: Record<string, unknown>) => {
      const settings = readGcSettings(options)
      const flags = { dryRun: options.dryRun === true, json: options.json === true }
      const { explainingStore } = await import('./store-errors.ts')
      const report = await explainingStore({ name: storeName, endpoint: settings.store.endpoint }, () =>
        collect(storeName, settings, flags),
      )
      process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : formatReport(report))
    })
}

async function collect(storeName: string, settings: GcSettings, { dryRun }: GcFlags): Promise<GcReport> {
  const { systemClock, systemRandom } = await import('../platform/index.ts')
  const { gcVolume, readVolumeJson } = await import('../volume/index.ts')
  const { describeSelf, holderJudge, takeSlotLock } = await import('./held-slot.ts')
  const { openCountedStore } = await import('./open-store.ts')
  const { showSteps } = await import('./step-progress.ts')
  const { store, endpoint, probe, mounted } = await openCountedStore(storeName, settings.store)
  const progress = await showSteps()
  try {
    const identity = await readVolumeJson(store)
    const { silentLogger } = await import('../observe/index.ts')
    // It works in the background of nobody: requests have the time of a mount.
    mounted(silentLogger)
    const lock = dryRun
      ? null
      : await takeSlotLock({ uuid: identity.json.uuid, slot: SLOT, storeName, mountpoint: 'cairnfs gc' })
    let isReleased = dryRun
    try {
      const report = await gcVolume({
        store,
        identity,
        writer:
          lock === null
            ? null
            : {
                self: describeSelf(lock),
                leaseMs: settings.leaseMs,
                judge: holderJudge(lock),
                probe: settings.store.unsafeSingleWriter ? null : { endpoint, run: probe },
                onFailure: () => {},
              },
        clock: systemClock,
        random: systemRandom,
        log: (level, message) => {
          if (level !== 'info') process.stderr.write(`cairnfs gc: ${message}\n`)
        },
        memoryBytes: MEMORY_BYTES,
        parallelism: settings.store.parallelism,
        rootOwner: { uid: process.getuid!(), gid: process.getgid!() },
        graceMs: settings.graceMs,
        onProgress: (step, done, total) => progress.update(step, done, total),
      })
      isReleased = true
      return report
    } catch (error) {
      // Held by somebody else: writers/ names him.
      isReleased ||= codeOf(error) === 'EBUSY'
      throw error
    } finally {
      // A file that writers/ may name stays: by it the next mount sees at once that we are gone.
      if (isReleased) lock?.release()
      else lock?.abandon()
    }
  } finally {
    progress.stop()
    await store.close()
  }
}

/** The report as lines for people. */
export function formatReport(report: GcReport): string {
  const { dryRun, leftovers, dead, waiting, movedBytes, foreign, miscounted } = report
  const verb = dryRun ? 'would delete' : 'deleted'
  const line = (what: string, { objects, bytes }: { objects: number; bytes: number }) =>
    `${verb} ${objects} ${what} (${formatSize(bytes)})\n`
  const total = Object.values(leftovers).reduce((sum, { bytes }) => sum + bytes, dead.bytes)
  return [
    line('segments that nothing names', leftovers.segment),
    line('objects of ended journals', leftovers.journal),
    line('objects of interrupted probes', leftovers.probe),
    line('segments that are no longer used', dead),
    movedBytes > 0 ? `packed ${formatSize(movedBytes)} of what was left in sparse segments into new ones\n` : '',
    waiting > 0 ? `${waiting} segments wait for the grace period: --grace 0 deletes them now\n` : '',
    `${dryRun ? 'to be freed' : 'freed'}: ${formatSize(total)}\n`,
    ...miscounted.map((key) => `left alone, though no counter names it: ${key}\n`),
    ...foreign.map((key) => `not this volume's, left alone: ${key}\n`),
  ].join('')
}
