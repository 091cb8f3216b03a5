"""statfs(2), fstatfs(2), statvfs(3)."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

path_cases('statfs', calls.statfs)
existing_target('statfs', calls.statfs)


@case
def tells_sizes_that_fit_together():
    told = calls.statfs('.')
    that(told.bsize >= 512 and told.frsize >= 512, f'block sizes {told.bsize}, {told.frsize}')
    that(0 < told.bavail <= told.bfree <= told.blocks, f'{told.bavail} <= {told.bfree} <= {told.blocks}')
    that(0 < told.ffree <= told.files, f'{told.ffree} <= {told.files}')


@case
def names_may_have_255_bytes():
    equal(calls.statfs('.').namelen, 255)
    equal(os.pathconf('.', 'PC_NAME_MAX'), 255)


@case
def of_a_descriptor_tells_the_same():
    make('f')
    with opened('f') as fd:
        one, other = calls.fstatfs(fd), calls.statfs('f')
    equal((one.type, one.bsize, one.blocks, one.fsid), (other.type, other.bsize, other.blocks, other.fsid))


@case
def what_is_written_is_taken_from_what_is_free():
    before = calls.statfs('.')
    make('f', os.urandom(8 << 20))
    with opened('f') as fd:
        os.fsync(fd)
    after = calls.statfs('.')
    taken = before.bfree * before.bsize - after.bfree * after.bsize
    that(8 << 20 <= taken < 12 << 20, f'{taken} bytes less are free after 8 MiB')


@case
def a_file_is_taken_from_what_files_there_may_be():
    before = calls.statfs('.').ffree
    for number in range(10):
        make(f'f{number}')
    equal(before - calls.statfs('.').ffree, 10)


@case
def tells_whether_the_mount_is_read_only():
    equal(os.statvfs('.').f_flag & os.ST_RDONLY, 0)
