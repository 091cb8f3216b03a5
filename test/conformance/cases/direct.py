"""open(2) with O_DIRECT: past the page cache, and beside it."""
import mmap
import os
from errno import *

from suite import *

BLOCK = 4096


def aligned(data):
    """In memory that begins at a page, as O_DIRECT may ask."""
    buffer = mmap.mmap(-1, max(BLOCK, len(data)))
    buffer[: len(data)] = data
    return memoryview(buffer)[: len(data)]


def direct(flags=os.O_RDWR):
    return os.open('f', os.O_CREAT | os.O_DIRECT | flags, 0o644)


@case
def writes_and_reads():
    data = os.urandom(BLOCK * 8)
    fd = direct()
    equal(os.pwrite(fd, aligned(data), 0), len(data))
    buffer = aligned(bytes(len(data)))
    equal(os.preadv(fd, [buffer], 0), len(data))
    that(bytes(buffer) == data, 'other bytes came back')


@case
def what_it_writes_buffered_reads_see():
    make('f', b'x' * BLOCK * 2)
    with opened('f') as buffered:
        equal(os.pread(buffered, 1, BLOCK), b'x')
        os.pwrite(direct(), aligned(b'y' * BLOCK), BLOCK)
        equal(os.pread(buffered, 2, BLOCK - 1), b'xy')


@case
def reads_what_was_written_through_the_page_cache():
    make('f', b'x' * BLOCK)
    with opened('f', os.O_WRONLY) as buffered:
        os.write(buffered, b'y' * BLOCK)
        buffer = aligned(bytes(BLOCK))
        os.preadv(direct(os.O_RDONLY), [buffer], 0)
        equal(bytes(buffer), b'y' * BLOCK)


@case
def is_short_at_the_end():
    make('f', b'x' * 5000)
    buffer = aligned(bytes(BLOCK * 2))
    equal(os.preadv(direct(), [buffer], BLOCK), 5000 - BLOCK)
    equal(os.preadv(direct(), [buffer], BLOCK * 4), 0)


@case
def makes_the_file_longer():
    fd = direct()
    os.pwrite(fd, aligned(b'z' * BLOCK), BLOCK * 3)
    equal((os.fstat(fd).st_size, read('f')), (BLOCK * 4, bytes(BLOCK * 3) + b'z' * BLOCK))


@case
def with_O_APPEND_it_appends():
    make('f', b'x' * BLOCK)
    os.write(direct(os.O_WRONLY | os.O_APPEND), aligned(b'y' * BLOCK))
    equal(read('f'), b'x' * BLOCK + b'y' * BLOCK)


@case
def changes_mtime_and_ctime():
    make('f')
    equal(changes('f', lambda: os.pwrite(direct(), aligned(bytes(BLOCK)), 0)), 'mc')


@case
def a_mapping_sees_what_it_writes():
    make('f', b'x' * BLOCK)
    with opened('f') as fd, mmap.mmap(fd, BLOCK, prot=mmap.PROT_READ) as mapped:
        equal(mapped[0:1], b'x')
        os.pwrite(direct(), aligned(b'y' * BLOCK), 0)
        equal(mapped[0:1], b'y')
