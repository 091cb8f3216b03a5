// `cairnfs format`: makes a volume.
import { Command } from 'commander'
import { addOptions, type FormatSettings, readFormatSettings } from './options.ts'

const LEASE_MS = 30_000

export function formatCommand(): Command {
  const command = new Command('format')
    .summary('make a volume in a bucket or folder')
    .description(
      'Makes an empty volume in STORE and prints its name and uuid. A local folder is created when it is missing, a ' +
        'bucket only with --create-bucket. A volume that is there is left alone unless --force is given, which deletes it ' +
        'with everything in it; never while it is mounted. Where objects lie that are not a volume’s, none is made. ' +
        'The store’s conditional writes are tried out first: cairnfs relies on them.',
    )
    .argument('<STORE>', 's3://BUCKET/PREFIX or file:///PATH')
  addOptions(command, 'format')
  return command
    .addHelpText(
      'after',
      '\nSizes are bytes, or K M G T (KiB MiB GiB TiB), powers of 1024.\n' +
        '\nExamples:\n' +
        '  cairnfs format file:///var/lib/vol\n' +
        '  cairnfs format s3://bucket/prefix --name photos --region eu-central-1\n' +
        '  cairnfs format file:///srv/share --casefold\n' +
        '  cairnfs format s3://bucket --endpoint http://127.0.0.1:9000 --create-bucket',
    )
    .action(async (storeName: string, options: Record<string, unknown>) => {
      const settings = readFormatSettings(options)
      const { explainingStore } = await import('./store-errors.ts')
      const place = { name: storeName, endpoint: settings.store.endpoint }
      await explainingStore(place, () => format(storeName, settings))
    })
}

async function format(storeName: string, settings: FormatSettings): Promise<void> {
  const { systemClock, systemRandom } = await import('../platform/index.ts')
  const { defaultName, formatVolume } = await import('../volume/index.ts')
  const { describeSelf, holderJudge } = await import('./held-slot.ts')
  const { openCountedStore } = await import('./open-store.ts')
  const { store, endpoint, probe } = await openCountedStore(storeName, settings.store, {
    createFolder: true,
    createBucket: settings.createBucket,
  })
  try {
    const volume = await formatVolume({
      store,
      name: settings.name ?? defaultName(storeName),
      segmentSizeBytes: settings.segmentSizeBytes,
      force: settings.force,
      casefold: settings.casefold,
      self: describeSelf(null),
      rootOwner: { uid: process.getuid!(), gid: process.getgid!() },
      clock: systemClock,
      random: systemRandom,
      leaseMs: LEASE_MS,
      judge: holderJudge(null),
      probe: settings.store.unsafeSingleWriter ? null : { endpoint, run: probe },
      log: () => {},
    })
    process.stdout.write(`formatted ${storeName}: volume ${volume.name}, uuid ${volume.uuid}\n`)
  } finally {
    await store.close()
  }
}
