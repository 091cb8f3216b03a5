"""write(2), writev(2), pwrite(2), pwritev(2): where bytes go, what grows, and limits."""
import ctypes
import os
import resource
from errno import *

import calls
from suite import *


@case
def puts_bytes_at_the_position_and_moves_it():
    make('f', b'0123456789')
    with opened('f', os.O_RDWR) as fd:
        os.lseek(fd, 2, os.SEEK_SET)
        equal(os.write(fd, b'abc'), 3)
        equal(os.lseek(fd, 0, os.SEEK_CUR), 5)
    equal(read('f'), b'01abc56789')


@case
def beyond_the_end_leaves_a_hole_of_zeros():
    make('f', b'ab')
    with opened('f', os.O_WRONLY) as fd:
        os.lseek(fd, 5000, os.SEEK_SET)
        os.write(fd, b'z')
    equal(read('f'), b'ab' + bytes(4998) + b'z')
    equal(os.lstat('f').st_size, 5001)


@case
def of_nothing_changes_nothing():
    make('f', b'ab')

    def nothing():
        with opened('f', os.O_WRONLY) as fd:
            equal(os.write(fd, b''), 0)
            os.lseek(fd, 100, os.SEEK_SET)
            equal(os.write(fd, b''), 0)

    equal(changes('f', nothing), '')
    equal(os.lstat('f').st_size, 2)


@case
def to_a_descriptor_that_only_reads_is_EBADF():
    make('f', b'x')
    with opened('f') as fd:
        fails(EBADF, os.write, fd, b'y')
        fails(EBADF, os.pwrite, fd, b'y', 0)
    equal(read('f'), b'x')


@case
def pwrite_leaves_the_position():
    make('f', b'0123456789')
    with opened('f', os.O_RDWR) as fd:
        os.lseek(fd, 4, os.SEEK_SET)
        equal(os.pwrite(fd, b'xy', 8), 2)
        equal(os.read(fd, 9), b'4567xy')


@case
def pwrite_at_a_negative_offset_is_EINVAL():
    make('f')
    with opened('f', os.O_WRONLY) as fd:
        fails(EINVAL, os.pwrite, fd, b'x', -1)


@case
def pwrite_at_the_largest_offset_is_EFBIG_or_EINVAL():
    make('f', b'x')
    with opened('f', os.O_WRONLY) as fd:
        fails((EFBIG, EINVAL), os.pwrite, fd, b'xx', (1 << 63) - 1)
        fails(EFBIG, os.pwrite, fd, b'xx', (1 << 63) - 4096)
    equal(os.lstat('f').st_size, 1)


@case
def writev_takes_one_buffer_after_the_other():
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        equal(os.writev(fd, [b'abc', b'', b'de']), 5)
        equal(os.pwritev(fd, [b'X', b'YZ'], 1), 3)
    equal(read('f'), b'aXYZe')


@case
def from_no_memory_is_EFAULT():
    make('f', b'abc')
    with opened('f', os.O_WRONLY) as fd:
        fails(EFAULT, calls.write, fd, ctypes.c_void_p(1), 3)
    equal(read('f'), b'abc')


@case
def changes_mtime_and_ctime():
    make('f', b'abc')

    def write():
        with opened('f', os.O_WRONLY) as fd:
            os.write(fd, b'abc')

    equal(changes('f', write), 'mc')


@case
def past_the_limit_of_the_process_is_EFBIG_and_short_before_it():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        equal(os.write(fd, bytes(1500)), 1000)
        fails(EFBIG, os.write, fd, b'x')
    equal(os.lstat('f').st_size, 1000)


@case
def in_small_pieces_gives_the_same_bytes_as_at_once():
    data = os.urandom(20_000)
    with opened('f', os.O_CREAT | os.O_WRONLY) as fd:
        for at in range(0, len(data), 137):
            os.write(fd, data[at : at + 137])
    that(read('f') == data, 'other bytes came back')


@case
def large_writes_are_taken_whole():
    data = os.urandom(5 << 20)
    with opened('f', os.O_CREAT | os.O_WRONLY) as fd:
        equal(os.write(fd, data), len(data))
    that(read('f') == data, 'other bytes came back')


@case
def backwards_gives_the_same_bytes():
    data = os.urandom(64 * 1024)
    with opened('f', os.O_CREAT | os.O_WRONLY) as fd:
        for at in reversed(range(0, len(data), 1024)):
            os.pwrite(fd, data[at : at + 1024], at)
    that(read('f') == data, 'other bytes came back')


@case
def overlapping_writes_keep_the_last():
    make('f', bytes(10_000))
    expected = bytearray(10_000)
    with opened('f', os.O_WRONLY) as fd:
        for number in range(1, 200):
            at, piece = number * 4099 % 9000, bytes([number]) * (number * 7 % 1000)
            os.pwrite(fd, piece, at)
            expected[at : at + len(piece)] = piece
    that(read('f') == bytes(expected), 'other bytes came back')


@case
def adds_to_st_blocks_what_a_hole_does_not():
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        os.ftruncate(fd, 1 << 30)
        hole = os.fstat(fd).st_blocks
        os.pwrite(fd, os.urandom(1 << 20), 1 << 29)
        os.fsync(fd)
        equal(hole, 0, 'st_blocks of a hole')
        written = os.fstat(fd).st_blocks * 512
        that(1 << 20 <= written < 2 << 20, f'st_blocks tells of {written} bytes')


@case
def to_a_pipe_of_the_filesystem_goes_through_it():
    os.mkfifo('p')

    def write():
        with opened('p', os.O_WRONLY) as fd:
            os.write(fd, b'hello')

    pid = forked(write)
    equal((read('p'), status_of(pid)), (b'hello', 0))
