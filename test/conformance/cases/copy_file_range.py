"""copy_file_range(2)."""
import os
from errno import *

from suite import *

DATA = bytes(range(256)) * 1000


def pair():
    make('source', DATA)
    return os.open('source', os.O_RDWR), os.open('target', os.O_RDWR | os.O_CREAT, 0o644)


def whole(source, target, count, *offsets):
    taken = 0
    while taken < count:
        if (part := os.copy_file_range(source, target, count - taken, *offsets)) == 0:
            break
        taken += part
        offsets = tuple(offset + part for offset in offsets)
    return taken


@case
def copies_a_file_by_positions_that_move_on():
    source, target = pair()
    equal(whole(source, target, len(DATA)), len(DATA))
    equal((os.lseek(source, 0, os.SEEK_CUR), os.lseek(target, 0, os.SEEK_CUR)), (len(DATA), len(DATA)))
    equal(read('target'), DATA)


@case
def with_offsets_leaves_the_positions():
    source, target = pair()
    equal(whole(source, target, 1000, 500, 100), 1000)
    equal((os.lseek(source, 0, os.SEEK_CUR), os.lseek(target, 0, os.SEEK_CUR)), (0, 0))
    equal(read('target'), bytes(100) + DATA[500:1500])


@case
def is_short_at_the_end_of_the_source():
    source, target = pair()
    equal(whole(source, target, 5000, len(DATA) - 10, 0), 10)
    equal(os.copy_file_range(source, target, 5000, len(DATA), 0), 0)
    equal(os.copy_file_range(source, target, 5000, 1 << 40, 0), 0)
    equal(read('target'), DATA[-10:])


@case
def within_one_file_from_one_place_to_another():
    source, _ = pair()
    equal(whole(source, source, 1000, 0, len(DATA)), 1000)
    equal(read('source'), DATA + DATA[:1000])


@case
def of_ranges_that_overlap_is_EINVAL():
    source, _ = pair()
    fails(EINVAL, os.copy_file_range, source, source, 1000, 0, 500)


@case
def from_a_descriptor_that_only_writes_is_EBADF():
    _, target = pair()
    with opened('source', os.O_WRONLY) as source:
        fails(EBADF, os.copy_file_range, source, target, 10)


@case
def to_a_descriptor_that_only_reads_or_appends_is_EBADF():
    source, _ = pair()
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
        with opened('target', flags) as target:
            fails(EBADF, os.copy_file_range, source, target, 10)


@case
def of_a_directory_is_EISDIR_and_of_a_fifo_EINVAL():
    source, target = pair()
    with opened('.') as directory:
        fails(EISDIR, os.copy_file_range, directory, target, 10)
    os.mkfifo('p')
    with opened('p', os.O_RDWR) as fifo:
        fails(EINVAL, os.copy_file_range, source, fifo, 10)


@case
def changes_mtime_and_ctime_of_the_target_alone():
    source, target = pair()
    equal(changes('target', lambda: os.copy_file_range(source, target, 100)), 'mc')
    equal(changes_at_most_atime('source', lambda: os.copy_file_range(source, target, 100)), '')


@case
def copies_holes_as_zeros():
    make('source')
    os.truncate('source', 1 << 20)
    with opened('source', os.O_RDWR) as source, opened('target', os.O_RDWR | os.O_CREAT) as target:
        os.pwrite(source, b'middle', 500_000)
        equal(whole(source, target, 1 << 20), 1 << 20)
    equal(read('target'), read('source'))


@case
def a_copy_does_not_change_with_its_source():
    make('source', os.urandom(1 << 20))
    before = read('source')
    with opened('source', os.O_RDWR) as source, opened('target', os.O_RDWR | os.O_CREAT) as target:
        os.fsync(source)
        whole(source, target, 1 << 20)
        os.pwrite(source, b'changed', 1000)
        os.pwrite(target, b'other', 5000)
    equal(read('target'), before[:5000] + b'other' + before[5005:])
    equal(read('source'), before[:1000] + b'changed' + before[1007:])


@case
def takes_what_was_written_just_before():
    source, target = pair()
    os.pwrite(source, b'fresh', 10)
    whole(source, target, 100)
    equal(read('target'), DATA[:10] + b'fresh' + DATA[15:100])
