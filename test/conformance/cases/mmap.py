"""mmap(2), msync(2): shared and private mappings beside read and write."""
import ctypes
import mmap
import os
import signal
from errno import *

import calls
from suite import *

PAGE = 4096


def shared(fd, length):
    return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


@case
def shows_the_bytes_of_the_file():
    make('f', bytes(range(256)) * 40)
    with opened('f') as fd, mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
        equal(mapped[5000:5010], read('f')[5000:5010])


@case
def behind_the_end_of_the_file_the_page_has_zeros():
    make('f', b'abc')
    with opened('f') as fd:
        address = calls.mmap_raw(None, PAGE, 1, 1, fd, 0)
        equal(ctypes.string_at(address, PAGE), b'abc' + bytes(PAGE - 3))


@case
def a_shared_change_is_read_back():
    make('f', bytes(10_000))
    with opened('f', os.O_RDWR) as fd, shared(fd, 10_000) as mapped:
        mapped[4000:4005] = b'hello'
        equal(os.pread(fd, 5, 4000), b'hello')
        mapped.flush()
    equal(read('f')[3999:4006], b'\0hello\0')


@case
def a_shared_change_is_seen_through_another_mapping():
    make('f', bytes(PAGE))
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE) as one, shared(fd, PAGE) as other:
        one[10:13] = b'abc'
        equal(other[10:13], b'abc')


@case
def a_shared_change_is_seen_by_another_process():
    make('f', bytes(PAGE))
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE) as mapped:

        def change():
            mapped[0:3] = b'abc'

        in_child(change)
        equal(mapped[0:3], b'abc')


@case
def a_write_is_seen_in_the_mapping():
    make('f', bytes(PAGE))
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE) as mapped:
        equal(mapped[0:3], bytes(3))
        os.pwrite(fd, b'abc', 0)
        equal(mapped[0:3], b'abc')


@case
def a_change_stays_when_the_mapping_goes():
    make('f', bytes(PAGE * 3))
    with opened('f', os.O_RDWR) as fd:
        mapped = shared(fd, PAGE * 3)
    mapped[PAGE : PAGE + 3] = b'abc'
    mapped.close()
    equal(read('f')[PAGE : PAGE + 3], b'abc')


@case
def a_private_change_stays_private():
    make('f', b'x' * PAGE)
    with opened('f') as fd, mmap.mmap(fd, PAGE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        mapped[0:3] = b'abc'
        equal(mapped[0:3], b'abc')
    equal(read('f'), b'x' * PAGE)


@case
def goes_on_after_the_name_is_gone():
    make('f', b'x' * PAGE)
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE) as mapped:
        os.unlink('f')
        mapped[0:3] = b'abc'
        mapped.flush()
        equal(os.pread(fd, 3, 0), b'abc')


@case
def beyond_the_end_is_SIGBUS():
    make('f', b'x')

    def look():
        with opened('f') as fd:
            ctypes.string_at(calls.mmap_raw(None, PAGE * 2, 1, 1, fd, 0) + PAGE, 1)

    equal(status_of(forked(look)), -signal.SIGBUS)


@case
def of_what_was_cut_off_is_SIGBUS():
    make('f', b'x' * PAGE * 2)

    def look():
        with opened('f') as fd:
            address = calls.mmap_raw(None, PAGE * 2, 1, 1, fd, 0)
            ctypes.string_at(address + PAGE, 1)
            os.truncate('f', 10)
            ctypes.string_at(address + PAGE, 1)

    equal(status_of(forked(look)), -signal.SIGBUS)


@case
def a_shared_writable_mapping_of_a_descriptor_that_only_reads_is_EACCES():
    make('f', b'x' * PAGE)
    with opened('f') as fd:
        fails(EACCES, calls.mmap_raw, None, PAGE, 3, 1, fd, 0)


@case
def of_a_descriptor_that_only_writes_is_EACCES():
    make('f', b'x' * PAGE)
    with opened('f', os.O_WRONLY) as fd:
        fails(EACCES, calls.mmap_raw, None, PAGE, 1, 1, fd, 0)


@case
def of_a_directory_is_ENODEV():
    with opened('.') as fd:
        fails(ENODEV, calls.mmap_raw, None, PAGE, 1, 1, fd, 0)


@case
def at_an_odd_offset_is_EINVAL():
    make('f', b'x' * PAGE)
    with opened('f') as fd:
        fails(EINVAL, calls.mmap_raw, None, PAGE, 1, 1, fd, 100)


@case
def a_change_and_msync_change_mtime_and_ctime():
    make('f', bytes(PAGE))
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE) as mapped:

        def change():
            mapped[0:1] = b'x'
            mapped.flush()

        equal(changes_at_most_atime('f', change), 'mc')


@case
def fills_holes():
    make('f')
    os.truncate('f', PAGE * 100)
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE * 100) as mapped:
        mapped[PAGE * 50 : PAGE * 50 + 3] = b'abc'
        mapped.flush()
    equal(read('f'), bytes(PAGE * 50) + b'abc' + bytes(PAGE * 50 - 3))


@case
def a_truncation_shows_zeros_where_the_file_grows_again():
    make('f', b'x' * PAGE)
    with opened('f', os.O_RDWR) as fd, shared(fd, PAGE) as mapped:
        os.ftruncate(fd, 100)
        os.ftruncate(fd, PAGE)
        equal(mapped[90:110], b'x' * 10 + bytes(10))
