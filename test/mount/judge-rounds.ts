// Debian's programs as judges of a filesystem: each finds by itself what is wrong, by checksums, or by knowing what a call
// must do. All run inside the mount, as children under the watchdog.
import { expect } from 'vitest'
import type { StoreKind, TestVolume } from './volume-fixture.ts'

export interface Lengths {
  /** How much fio writes and verifies in each of its jobs. */
  fioMiB: number
  stressSec: number
  stressors: readonly string[]
  dbenchSec: number
  pgbenchSec: number
}

export interface Judge {
  name: string
  /** The kind of store that it judges in the brief form. */
  briefly: StoreKind['title']
  judge(volume: TestVolume, lengths: Lengths): Promise<void>
}

const PATIENT = { timeoutMs: 900_000 }
/** Those of stress-ng's stressors of files that are about a filesystem in a directory: not about kernel interfaces elsewhere
 *  (procfs, binderfs), what needs a device or another filesystem (bind-mount, verity), or nothing but descriptors (dup,
 *  eventfd, fanotify). */
export const STRESSORS: readonly string[] = [
  ...['access', 'chattr', 'chdir', 'chmod', 'chown', 'copy-file', 'dentry', 'dir', 'dirdeep', 'dirmany', 'fallocate'],
  ...[
    'fcntl',
    'file-ioctl',
    'filename',
    'flock',
    'fpunch',
    'fsize',
    'fstat',
    'getdent',
    'handle',
    'hdd',
    'inode-flags',
  ],
  ...['io', 'iomix', 'lease', 'link', 'locka', 'lockf', 'lockofd', 'mknod', 'open', 'rename', 'symlink', 'sync-file'],
  ...['touch', 'utime', 'xattr'],
]
const FIO_JOBS: readonly [name: string, options: string][] = [
  ['sequential', '--rw=write --bs=128k'],
  ['sequential, past the page cache', '--rw=write --bs=128k --direct=1'],
  ['random', '--rw=randwrite --bs=4k'],
  ['random, of many sizes', '--rw=randwrite --bsrange=512-64k --bs_unaligned=1'],
  ['random, past the page cache', '--rw=randwrite --bs=4k --direct=1'],
  ['random, through a mapping', '--rw=randwrite --bs=4k --ioengine=mmap'],
  ['random, several files and an fsync now and then', '--rw=randwrite --bs=8k --nrfiles=4 --fsync=64'],
]

export const JUDGES: readonly Judge[] = [
  {
    name: 'fio reads what it wrote, sequential and random, buffered, direct and mapped',
    briefly: 'MinIO',
    async judge(volume, { fioMiB }) {
      for (const [index, [name, options]] of FIO_JOBS.entries()) {
        const job = `--name=job${index} --size=${fioMiB}m --verify=crc32c --verify_fatal=1 --end_fsync=1 ${options}`
        const told = await volume.run(`fio --output-format=terse ${job} 2>&1`, PATIENT)
        expect(told.status, `${name}: ${told.stdout.slice(-2000)}`).toBe(0)
      }
      await volume.remountCold()
      for (const [index, [name, options]] of FIO_JOBS.entries()) {
        const job = `--name=job${index} --size=${fioMiB}m --verify=crc32c --verify_fatal=1 --verify_only=1 ${options}`
        const told = await volume.run(`fio --output-format=terse ${job} 2>&1`, PATIENT)
        expect(told.status, `${name}, after a remount: ${told.stdout.slice(-2000)}`).toBe(0)
      }
      await volume.shell('rm job*')
    },
  },
  {
    name: "stress-ng's stressors of filesystems find nothing",
    briefly: 'a local folder',
    async judge(volume, { stressSec, stressors }) {
      // One after the other, two processes of each: together they take the seconds given.
      const each = Math.max(1, Math.round(stressSec / stressors.length))
      const loop =
        `for stressor in ${stressors.join(' ')}; do` +
        ` stress-ng --$stressor 2 --timeout ${each}s --verify --temp-path . 2>&1 >/dev/null || echo "$stressor: $?"; done`
      const told = await volume.run(`mkdir stress; cd stress; ${loop}`, PATIENT)
      // 3: it says itself that it could not be tried here, and why; 4 that this machine has no such thing.
      const wrong = told.stdout.split('\n').filter((line) => /fail:|^[a-z-]+: ([125-9]|\d\d+)$/.test(line))
      expect(wrong, told.stdout.slice(-3000)).toEqual([])
      process.stderr.write(told.stdout.replace(/^.*(dispatching hogs|stressor took|setting to a).*\n/gm, ''))
      await volume.shell('rm -rf stress')
    },
  },
  {
    name: 'dbench does what a file server is asked to do',
    briefly: 'MinIO',
    async judge(volume, { dbenchSec }) {
      const script = `mkdir dbench; dbench --directory=dbench --timelimit=${dbenchSec} --loadfile=/usr/share/dbench/client.txt 4`
      const told = await volume.run(`${script} 2>&1`, PATIENT)
      expect(told.status, told.stdout.slice(-2000)).toBe(0)
      expect(told.stdout).toMatch(/Throughput [\d.]+ MB\/sec/)
      await volume.shell('rm -rf dbench')
    },
  },
  {
    name: 'xfs_io allocates, punches, seeks and copies ranges',
    briefly: 'a local folder',
    async judge(volume) {
      const said = async (...commands: string[]) => {
        const options = commands.map((command) => `-c '${command}'`).join(' ')
        return (await volume.shell(`xfs_io -f ${options} xfs 2>&1`)).trimEnd()
      }
      await said('pwrite -q -S 0x61 0 1m', 'falloc 0 2m', 'falloc -k 4m 1m')
      expect(await volume.shell('stat -c %s xfs')).toBe(`${2 << 20}\n`)
      await said('fpunch 128k 128k', 'fzero 512k 64k', 'fsync')
      const map = await said('seek -a -r 0')
      expect(map).toBe(
        [
          'Whence\tResult',
          'DATA\t0',
          'HOLE\t131072',
          'DATA\t262144',
          'HOLE\t524288',
          'DATA\t589824',
          'HOLE\t1048576',
        ].join('\n'),
      )
      await volume.shell("xfs_io -f -c 'copy_range -s 256k -d 0 -l 256k xfs' copied")
      expect(await volume.shell('cmp -n 262144 -i 262144:0 xfs copied && stat -c %s copied')).toBe('262144\n')
      await volume.shell('rm xfs copied')
    },
  },
  {
    name: 'flock(1) keeps two shells apart',
    briefly: 'MinIO',
    async judge(volume) {
      const held =
        "flock lock -c 'touch held; while [ -e held ]; do sleep 0.05; done' & while [ ! -e held ]; do sleep 0.05; done"
      const refused = await volume.run(
        `${held}; flock --nonblock lock true; echo $?; rm held; wait; flock --nonblock lock echo free`,
      )
      expect(refused.stdout).toBe('1\nfree\n')
      await volume.shell('rm lock')
    },
  },
  {
    name: 'postgres finds all its checksums right after pgbench, and after a remount',
    briefly: 'a local folder',
    async judge(volume, { pgbenchSec }) {
      // Its server refuses to be root's.
      await volume.shell('mkdir pg; chown postgres pg')
      const bin = '$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)'
      const asPostgres = (script: string) =>
        volume.shell(
          `export PATH=${bin}:$PATH; cd pg; setpriv --reuid=postgres --regid=postgres --clear-groups bash -ec '${script}'`,
          PATIENT,
        )
      const server = '-D data -w -l log -o "-c listen_addresses= -c unix_socket_directories=/tmp -c port=54329"'
      const bench = 'pgbench -h /tmp -p 54329'
      await asPostgres('initdb --data-checksums -D data >initdb.log')
      await asPostgres(
        `pg_ctl start ${server} >/dev/null; createdb -h /tmp -p 54329 bench; ${bench} -i -s 2 -q bench 2>/dev/null;` +
          `${bench} -T ${pgbenchSec} -c 4 bench >result; pg_ctl stop -D data -m fast >/dev/null`,
      )
      expect(await volume.shell('cat pg/result')).toMatch(/number of failed transactions: 0/)
      const checked = await asPostgres('pg_checksums --check -D data')
      expect(checked).toMatch(/Bad checksums: +0/)
      await volume.remountCold()
      expect(await asPostgres('pg_checksums --check -D data')).toBe(checked)
      await volume.shell('rm -rf pg')
    },
  },
  {
    name: 'rsync -aHAX carries a tree with everything in it there and back',
    briefly: 'MinIO',
    async judge(volume) {
      await volume.shell(`
        mkdir -p from/sub/deep from/empty
        cd from
        head -c 300000 /dev/urandom >file; ln file sub/hard; ln -s ../file sub/soft; ln -s nowhere dangling
        mkfifo fifo; mknod null c 1 3; mknod block b 7 9
        truncate -s 1m sparse; printf x | dd of=sparse bs=1 seek=500000 conv=notrunc status=none
        touch -d '2001-02-03 04:05:06.789012345' file; chmod 4711 file; chmod 2770 sub; chmod 1777 empty
        chown 1000:1001 sub/deep; touch "a name
with a line" $'n\\xf8t utf-8'
        setfattr -n user.note -v hello file; setfattr -n trusted.secret -v $(head -c 3000 /dev/zero | tr '\\0' s) sub
        setfacl -m u:1000:rw,g:1001:r file; setfacl -d -m u:1000:rwx sub
      `)
      await volume.shell('rsync -aHAX from/ to/')
      await volume.remountCold()
      // Nothing left to do, says rsync: with times and owners, contents, ACLs, xattrs and hard links compared.
      expect(await volume.shell('rsync -aHAXn --checksum --delete --itemize-changes from/ to/')).toBe('')
      expect(await volume.shell('stat -c %h to/file; getfattr --only-values -n user.note to/file')).toBe('2\nhello')
      await volume.shell('rm -rf from to')
    },
  },
]
