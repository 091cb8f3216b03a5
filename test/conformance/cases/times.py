"""Which calls change which times (POSIX, 4.9 File Times Update); those of single calls stand with them."""
import os
import time

from suite import *


@case
def of_a_new_file_are_all_the_present():
    before = time.time()
    make('f')
    found = os.lstat('f')
    for each in (found.st_atime, found.st_mtime, found.st_ctime):
        that(abs(each - before) < 60, f'{each} is not {before}')


@case
def of_a_new_file_are_one():
    os.close(os.open('f', os.O_CREAT | os.O_WRONLY))
    found = os.lstat('f')
    equal((found.st_atime_ns, found.st_mtime_ns), (found.st_ctime_ns, found.st_ctime_ns))


@case
def of_a_symlink_are_those_of_its_making():
    os.symlink('x', 'link')
    before = os.lstat('link')
    tick()
    os.lstat('link')
    after = os.lstat('link')
    equal((after.st_mtime_ns, after.st_ctime_ns), (before.st_mtime_ns, before.st_ctime_ns))


@case
def reading_changes_atime_where_it_is_older_than_mtime():
    make('f', b'text')
    os.utime('f', (1, 2))
    equal(changes('f', lambda: read('f')), 'a')


@case
def listing_changes_atime_where_it_is_older_than_mtime():
    os.mkdir('d')
    make('d/f')
    os.utime('d', (1, 2))
    equal(changes('d', lambda: os.listdir('d')), 'a')


@case
def writing_leaves_atime():
    make('f')
    os.utime('f', (1, 2))
    with opened('f', os.O_WRONLY) as fd:
        os.write(fd, b'x')
    equal(os.lstat('f').st_atime, 1)


@case
def O_NOATIME_leaves_atime():
    make('f', b'text')
    os.utime('f', (1, 2))

    def read_quietly():
        with opened('f', os.O_RDONLY | os.O_NOATIME) as fd:
            os.read(fd, 9)

    equal(changes('f', read_quietly), '')


@case
def what_happens_in_a_subdirectory_leaves_the_parent_s():
    os.makedirs('d/e')
    equal(changes_at_most_atime('d', lambda: make('d/e/f')), '')


@case
def writing_to_a_file_leaves_its_directory_s():
    os.mkdir('d')
    make('d/f')
    equal(changes_at_most_atime('d', lambda: os.truncate('d/f', 100)), '')


@case
def a_call_that_fails_changes_none():
    make('f', b'text')
    os.mkdir('d')
    make('d/f')

    def fail():
        for call in (
            lambda: os.mkdir('d/f'),
            lambda: os.rmdir('d'),
            lambda: os.unlink('d/missing'),
            lambda: os.link('f', 'd/f'),
            lambda: os.open('d/f', os.O_CREAT | os.O_EXCL),
            lambda: os.rename('d/missing', 'd/x'),
        ):
            that(errno_of(call), 'a call that was to fail succeeded')

    equal(changes_at_most_atime('d', fail), '')
    equal(changes('f', lambda: errno_of(os.link, 'f', 'd/f')), '')


@case
def mtime_goes_on_with_each_write():
    with opened('f', os.O_CREAT | os.O_WRONLY) as fd:
        last = 0
        for _ in range(5):
            tick()
            os.write(fd, b'x')
            now = os.fstat(fd).st_mtime_ns
            that(now > last, f'mtime goes from {last} to {now}')
            last = now


@case
def a_file_is_newer_than_one_that_was_written_before():
    make('first', b'x')
    tick()
    make('second', b'x')
    that(os.lstat('second').st_mtime_ns > os.lstat('first').st_mtime_ns, 'make would not build it anew')


@case
def closing_changes_none():
    fd = os.open('f', os.O_CREAT | os.O_WRONLY)
    os.write(fd, b'x')
    equal(changes('f', lambda: os.close(fd)), '')
