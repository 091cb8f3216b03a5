"""lseek(2), also SEEK_DATA and SEEK_HOLE."""
import os
from errno import *

import calls
from suite import *

MIB = 1 << 20


@case
def SEEK_SET_CUR_and_END_say_where_they_come_to():
    make('f', bytes(100))
    with opened('f') as fd:
        equal(os.lseek(fd, 10, os.SEEK_SET), 10)
        equal(os.lseek(fd, 5, os.SEEK_CUR), 15)
        equal(os.lseek(fd, -5, os.SEEK_END), 95)


@case
def beyond_the_end_is_allowed_and_makes_nothing_longer():
    make('f', bytes(10))
    with opened('f', os.O_RDWR) as fd:
        equal(os.lseek(fd, 1000, os.SEEK_SET), 1000)
        equal(os.fstat(fd).st_size, 10)


@case
def before_the_beginning_is_EINVAL_and_moves_nothing():
    make('f', bytes(10))
    with opened('f') as fd:
        os.lseek(fd, 4, os.SEEK_SET)
        fails(EINVAL, os.lseek, fd, -1, os.SEEK_SET)
        fails(EINVAL, os.lseek, fd, -5, os.SEEK_CUR)
        fails(EINVAL, os.lseek, fd, -11, os.SEEK_END)
        equal(os.lseek(fd, 0, os.SEEK_CUR), 4)


@case
def an_unknown_whence_is_EINVAL():
    make('f')
    with opened('f') as fd:
        fails(EINVAL, calls.lseek, fd, 0, 17)


@case
def of_a_fifo_is_ESPIPE():
    os.mkfifo('p')
    with opened('p', os.O_RDWR) as fd:
        fails(ESPIPE, os.lseek, fd, 0, os.SEEK_SET)


@case
def SEEK_END_knows_what_others_wrote():
    make('f', b'1')
    with opened('f') as fd:
        in_child(lambda: os.truncate('f', 12345))
        equal(os.lseek(fd, 0, os.SEEK_END), 12345)


@case
def of_a_directory_to_its_beginning_lists_it_again():
    for name in 'abc':
        make(name)
    with opened('.') as fd:
        first = calls.getdents(fd)
        equal(calls.getdents(fd), [])
        equal(os.lseek(fd, 0, os.SEEK_SET), 0)
        equal(calls.getdents(fd), first)


def sparse():
    """Data in [1 MiB, 2 MiB) and in [4 MiB, 4 MiB + 4096); the file ends at 8 MiB."""
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, os.urandom(MIB), MIB)
        os.pwrite(fd, os.urandom(4096), 4 * MIB)
        os.ftruncate(fd, 8 * MIB)
    return os.open('f', os.O_RDONLY)


@case
def SEEK_DATA_finds_data_from_within_a_hole():
    fd = sparse()
    equal(os.lseek(fd, 0, os.SEEK_DATA), MIB)
    equal(os.lseek(fd, 3 * MIB, os.SEEK_DATA), 4 * MIB)


@case
def SEEK_DATA_within_data_stays():
    fd = sparse()
    equal(os.lseek(fd, MIB + 12345, os.SEEK_DATA), MIB + 12345)


@case
def SEEK_HOLE_finds_where_data_ends():
    fd = sparse()
    equal(os.lseek(fd, MIB, os.SEEK_HOLE), 2 * MIB)
    equal(os.lseek(fd, 4 * MIB, os.SEEK_HOLE), 4 * MIB + 4096)


@case
def SEEK_HOLE_within_a_hole_stays():
    fd = sparse()
    equal(os.lseek(fd, 123, os.SEEK_HOLE), 123)


@case
def SEEK_HOLE_finds_the_end_of_a_file_without_holes():
    make('f', bytes(range(256)) * 100)
    with opened('f') as fd:
        equal(os.lseek(fd, 0, os.SEEK_HOLE), 25600)


@case
def SEEK_DATA_and_SEEK_HOLE_know_holes_after_fsync_too():
    fd = sparse()
    with opened('f', os.O_WRONLY) as writer:
        os.fsync(writer)
    found = [os.lseek(fd, at, how) for at, how in ((0, os.SEEK_DATA), (MIB, os.SEEK_HOLE), (3 * MIB, os.SEEK_DATA))]
    equal(found, [MIB, 2 * MIB, 4 * MIB])


@case
def SEEK_DATA_without_any_is_ENXIO():
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        os.ftruncate(fd, MIB)
        fails(ENXIO, os.lseek, fd, 0, os.SEEK_DATA)


@case
def SEEK_DATA_in_the_last_hole_is_ENXIO():
    fd = sparse()
    fails(ENXIO, os.lseek, fd, 5 * MIB, os.SEEK_DATA)


@case
def SEEK_DATA_and_SEEK_HOLE_at_and_behind_the_end_are_ENXIO():
    make('f', b'abc')
    with opened('f') as fd:
        for how in (os.SEEK_DATA, os.SEEK_HOLE):
            fails(ENXIO, os.lseek, fd, 3, how)
            fails(ENXIO, os.lseek, fd, 1 << 40, how)


@case
def SEEK_DATA_leaves_the_position_where_it_fails():
    make('f', b'abc')
    with opened('f') as fd:
        os.lseek(fd, 2, os.SEEK_SET)
        fails(ENXIO, os.lseek, fd, 3, os.SEEK_DATA)
        equal(os.lseek(fd, 0, os.SEEK_CUR), 2)
        equal(os.lseek(fd, 1, os.SEEK_DATA), 1)
        equal(os.lseek(fd, 0, os.SEEK_CUR), 1)
