"""Makes a tree to be copied: real files, planted oddities, and generated ones up to a number.

    make-tree.py TREE REAL COUNT

REAL is a folder of real files (node_modules), of which those up to 300 kB are copied to TREE/real. TREE/planted has one
of everything that a copy can lose. The rest of COUNT are small generated files. The same call makes the same tree.
"""
import os
import random
import sys

FOREIGN_UID, FOREIGN_GID = 12345, 54321
LARGE_BYTES = 300_000


def main():
    tree, real, count = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), int(sys.argv[3])
    os.makedirs(tree, exist_ok=True)
    plant(os.path.join(tree, b'planted'))
    made = copy_real(real, os.path.join(tree, b'real'), count // 2)
    generate(os.path.join(tree, b'generated'), count - made)


def copy_real(source, target, limit):
    made = 0
    for directory, directories, files in os.walk(source):
        directories[:] = sorted(name for name in directories if name != b'.cache')
        place = os.path.join(target, os.path.relpath(directory, source))
        os.makedirs(place, exist_ok=True)
        for name in sorted(files):
            path = os.path.join(directory, name)
            st = os.lstat(path)
            if made == limit:
                return made
            if os.path.islink(path):
                os.symlink(os.readlink(path), os.path.join(place, name))
            elif st.st_size <= LARGE_BYTES:
                with open(path, 'rb') as file:
                    write(os.path.join(place, name), file.read())
                os.chmod(os.path.join(place, name), st.st_mode & 0o7777)
                os.utime(os.path.join(place, name), ns=(st.st_atime_ns, st.st_mtime_ns))
                made += 1
    return made


def generate(target, count):
    source = random.Random(1)
    for number in range(count):
        place = os.path.join(target, b'%03d' % (number // 150))
        if number % 150 == 0:
            os.makedirs(place)
        path = os.path.join(place, b'file-%05d' % number)
        write(path, source.randbytes(source.choice((0, 1, 100, 511, 4096, 5000, 20_000))))
        os.utime(path, ns=(0, 1_500_000_000_000_000_000 + source.randrange(10 ** 17)))


def plant(at):
    source = random.Random(2)
    os.makedirs(at)
    join = lambda *names: os.path.join(at, *names)

    for mode in (0o000, 0o400, 0o666, 0o755, 0o4755, 0o2755, 0o6711, 0o1644):
        path = join(b'mode-%04o' % mode)
        write(path, b'%o' % mode)
        os.chmod(path, mode)
    for name, mode in ((b'sticky', 0o1777), (b'setgid', 0o2775), (b'private', 0o700)):
        os.mkdir(join(name))
        write(join(name, b'inside'), name)
        os.chown(join(name), FOREIGN_UID, FOREIGN_GID)
        os.chmod(join(name), mode)

    write(join(b'foreign'), b'not yours')
    os.chown(join(b'foreign'), FOREIGN_UID, FOREIGN_GID)
    write(join(b'foreign-setuid'), b'#!/bin/true')
    os.chown(join(b'foreign-setuid'), FOREIGN_UID, FOREIGN_GID)
    os.chmod(join(b'foreign-setuid'), 0o4755)
    write(join(b'foreign-large'), b'high numbers')
    os.chown(join(b'foreign-large'), 4_000_000_000, 3_000_000_000)

    for ns in (0, 1, 999_999_999, 1_234_567_890_123_456_789, -1_500_000_001, (1 << 32) * 10 ** 9 + 7):
        path = join(b'mtime-%d' % ns)
        write(path, b'time')
        os.utime(path, ns=(ns, ns))

    os.mkdir(join(b'links'))
    write(join(b'links', b'one'), b'one inode, three names')
    os.link(join(b'links', b'one'), join(b'links', b'two'))
    os.link(join(b'links', b'one'), join(b'three'))
    write(join(b'links', b'large'), source.randbytes(3_000_000))
    os.link(join(b'links', b'large'), join(b'links', b'large-again'))

    os.makedirs(join(b'empty', b'nested', b'deeper'))
    os.mkdir(join(b'empty', b'sibling'))
    os.makedirs(join(*[b'level-%02d' % level for level in range(40)]))

    for name in (b'latin-\xe9\xff\xfe', b'\x80', 'nfc-\u00e9'.encode(), 'nfd-e\u0301'.encode(), b'new\nline', b' space ',
                 b'-dash', b'*?[', b'back\\slash', b'tab\t', '\U0001f5c4'.encode(), b'n' * 255):
        write(join(name), name)
    os.mkdir(join(b'dir-\xff'))
    write(join(b'dir-\xff', b'\xfe'), b'deep')

    for name, target in ((b'relative', b'links/one'), (b'dangling', b'nowhere/at all'), (b'absolute', b'/etc/hostname'),
                         (b'long', b'x' * 4095), (b'bytes', b'dir-\xff/\xfe'), (b'up', b'../../..')):
        os.symlink(target, join(b'symlink-' + name))
    os.chown(join(b'symlink-relative'), FOREIGN_UID, FOREIGN_GID, follow_symlinks=False)
    os.utime(join(b'symlink-dangling'), ns=(1, 987_654_321_123_456_789), follow_symlinks=False)

    os.mkfifo(join(b'fifo'), 0o640)
    write(join(b'nothing'), b'')
    write(join(b'one-byte'), b'1')
    for bytes in (32_767, 32_768, 32_769, 65_536, 131_073, 1_048_576):
        write(join(b'size-%d' % bytes), source.randbytes(bytes))
    write(join(b'large-20MB'), source.randbytes(20_000_000))

    with open(join(b'sparse'), 'wb') as file:
        for offset in (1 << 20, (16 << 20) + 12_345, 40 << 20):
            file.seek(offset)
            file.write(source.randbytes(10_000))
        file.truncate(64 << 20)
    with open(join(b'only-a-hole'), 'wb') as file:
        file.truncate((32 << 20) + 1)

    # Last, since what is made in a directory changes its time.
    for name in (b'links', b'empty', b'dir-\xff', b'sticky'):
        os.utime(join(name), ns=(5, 1_111_111_111_000_000_007))


def write(path, bytes):
    with open(path, 'wb') as file:
        file.write(bytes)


main()
