// Debian's smbd on shares of our own, and clients for it: in a network of its own, where nobody else's server is and which
// nobody else reaches.
//
// Must stay true: smbd and all its children are in one process group and end with it; everything it writes lies in the
// workspace's folder. It is stopped before the mounts of its shares go.
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { holdsWithin, sleep } from '../waiting.ts'
import { type Command, logEnd, type Workspace } from '../workspace.ts'

const START_MS = 60_000
const STOP_MS = 10_000

export interface Share {
  name: string
  path: string
  /** Lines of its section, besides the path. */
  settings: readonly string[]
}

/** Whatever matches names: see docs/SAMBA.md for what each is good for. */
export const COMMON = ['mangled names = no', 'store dos attributes = no', 'map archive = no', 'ea support = no']
/** The directory's own matching, asked through system calls. */
export const BY_DIRECTORY = ['case sensitive = yes', ...COMMON]
/** The directory's own matching, asked for the spelling. */
export const BY_MODULE = ['vfs objects = glusterfs_fuse', ...COMMON]

/** The server's own section: alone on its host, everybody is root, files in one folder. */
function globalSection(folder: string): string[] {
  return [
    '[global]',
    'server role = standalone',
    'interfaces = lo',
    'bind interfaces only = yes',
    'disable netbios = yes',
    'disable spoolss = yes',
    'load printers = no',
    'printing = bsd',
    'map to guest = Bad User',
    'guest ok = yes',
    'force user = root',
    'read only = no',
    ...['private dir', 'lock directory', 'state directory', 'cache directory', 'pid directory'].map(
      (what) => `${what} = ${folder}`,
    ),
    `ncalrpc dir = ${join(folder, 'ncalrpc')}`,
    `log file = ${join(folder, 'log.smbd')}`,
  ]
}

export class Samba {
  readonly configuration: string
  readonly #workspace: Workspace
  readonly #server: ChildProcess

  private constructor(workspace: Workspace, configuration: string, server: ChildProcess) {
    this.#workspace = workspace
    this.configuration = configuration
    this.#server = server
  }

  /** Resolves when every share answers. */
  static async start(workspace: Workspace, shares: readonly Share[]): Promise<Samba> {
    const folder = workspace.makeFolder('samba')
    const configuration = join(folder, 'smb.conf')
    const sections = shares.map(({ name, path, settings }) => [`[${name}]`, `path = ${path}`, ...settings])
    writeFileSync(configuration, `${[globalSection(folder), ...sections].flat().join('\n')}\n`)
    const log = join(folder, 'log')
    const serve = 'ip link set lo up && exec smbd --foreground --no-process-group --configfile="$1"'
    const server = workspace.start(
      { program: 'unshare', args: ['--net', 'bash', '-c', serve, 'smbd', configuration] },
      { part: 'samba', log },
    )
    const samba = new Samba(workspace, configuration, server)
    workspace.onCleanUp('smbd', () => samba.stop())
    for (const { name } of shares) {
      if (!(await samba.#answers(name)))
        throw new Error(`smbd does not serve ${name}: ${logEnd(log)}${logEnd(join(folder, 'log.smbd'))}`)
    }
    return samba
  }

  /** The same command, where it reaches the server, as //127.0.0.1. */
  reaching({ program, args, ...rest }: Command): Command {
    return { program: 'nsenter', args: ['--net', `--target=${this.#server.pid}`, program, ...args], ...rest }
  }

  /** smbclient(1) with commands, ended by semicolons. */
  smbclient(share: string, commands: string): Command {
    const connection = ['--no-pass', `--configfile=${this.configuration}`, `//127.0.0.1/${share}`]
    return this.reaching({ program: 'smbclient', args: [...connection, '--command', commands] })
  }

  async stop(): Promise<void> {
    this.#signal('SIGTERM')
    const hasEnded = () => this.#server.exitCode !== null || this.#server.signalCode !== null
    await holdsWithin(STOP_MS, hasEnded)
    this.#signal('SIGKILL')
    await holdsWithin(STOP_MS, hasEnded)
  }

  async #answers(share: string): Promise<boolean> {
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline && this.#server.exitCode === null) {
      const { status } = await this.#workspace.run(this.smbclient(share, 'quit'), { limitMs: START_MS })
      if (status === 0) return true
      await sleep(50)
    }
    return false
  }

  /** To smbd and its children. */
  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#server.pid!, signal)
    } catch {
      // All of them have ended.
    }
  }
}
