"""openat2(2): how a path may be resolved."""
import os
import struct
from errno import *

import calls
from suite import *

SYS_OPENAT2 = 437
NO_XDEV, NO_SYMLINKS, BENEATH, IN_ROOT = 1, 4, 8, 16

syscall = calls.function('syscall', calls.LONG, calls.INT, calls.PATH, calls.PTR, calls.SIZE, result=calls.LONG)


def openat2(path, resolve, flags=os.O_RDONLY, directory=calls.AT_FDCWD):
    for _ in range(1000):
        try:
            return syscall(SYS_OPENAT2, directory, path, struct.pack('QQQ', flags, 0, resolve), 24)
        except OSError as error:
            # While anybody on the machine mounts or renames something, ".." cannot be followed safely.
            if error.errno != EAGAIN:
                raise
    raise OSError(EAGAIN, path)


def tree():
    os.makedirs('d/e')
    make('d/e/f', b'text')
    make('outside', b'secret')
    os.symlink('e/f', 'd/link')
    os.symlink('../outside', 'd/up')
    os.symlink('/e/f', 'd/absolute')
    return os.open('d', os.O_PATH)


def text(fd):
    return os.read(fd, 99)


@case
def opens_as_openat_does_where_nothing_is_asked():
    directory = tree()
    equal(text(openat2('link', 0, directory=directory)), b'text')
    fails(ENOENT, openat2, 'missing', 0)


@case
def NO_SYMLINKS_meets_one_with_ELOOP():
    directory = tree()
    fails(ELOOP, openat2, 'link', NO_SYMLINKS, directory=directory)
    equal(text(openat2('e/f', NO_SYMLINKS, directory=directory)), b'text')


@case
def BENEATH_does_not_leave_the_directory():
    directory = tree()
    for path in ('../outside', 'up', '/etc', 'absolute', 'e/../../outside'):
        fails(EXDEV, openat2, path, BENEATH, directory=directory)
    equal(text(openat2('e/../link', BENEATH, directory=directory)), b'text')


@case
def IN_ROOT_takes_the_directory_for_the_root():
    directory = tree()
    for path in ('absolute', '/e/f', '../../e/f'):
        equal(text(openat2(path, IN_ROOT, directory=directory)), b'text')
    fails(ENOENT, openat2, 'up', IN_ROOT, directory=directory)


@case
def NO_XDEV_does_not_leave_the_filesystem():
    fails(EXDEV, openat2, '/proc/self', NO_XDEV)
    make('f', b'text')
    equal(text(openat2('./f', NO_XDEV)), b'text')


@case
def unknown_bits_are_EINVAL():
    fails(EINVAL, openat2, '.', 1 << 40)
    fails(EINVAL, openat2, '.', 0, 1 << 40)
