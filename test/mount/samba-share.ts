// A large directory that ignores case, shared by Debian's smbd by the recipes of docs/SAMBA.md, and used by smbclient.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { python } from '../../bench/programs/index.ts'
import { BY_DIRECTORY, BY_MODULE, COMMON, Samba } from '../../bench/smb/samba.ts'
import { summarize } from '../../bench/statistics.ts'
import { Workspace } from '../../bench/workspace.ts'
import { describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const LIMIT_MS = 600_000
const DOCUMENT = join(import.meta.dirname, '../../docs/SAMBA.md')

/** The sections of shares in the document, without their paths. */
export function documentedRecipes(): string[][] {
  const blocks = readFileSync(DOCUMENT, 'utf8').matchAll(/^```ini\n(.*?)^```$/gms)
  return [...blocks].map(([, text]) =>
    text!
      .split('\n')
      .map((line) => line.replace(/ *;.*/, '').trim())
      .filter((line) => line !== '' && !/^(\[|path\b|read only\b)/.test(line)),
  )
}

export class SharedDirectory {
  readonly #workspace = new Workspace()
  readonly #volume: TestVolume
  /** Of what clients send and fetch. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'cairnfs-test-'))
  #samba!: Samba

  constructor(volume: TestVolume) {
    this.#volume = volume
  }

  /** Shares `d`, which folds, as `directory` and `module`, and `plain`, which does not, as `plain`. */
  async start(entries: number): Promise<void> {
    const fill = (directory: string) =>
      `/usr/bin/python3 -c 'for i in range(${entries}): open(f"${directory}/file-{i:07}", "x").close()'`
    await this.#volume.shell(`mkdir d plain; chattr +F d; ${fill('d')}; ${fill('plain')}`, { timeoutMs: LIMIT_MS })
    const at = (name: string) => join(this.#volume.mountpoint, name)
    this.#samba = await Samba.start(this.#workspace, [
      { name: 'directory', path: at('d'), settings: BY_DIRECTORY },
      { name: 'module', path: at('d'), settings: BY_MODULE },
      { name: 'plain', path: at('plain'), settings: COMMON },
    ])
  }

  /** What smbclient says to commands, all of which must succeed; files that it gets and puts lie in `folder`. */
  async smb(share: string, commands: string): Promise<string> {
    const { stdout, stderr } = await this.#run(share, commands)
    expect(stdout + stderr, commands).not.toMatch(/NT_STATUS_|NT code/)
    return stdout
  }

  /** The status that a command ends with, as smbclient names or numbers it. */
  async failure(share: string, command: string): Promise<string> {
    const { stdout, stderr } = await this.#run(share, command)
    return /NT_STATUS_\w+|NT code \w+/.exec(stdout + stderr)?.[0] ?? `none: ${stdout}${stderr}`
  }

  #run(share: string, commands: string) {
    const command = this.#samba.smbclient(share, `lcd ${this.#folder}; ${commands}`)
    return this.#workspace.run(command, { limitMs: LIMIT_MS, mountpoints: [this.#volume.mountpoint] })
  }

  /** The names that match. */
  async list(share: string, mask: string): Promise<string[]> {
    const { stdout } = await this.#run(share, `ls ${mask}`)
    return [...stdout.matchAll(/^ {2}(\S+) +[ADHNRS]+ +\d+ /gm)]
      .map(([, name]) => name!)
      .filter((name) => !/^\.+$/.test(name))
  }

  put(name: string, text: string): void {
    writeFileSync(join(this.#folder, name), text)
  }

  got(name: string): string {
    return readFileSync(join(this.#folder, name), 'utf8')
  }

  /** Medians, in seconds, of creating and of opening by another case. */
  async timed(share: string, entries: number, operations: number): Promise<{ create: number; open: number }> {
    const program = python('smb.py', this.#samba.configuration, share, entries, operations, 0)
    const text = await this.#workspace.expect(this.#samba.reaching(program), { limitMs: LIMIT_MS })
    const seconds = JSON.parse(text) as { create: number[]; open: number[] }
    return { create: summarize(seconds.create).median, open: summarize(seconds.open).median }
  }

  /** Ends smbd, which uses the mount. */
  async stop(): Promise<void> {
    await this.#samba?.stop()
    const failures = await this.#workspace.cleanUp()
    rmSync(this.#folder, { recursive: true, force: true })
    expect(failures).toEqual([])
  }
}

/** What both recipes promise. */
async function useByAnyCase(shared: SharedDirectory, volume: TestVolume, entries: number): Promise<void> {
  const stored = async () => (await volume.shell("ls d | grep -v '^file-' || true")).trimEnd()
  shared.put('a', 'first')
  shared.put('b', 'second')
  for (const share of ['directory', 'module']) {
    const listed = await shared.list(share, '*')
    expect(new Set(listed).size, `${share}: names`).toBe(entries)
    expect(listed.length, `${share}: entries`).toBe(entries)

    await shared.smb(share, 'put a ReadMe.Txt; get README.TXT got; get readme.txt again')
    expect([shared.got('got'), shared.got('again')]).toEqual(['first', 'first'])
    await shared.smb(share, 'put b README.txt; get ReadMe.Txt got')
    expect([shared.got('got'), await stored()]).toEqual(['second', 'ReadMe.Txt'])
    await shared.smb(share, 'rename readme.TXT Straße.TXT; get STRASSE.txt got')
    expect([shared.got('got'), await stored()]).toEqual(['second', 'Straße.TXT'])
    await shared.smb(share, 'mkdir Sub; put a sUB/Inner; get SUB/INNER got; ls sub/inner')
    expect(await volume.shell('ls d/Sub; lsattr -d d/Sub | grep -c F')).toBe('Inner\n1\n')
    expect(await shared.failure(share, 'mkdir SUB')).toBe('NT_STATUS_OBJECT_NAME_COLLISION')
    expect(await shared.failure(share, 'get FILE-0000001x got')).toBe('NT_STATUS_OBJECT_NAME_NOT_FOUND')
    await shared.smb(share, 'del STRASSE.TXT; del SUB/inner; rmdir sUb')
    expect(await stored()).toBe('')
    // What a client removes under another spelling is gone for the programs of the server too.
    await shared.smb(share, 'put a File-X; get file-x got; del FILE-X')
    expect(await volume.shell('ls d | wc -l; test ! -e d/File-X')).toBe(`${entries}\n`)
    await shared.smb(share, 'del FILE-0000007; put a file-0000007; get FILE-0000007 got')
    expect(shared.got('got')).toBe('first')
    await volume.shell(': >d/file-0000007')
  }
}

/** A test, on each kind of store, of a share of so many files: what both recipes promise, and then the rest. */
export function testShare(
  entries: number,
  promise: string,
  rest: (share: SharedDirectory, volume: TestVolume) => Promise<void>,
): void {
  const missing = existsSync('/usr/sbin/smbd') ? null : 'no samba: scripts/test installs it'
  const volumes = new Volumes()
  const shared: SharedDirectory[] = []
  afterEach(async () => {
    for (const each of shared.splice(0)) await each.stop()
    await volumes.cleanUp()
  })
  describeStores(`a share of ${entries.toLocaleString('en')} files`, (kind) => {
    test(promise, async (context) => {
      if (missing !== null) context.skip(missing)
      const volume = await volumes.create(kind)
      const share = new SharedDirectory(volume)
      shared.push(share)
      await share.start(entries)
      await useByAnyCase(share, volume, entries)
      await rest(share, volume)
      await share.stop()
      await volume.unmount()
    })
  })
}
