"""fsync(2), fdatasync(2), sync_file_range(2), syncfs(2). What survives a crash is tried elsewhere (test/mount/kills.test.ts)."""
import os
from errno import *

import calls
from suite import *


@case
def of_a_file_and_of_a_directory_succeed():
    make('f', b'text')
    os.mkdir('d')
    for name in ('f', 'd'):
        with opened(name) as fd:
            os.fsync(fd)
            os.fdatasync(fd)


@case
def by_a_descriptor_that_only_reads():
    make('f', b'text')
    with opened('f') as fd:
        os.fsync(fd)


@case
def of_a_file_without_a_name():
    make('f', b'text')
    with opened('f', os.O_RDWR) as fd:
        os.unlink('f')
        os.pwrite(fd, b'TEXT', 0)
        os.fsync(fd)
        equal(os.pread(fd, 9, 0), b'TEXT')


@case
def of_a_pipe_is_EINVAL():
    reading, _ = os.pipe()
    fails(EINVAL, os.fsync, reading)


@case
def of_a_closed_descriptor_is_EBADF():
    fails(EBADF, os.fsync, 999)


@case
def of_O_PATH_is_EBADF():
    make('f')
    with opened('f', os.O_PATH) as fd:
        fails(EBADF, os.fsync, fd)


@case
def changes_neither_bytes_nor_times():
    make('f', b'text')
    with opened('f', os.O_RDWR) as fd:
        os.pwrite(fd, b'TEXT', 0)
        equal(changes('f', lambda: os.fsync(fd)), '')
    equal(read('f'), b'TEXT')


@case
def sync_file_range_and_syncfs_succeed():
    make('f', b'text')
    with opened('f', os.O_RDWR) as fd:
        calls.sync_file_range(fd, 0, 4, 7)
        equal(calls.libc.syncfs(fd), 0)


@case
def between_two_writes_keeps_both():
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, b'one', 0)
        os.fsync(fd)
        os.pwrite(fd, b'two', 3)
        os.fdatasync(fd)
        os.ftruncate(fd, 5)
        os.fsync(fd)
    equal(read('f'), b'onetw')
