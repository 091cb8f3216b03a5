// A Redis for JuiceFS: on a socket in a folder of its own, no port, synced every second.
//
// Debian's package redis-server would start a server for all; redis-tools has the same program under the name of
// redis-check-rdb, which becomes the server when it is called so.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../waiting.ts'
import { type Command, logEnd, type Workspace } from '../workspace.ts'
import { hasEnded } from './mounted.ts'

const START_MS = 20_000
/** In its order: a name that is no server is one by its argv[0]. */
const PROGRAMS = ['redis-server', 'redis-check-rdb']

export interface Redis {
  /** As JuiceFS wants it. */
  url: string
  /** Empties it. */
  flush(): Promise<void>
}

/** The command of the server without its arguments, or null where there is none. */
export function redisServer(): Command | null {
  for (const name of PROGRAMS) {
    for (const folder of (process.env.PATH ?? '').split(':')) {
      const program = join(folder, name)
      if (existsSync(program)) return { program, args: [], argv0: 'redis-server' }
    }
  }
  return null
}

export async function startRedis(workspace: Workspace, folder: string, part: string): Promise<Redis> {
  const server = redisServer()
  if (server === null) throw new Error('there is no redis-server')
  const socket = join(folder, 'redis.sock')
  const log = join(folder, 'redis.log')
  // Its title would be written over the environment that marks it.
  const args = ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', '--set-proc-title', 'no']
  const child = workspace.start(
    { ...server, args: [...args, '--appendonly', 'yes', '--appendfsync', 'everysec'] },
    { part, log },
  )
  await until(START_MS, 'Redis', () => existsSync(socket) || hasEnded(child))
  if (hasEnded(child)) throw new Error(`Redis did not come up: ${logEnd(log)}`)
  const tell = (word: string) =>
    workspace.expect({ program: 'redis-cli', args: ['-s', socket, word] }, { limitMs: 60_000 })
  return {
    url: `unix://${socket}`,
    flush: async () => {
      await tell('flushall')
    },
  }
}
