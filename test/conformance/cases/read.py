"""read(2), readv(2), pread(2), preadv(2): what comes, how much, and from where."""
import ctypes
import os
from errno import *

import calls
from suite import *

PATTERN = bytes(range(256)) * 40


@case
def gives_bytes_in_order_and_moves_on():
    make('f', PATTERN)
    with opened('f') as fd:
        parts = []
        while part := os.read(fd, 1000):
            parts.append(part)
        equal(b''.join(parts), PATTERN)
        equal(os.lseek(fd, 0, os.SEEK_CUR), len(PATTERN))


@case
def is_short_at_the_end_and_empty_behind_it():
    make('f', b'abc')
    with opened('f') as fd:
        equal(os.read(fd, 100), b'abc')
        equal(os.read(fd, 100), b'')
        os.lseek(fd, 1000, os.SEEK_SET)
        equal(os.read(fd, 100), b'')


@case
def of_nothing_gives_nothing():
    make('f', b'abc')
    with opened('f') as fd:
        equal(os.read(fd, 0), b'')
        equal(os.lseek(fd, 0, os.SEEK_CUR), 0)


@case
def of_a_directory_is_EISDIR():
    os.mkdir('d')
    with opened('d') as fd:
        fails(EISDIR, os.read, fd, 1)
        fails(EISDIR, os.pread, fd, 1, 0)


@case
def of_a_descriptor_that_only_writes_is_EBADF():
    make('f', b'x')
    with opened('f', os.O_WRONLY) as fd:
        fails(EBADF, os.read, fd, 1)
        fails(EBADF, os.pread, fd, 1, 0)


@case
def pread_leaves_the_position():
    make('f', PATTERN)
    with opened('f') as fd:
        os.lseek(fd, 7, os.SEEK_SET)
        equal(os.pread(fd, 10, 300), PATTERN[300:310])
        equal(os.lseek(fd, 0, os.SEEK_CUR), 7)


@case
def pread_at_a_negative_offset_is_EINVAL():
    make('f', b'x')
    with opened('f') as fd:
        fails(EINVAL, os.pread, fd, 1, -1)


@case
def pread_at_and_behind_the_end_gives_nothing():
    make('f', b'abc')
    with opened('f') as fd:
        equal((os.pread(fd, 9, 3), os.pread(fd, 9, 1 << 40)), (b'', b''))


@case
def pread_across_the_end_is_short():
    make('f', PATTERN)
    with opened('f') as fd:
        equal(os.pread(fd, 1 << 20, len(PATTERN) - 5), PATTERN[-5:])


@case
def readv_fills_one_buffer_after_the_other():
    make('f', b'abcdefgh')
    with opened('f') as fd:
        first, second = bytearray(3), bytearray(10)
        equal(os.readv(fd, [first, second]), 8)
        equal((bytes(first), bytes(second[:5])), (b'abc', b'defgh'))


@case
def preadv_reads_where_it_is_told():
    make('f', b'abcdefgh')
    with opened('f') as fd:
        first, second = bytearray(2), bytearray(2)
        equal(os.preadv(fd, [first, second], 3), 4)
        equal((bytes(first), bytes(second)), (b'de', b'fg'))
        equal(os.lseek(fd, 0, os.SEEK_CUR), 0)


@case
def into_no_memory_is_EFAULT():
    make('f', b'abc')
    with opened('f') as fd:
        fails(EFAULT, calls.read, fd, ctypes.c_void_p(1), 3)


@case
def of_a_hole_gives_zeros():
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, b'end', 100_000)
        equal(os.pread(fd, 200_000, 0), bytes(100_000) + b'end')


@case
def sees_what_another_process_has_just_written():
    make('f', b'old')
    with opened('f') as fd:
        equal(os.read(fd, 3), b'old')

        def write():
            with opened('f', os.O_WRONLY) as own:
                os.write(own, b'new')

        in_child(write)
        equal(os.pread(fd, 3, 0), b'new')


@case
def a_position_is_shared_with_dup_and_with_a_child():
    make('f', b'abcdef')
    with opened('f') as fd:
        again = os.dup(fd)
        equal(os.read(again, 2), b'ab')
        in_child(lambda: os.read(fd, 2) and None)
        equal(os.read(fd, 9), b'ef')


@case
def large_reads_give_all_there_is():
    data = os.urandom(3 << 20)
    make('f', data)
    with opened('f') as fd:
        got = os.read(fd, 4 << 20)
    that(got == data, f'{len(got)} bytes came, or others')


@case
def changes_at_most_the_access_time():
    make('f', b'abc')
    equal(changes_at_most_atime('f', lambda: read('f')), '')
