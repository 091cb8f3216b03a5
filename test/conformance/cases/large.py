"""Files beyond 4 GiB: offsets of 64 bits in every call that has them."""
import mmap
import os
import struct

import calls
from calls import flock_struct
from suite import *

FAR = (5 << 30) + 12_345


def far():
    with opened('f', os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, b'far away', FAR)
    return os.open('f', os.O_RDWR)


@case
def bytes_are_where_they_were_written():
    fd = far()
    equal((os.fstat(fd).st_size, os.pread(fd, 99, FAR)), (FAR + 8, b'far away'))
    equal(os.pread(fd, 10, FAR - 10), bytes(10))
    # No offset is cut to 32 bits.
    equal(os.pread(fd, 8, FAR & 0xFFFFFFFF), bytes(8))


@case
def lseek_and_append_reach_them():
    fd = far()
    equal((os.lseek(fd, 0, os.SEEK_END), os.lseek(fd, -8, os.SEEK_CUR)), (FAR + 8, FAR))
    equal(os.read(fd, 8), b'far away')
    with opened('f', os.O_WRONLY | os.O_APPEND) as end:
        os.write(end, b'!')
    equal(os.pread(fd, 99, FAR), b'far away!')


@case
def a_mapping_reaches_them():
    fd = far()
    page = FAR & ~4095
    with mmap.mmap(fd, FAR - page + 8, offset=page) as mapped:
        equal(mapped[FAR - page : FAR - page + 8], b'far away')
        mapped[FAR - page : FAR - page + 3] = b'FAR'
        mapped.flush()
    equal(os.pread(fd, 8, FAR), b'FAR away')


@case
def truncate_and_fallocate_reach_them():
    fd = far()
    os.ftruncate(fd, FAR + 3)
    equal(os.pread(fd, 99, FAR), b'far')
    calls.fallocate(fd, 3, FAR, 1)
    equal(os.pread(fd, 99, FAR), b'\0ar')
    calls.fallocate(fd, 0, 6 << 30, 1 << 20)
    equal(os.fstat(fd).st_size, (6 << 30) + (1 << 20))


@case
def copy_file_range_reaches_them():
    fd = far()
    equal(os.copy_file_range(fd, fd, 8, FAR, FAR + (1 << 30)), 8)
    equal(os.pread(fd, 8, FAR + (1 << 30)), b'far away')


@case
def locks_reach_them():
    import fcntl

    fd = far()
    fcntl.fcntl(fd, fcntl.F_SETLK, flock_struct(fcntl.F_WRLCK, FAR, 8))

    def elsewhere(start):
        with opened('f', os.O_RDWR) as own:
            return calls.lock_conflict(own, fcntl.F_WRLCK, start, 1)

    that(in_child(elsewhere, FAR + 7) is not None, 'it is not locked')
    equal(in_child(elsewhere, FAR & 0xFFFFFFFF), None)
