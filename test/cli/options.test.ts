// Options mean the same however they are given, have the defaults that the help tells, and are refused when wrong.
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { parseOptionString } from '../../src/cli/option-strings.ts'
import { addOptions, type MountSettings, readFormatSettings, readMountSettings } from '../../src/cli/options.ts'

function mountSettings(args: string[], { isRoot = true, isSloppy = false } = {}): MountSettings {
  const command = new Command().exitOverride().configureOutput({ writeErr() {} })
  addOptions(command, 'mount')
  command.parse(args, { from: 'user' })
  return readMountSettings(command.opts(), { isRoot, isSloppy })
}

/** All but -o. */
function longOptionsOf(name: 'format' | 'mount'): string[] {
  const command = new Command()
  addOptions(command, name)
  return command.options.flatMap(({ long }) => long ?? []).sort()
}

describe('the text of -o', () => {
  it('is split at commas, except quoted and escaped ones', () => {
    expect(parseOptionString('rw,,log_level=debug,name="a,b",x=c\\,d,e==')).toEqual([
      { name: 'rw', value: null },
      { name: 'log-level', value: 'debug' },
      { name: 'name', value: 'a,b' },
      { name: 'x', value: 'c,d' },
      { name: 'e', value: '=' },
    ])
    expect(() => parseOptionString('a="b')).toThrow('not closed')
  })
})

describe('options of mount', () => {
  it('have the defaults that the help tells', () => {
    expect(mountSettings([])).toMatchObject({
      commitMs: 5000,
      memoryBytes: 2 ** 30,
      leaseMs: 30_000,
      logLevel: 'info',
      cache: null,
      store: { parallelism: 20, pathStyle: false, unsafeSingleWriter: false },
    })
  })

  it('mean the same as long options and as words of -o', () => {
    const given: [string, string | null][] = [
      ['commit', '7'],
      ['memory', '256M'],
      ['max-readahead', '16M'],
      ['max-uploads', '3'],
      ['grace', '2h'],
      ['take-over', null],
      ['writeback', null],
      ['lease', '60'],
      ['log-level', 'debug'],
      ['endpoint', 'http://127.0.0.1:9000'],
      ['region', 'eu-central-1'],
      ['profile', 'backup'],
      ['credentials-file', '/etc/cairnfs/keys'],
      ['parallelism', '4'],
      ['path-style', null],
      ['unsigned-payload', null],
      ['unsafe-single-writer', null],
      ['cache-dir', '/var/cache/cairnfs'],
      ['cache-size', '20GiB'],
      ['allow-other', null],
      ['binding', 'kernel'],
      ['acl', null],
      ['read-only', null],
    ]
    expect(given.map(([name]) => `--${name}`).sort()).toEqual(longOptionsOf('mount'))
    const long = mountSettings(given.flatMap(([name, value]) => [`--${name}`, ...(value === null ? [] : [value])]))
    const words = given.map(([name, value]) => name.replaceAll('-', '_') + (value === null ? '' : `=${value}`))
    expect(mountSettings(['-o', words.join(',')])).toEqual(long)
    expect(mountSettings(words.flatMap((word) => ['-o', word]))).toEqual(long)
    expect(mountSettings(['-o', words.join(',').replaceAll('_', '-')])).toEqual(long)
    expect(long.cache).toEqual({ dir: '/var/cache/cairnfs', sizeBytes: 20 * 2 ** 30 })
    expect(long).toMatchObject({ commitMs: 7000, memoryBytes: 256 << 20, kernel: { readOnly: true } })
  })

  it('the long one counts before a word, the later word before an earlier one', () => {
    expect(mountSettings(['-o', 'commit=1,commit=2']).commitMs).toBe(2000)
    expect(mountSettings(['--commit', '3', '-o', 'commit=1']).commitMs).toBe(3000)
  })

  it('understand the words of mount(8) and fstab(5)', () => {
    const settings = mountSettings([
      '-o',
      'rw,noatime,_netdev,nofail,noauto,x-systemd.automount,X-mount.mkdir,comment=mine,defaults,nodev,noexec,sync',
    ])
    expect(settings.kernel).toEqual({
      readOnly: false,
      nosuid: false,
      nodev: true,
      noexec: true,
      noatime: true,
      sync: true,
      dirsync: false,
    })
    expect(mountSettings(['-o', 'ro']).kernel.readOnly).toBe(true)
    expect(mountSettings(['-o', 'ro,rw']).kernel.readOnly).toBe(false)
    expect(mountSettings(['-o', 'user']).kernel).toMatchObject({ nosuid: true, nodev: true, noexec: true })
    expect(mountSettings(['-o', 'user,exec']).kernel).toMatchObject({ nosuid: true, noexec: false })
  })

  it('are dev,suid and open to all for root, nodev,nosuid and closed for others', () => {
    expect(mountSettings([])).toMatchObject({ allowOther: true, kernel: { nosuid: false, nodev: false } })
    expect(mountSettings([], { isRoot: false })).toMatchObject({
      allowOther: false,
      kernel: { nosuid: true, nodev: true },
    })
  })

  it('let in nobody else where nobody says who asks: through fuse-native', () => {
    expect(mountSettings(['-o', 'binding=fuse-native'])).toMatchObject({ binding: 'fuse-native', allowOther: false })
    expect(() => mountSettings(['--binding', 'fuse-native', '--allow-other'])).toThrow(/^--allow-other: fuse-native /)
    for (const option of ['--acl', '--writeback']) {
      expect(() => mountSettings(['--binding', 'fuse-native', option])).toThrow(
        `${option}: fuse-native does not have it`,
      )
    }
    expect(() => mountSettings(['--binding', 'libfuse'])).toThrow("'libfuse' is none of kernel, fuse-native")
  })

  it('are refused by name when unknown, never with the value, and left out when sloppy', () => {
    expect(() => mountSettings(['-o', 'secret_key=hunter2'])).toThrow(/secret_key/)
    expect(() => mountSettings(['-o', 'secret_key=hunter2'])).not.toThrow(/hunter2/)
    expect(mountSettings(['-o', 'secret_key=hunter2'], { isSloppy: true }).commitMs).toBe(5000)
    expect(() => mountSettings(['-o', 'remount,ro'])).toThrow('use mount(8)')
    expect(() => mountSettings(['-o', 'foo'])).toThrow("unknown option 'foo': see cairnfs mount --help")
    expect(() => readFormatSettings({ o: ['ro'] })).toThrow("unknown option 'ro': see cairnfs format --help")
  })

  it.each([
    [['--commit', 'soon'], /--commit.*soon/],
    [['--commit', '0'], /--commit/],
    [['--memory', '1M'], /--memory.*64M/],
    [['--parallelism', '0'], /--parallelism/],
    [['--log-level', 'loud'], /loud/],
    [['-o', 'commit'], /needs a value/],
    [['-o', 'path_style=yes'], /takes no value/],
    [['-o', 'ro=1'], /-o ro takes no value/],
    [['-o', 'constructor'], /unknown option 'constructor'/],
    [['--max-readahead', 'far'], /--max-readahead.*far/],
    [['--max-uploads', '0'], /--max-uploads/],
    [['--cache-size', '1G'], /--cache-dir/],
    [['--cache-dir', '/c', '--cache-size', '0'], /--cache-size.*64M/],
    [['--cache-dir', ''], /--cache-dir/],
    [['--endpoint', 'localhost:9000'], /--endpoint/],
  ])('%j is refused', (args, why) => expect(() => mountSettings(args)).toThrow(why))

  it('refuses keys in the endpoint without repeating them', () => {
    expect(() => mountSettings(['--endpoint', 'http://key:hunter2@host'])).toThrow(/--credentials-file/)
    expect(() => mountSettings(['--endpoint', 'http://key:hunter2@host'])).not.toThrow(/hunter2/)
  })
})

it('options of format are long options and words of -o too', () => {
  const command = new Command().exitOverride()
  addOptions(command, 'format')
  command.parse(['--segment-size', '4M', '-o', 'name=photos,force'], { from: 'user' })
  expect(readFormatSettings(command.opts())).toMatchObject({
    name: 'photos',
    segmentSizeBytes: 4 << 20,
    force: true,
    createBucket: false,
  })
})
