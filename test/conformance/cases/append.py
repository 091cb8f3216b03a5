"""open(2) with O_APPEND."""
import os

from suite import *


@case
def every_write_goes_to_the_end():
    make('f', b'abc')
    with opened('f', os.O_RDWR | os.O_APPEND) as fd:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b'd')
        equal(os.lseek(fd, 0, os.SEEK_CUR), 4)
        equal(os.pread(fd, 9, 0), b'abcd')


@case
def also_where_another_has_made_it_longer_or_shorter():
    make('f', b'abc')
    with opened('f', os.O_WRONLY | os.O_APPEND) as fd:
        in_child(lambda: os.truncate('f', 10))
        os.write(fd, b'X')
        in_child(lambda: os.truncate('f', 2))
        os.write(fd, b'Y')
    equal(read('f'), b'abY')


@case
def reading_begins_at_the_beginning():
    make('f', b'abc')
    with opened('f', os.O_RDWR | os.O_APPEND) as fd:
        equal(os.read(fd, 9), b'abc')


@case
def pwrite_appends_too_as_Linux_does():
    make('f', b'abc')
    with opened('f', os.O_WRONLY | os.O_APPEND) as fd:
        os.pwrite(fd, b'X', 0)
    equal(read('f'), b'abcX')


@case
def processes_that_append_at_once_lose_nothing():
    make('f')

    def lines(letter):
        with opened('f', os.O_WRONLY | os.O_APPEND) as fd:
            for _ in range(100):
                os.write(fd, letter * 9 + b'\n')

    pids = [forked(lines, letter) for letter in (b'a', b'b', b'c', b'd')]
    equal([status_of(pid) for pid in pids], [0] * 4)
    found = read('f').split(b'\n')
    equal(sorted(found), sorted([b''] + [letter * 9 for letter in (b'a', b'b', b'c', b'd') for _ in range(100)]))


@case
def two_descriptors_append_behind_each_other():
    make('f')
    with opened('f', os.O_WRONLY | os.O_APPEND) as one, opened('f', os.O_WRONLY | os.O_APPEND) as other:
        for _ in range(3):
            os.write(one, b'1')
            os.write(other, b'2')
    equal(read('f'), b'121212')
