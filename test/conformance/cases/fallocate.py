"""fallocate(2) and posix_fallocate(3)."""
import os
import resource
from errno import *

import calls
from calls import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)
from suite import *

PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


def file_of(data=b'', flags=os.O_RDWR):
    make('f', data)
    return os.open('f', flags)


@case
def makes_a_file_longer_with_zeros():
    fd = file_of(b'abc')
    fallocate(fd, 0, 0, 10_000)
    equal(read('f'), b'abc' + bytes(9997))


@case
def from_an_offset_makes_it_reach_the_end_of_the_range():
    fd = file_of(b'abc')
    fallocate(fd, 0, 5000, 1000)
    equal(os.fstat(fd).st_size, 6000)


@case
def within_the_file_changes_no_byte_and_no_size():
    fd = file_of(b'x' * 10_000)
    fallocate(fd, 0, 100, 200)
    equal(read('f'), b'x' * 10_000)


@case
def KEEP_SIZE_leaves_the_size():
    fd = file_of(b'abc')
    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100_000)
    equal((os.fstat(fd).st_size, read('f')), (3, b'abc'))


@case
def posix_fallocate_makes_a_file_longer():
    fd = file_of(b'abc')
    os.posix_fallocate(fd, 0, 5000)
    equal(os.fstat(fd).st_size, 5000)


@case
def PUNCH_HOLE_leaves_zeros_and_the_size():
    fd = file_of(b'x' * 30_000)
    fallocate(fd, PUNCH, 5000, 10_000)
    equal(read('f'), b'x' * 5000 + bytes(10_000) + b'x' * 15_000)


@case
def PUNCH_HOLE_beyond_the_end_changes_no_size():
    fd = file_of(b'x' * 1000)
    fallocate(fd, PUNCH, 500, 100_000)
    equal(read('f'), b'x' * 500 + bytes(500))
    fallocate(fd, PUNCH, 5000, 100)
    equal(os.fstat(fd).st_size, 1000)


@case
def PUNCH_HOLE_without_KEEP_SIZE_is_EOPNOTSUPP():
    fd = file_of(b'x' * 1000)
    fails((EOPNOTSUPP, EINVAL), fallocate, fd, FALLOC_FL_PUNCH_HOLE, 0, 100)


@case
def PUNCH_HOLE_gives_blocks_back():
    fd = file_of(os.urandom(1 << 20))
    os.fsync(fd)
    before = os.fstat(fd).st_blocks
    fallocate(fd, PUNCH, 256 << 10, 512 << 10)
    os.fsync(fd)
    equal(before - os.fstat(fd).st_blocks, 1024)


@case
def PUNCH_HOLE_makes_a_hole_for_SEEK_HOLE():
    fd = file_of(os.urandom(1 << 20))
    fallocate(fd, PUNCH, 256 << 10, 256 << 10)
    equal(os.lseek(fd, 0, os.SEEK_HOLE), 256 << 10)
    equal(os.lseek(fd, 256 << 10, os.SEEK_DATA), 512 << 10)


@case
def ZERO_RANGE_leaves_zeros():
    fd = file_of(b'x' * 30_000)
    fallocate(fd, FALLOC_FL_ZERO_RANGE, 5000, 10_000)
    equal(read('f'), b'x' * 5000 + bytes(10_000) + b'x' * 15_000)


@case
def ZERO_RANGE_makes_a_file_longer_unless_KEEP_SIZE():
    fd = file_of(b'x' * 1000)
    fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 500, 1000)
    equal(read('f'), b'x' * 500 + bytes(500))
    fallocate(fd, FALLOC_FL_ZERO_RANGE, 500, 1000)
    equal(read('f'), b'x' * 500 + bytes(1000))


@case
def what_was_punched_takes_new_bytes():
    fd = file_of(b'x' * 20_000)
    fallocate(fd, PUNCH, 4096, 8192)
    os.pwrite(fd, b'new', 6000)
    equal(read('f'), b'x' * 4096 + bytes(1904) + b'new' + bytes(6285) + b'x' * 7712)


@case
def changes_mtime_and_ctime():
    fd = file_of(b'x' * 20_000)
    for mode, offset in ((0, 30_000), (PUNCH, 0), (FALLOC_FL_ZERO_RANGE, 0)):
        equal(changes('f', lambda: fallocate(fd, mode, offset, 5000)), 'mc')


@case
def bad_ranges_are_EINVAL():
    fd = file_of()
    for offset, length in ((-1, 10), (0, 0), (0, -5)):
        fails(EINVAL, fallocate, fd, 0, offset, length)


@case
def beyond_the_largest_size_is_EFBIG():
    fd = file_of()
    fails(EFBIG, fallocate, fd, 0, (1 << 63) - 100, 1000)
    fails(EFBIG, fallocate, fd, 0, 1 << 62, 1 << 61)


@case
def past_the_limit_of_the_process_is_EFBIG():
    fd = file_of()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    fails(EFBIG, fallocate, fd, 0, 0, 1001)


@case
def by_a_descriptor_that_only_reads_is_EBADF():
    fd = file_of(flags=os.O_RDONLY)
    fails(EBADF, fallocate, fd, 0, 0, 100)


@case
def of_a_directory_is_EISDIR_or_EBADF():
    with opened('.') as fd:
        fails((EISDIR, EBADF, ENODEV), fallocate, fd, 0, 0, 100)


@case
def of_a_pipe_is_ESPIPE():
    os.mkfifo('p')
    with opened('p', os.O_RDWR) as fd:
        fails(ESPIPE, fallocate, fd, 0, 0, 100)


@case
def unknown_modes_are_EOPNOTSUPP():
    fd = file_of()
    fails((EOPNOTSUPP, EINVAL), fallocate, fd, 0x1000, 0, 100)


@case
def COLLAPSE_RANGE_with_KEEP_SIZE_is_EINVAL_or_EOPNOTSUPP():
    fd = file_of(bytes(1 << 20))
    fails((EINVAL, EOPNOTSUPP), fallocate, fd, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096)


@case
def of_a_file_without_a_name():
    fd = file_of()
    os.unlink('f')
    fallocate(fd, 0, 0, 777)
    equal(os.fstat(fd).st_size, 777)
