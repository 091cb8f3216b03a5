// JuiceFS with its metadata in Redis, beside the bucket.
import { createWriteStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DIRECTORY, fileName } from '../minio.ts'
import type { Command } from '../workspace.ts'
import { peerBinary, probePeer } from './binaries.ts'
import { MountedInstance } from './mounted.ts'
import { type Redis, redisServer, startRedis } from './redis.ts'
import type { Place, System } from './system.ts'

const FORMAT_MS = 60_000
const LOAD_MS = 1_200_000

export const juicefs: System = {
  id: 'juicefs',
  title: 'JuiceFS',
  limits: {
    entries: Number.POSITIVE_INFINITY,
    // A quarter of an hour each, and minutes.
    entriesOf: { create: 100_000, rm: 100_000, 'find-size': 100_000 },
    withLatency: ['mount', 'first-entry', 'ls-f', 'ls-lU', 'stat', 'stat-missing'],
    reason:
      'a million files take it a quarter of an hour to create, as long to remove, and minutes to search; and none of it ' +
      'asks the store for anything, so that latency added there changes nothing',
  },
  filling: 'created',
  note:
    'JuiceFS keeps its metadata in a Redis of its own (appendfsync everysec) on the same machine, to which no latency is ' +
    'added and which stays warm; CPU and memory are those of both. No trash. As several hosts may write, it lets the ' +
    'kernel keep names and attributes for a second, its default, where cairnfs says an hour. Directories that are not ' +
    'created for a table are loaded into Redis.',
  async probe(workspace) {
    if (redisServer() === null) return { missing: 'there is no redis-server (Debian: redis-tools)' }
    return probePeer(workspace, 'juicefs', 'version')
  },
  async open(place) {
    const { workspace, endpoint, bucket, folder, name } = place
    const redis = await startRedis(workspace, folder, name)
    const keys = ['--access-key', process.env.AWS_ACCESS_KEY_ID!, '--secret-key', process.env.AWS_SECRET_ACCESS_KEY!]
    const store = ['--storage', 'minio', '--bucket', `${endpoint}/${bucket}`, '--trash-days', '0']
    await workspace.expect(run('format', ...store, ...keys, redis.url, 'bench'), { limitMs: FORMAT_MS })
    const cache = join(folder, 'cache')
    return MountedInstance.mount(place, {
      steps: (mountpoint) => [
        {
          daemon: run(
            'mount',
            ...['--no-usage-report', '--no-syslog', '--metrics', '127.0.0.1:0', '--backup-meta', '0'],
            ...['--cache-dir', cache, redis.url, mountpoint],
          ),
        },
      ],
      cacheFolders: [cache],
      load: () => loadDirectory(place, redis),
    })
  },
}

function run(...args: string[]): Command {
  return { program: peerBinary('juicefs'), args }
}

/** Puts the directory into the metadata by JuiceFS's own dump and load. */
async function loadDirectory({ workspace, folder, entries }: Place, redis: Redis): Promise<void> {
  const dumped = join(folder, 'dump.json')
  const loaded = join(folder, 'load.json')
  await workspace.expect(run('dump', '--keep-secret-key', redis.url, dumped), { limitMs: FORMAT_MS })
  const { FSTree, Counters, ...rest } = JSON.parse(readFileSync(dumped, 'utf8')) as Record<string, object>
  const { attr } = FSTree as { attr: object }
  await pipeline(Readable.from(dumpWith(rest, attr, Counters!, entries)), createWriteStream(loaded))
  await redis.flush()
  await workspace.expect(run('load', redis.url, loaded), { limitMs: LOAD_MS })
}

/** The text of a dump whose root, inode 1, holds the directory and nothing else. */
function* dumpWith(rest: object, root: object, counters: object, entries: number): Generator<string> {
  const attributes = (inode: number, more: object) => ({ ...root, inode, ...more })
  const directory = attributes(2, { type: 'directory', mode: 0o755, nlink: 2 })
  yield `${JSON.stringify({ ...rest, Counters: { ...counters, usedInodes: entries + 1, usedSpace: 4096 * (entries + 1) } }).slice(0, -1)},`
  yield `"FSTree":{"attr":${JSON.stringify({ ...root, nlink: 3 })},"entries":{${JSON.stringify(DIRECTORY)}:`
  yield `{"attr":${JSON.stringify(directory)},"entries":{`
  for (let index = 0; index < entries; index++) {
    const file = attributes(index + 3, { type: 'regular', mode: 0o644, nlink: 1, length: 0 })
    yield `${index === 0 ? '' : ','}\n${JSON.stringify(fileName(index))}:{"attr":${JSON.stringify(file)}}`
  }
  yield '}}}}}\n'
}
