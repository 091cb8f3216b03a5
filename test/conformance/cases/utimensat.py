"""utimensat(2), futimens(3), utime(2)."""
import os
import time
from errno import *

import calls
from calls import AT_FDCWD, AT_SYMLINK_NOFOLLOW, UTIME_NOW, UTIME_OMIT
from paths import existing_target, path_cases
from suite import *

path_cases('utimensat', lambda path: os.utime(path))
existing_target('utimensat', lambda path: os.utime(path))

OMIT, NOW = (0, UTIME_OMIT), (0, UTIME_NOW)


def times(path):
    found = os.lstat(path)
    return found.st_atime_ns, found.st_mtime_ns


@case
def sets_nanoseconds():
    make('f')
    os.mkdir('d')
    os.mkfifo('p')
    for name in ('f', 'd', 'p'):
        os.utime(name, ns=(1_234_567_890_123_456_789, 987_654_321_987_654_321))
        equal(times(name), (1_234_567_890_123_456_789, 987_654_321_987_654_321))


@case
def sets_times_before_1970():
    make('f')
    os.utime('f', ns=(-1, -1_000_000_001))
    equal(times('f'), (-1, -1_000_000_001))
    os.utime('f', (-2_000_000_000, -1_000_000))
    equal(times('f'), (-2_000_000_000 * 10**9, -1_000_000 * 10**9))


@case
def sets_times_after_2038():
    make('f')
    os.utime('f', (2**31, 2**33))
    equal(times('f'), (2**31 * 10**9, 2**33 * 10**9))


@case
def UTIME_OMIT_leaves_one_of_them():
    make('f')
    os.utime('f', (1, 2))
    calls.utimensat(AT_FDCWD, 'f', ((3, 0), OMIT))
    equal(times('f'), (3 * 10**9, 2 * 10**9))
    calls.utimensat(AT_FDCWD, 'f', (OMIT, (4, 0)))
    equal(times('f'), (3 * 10**9, 4 * 10**9))


@case
def UTIME_OMIT_of_both_changes_nothing():
    make('f')
    equal(changes('f', lambda: calls.utimensat(AT_FDCWD, 'f', (OMIT, OMIT))), '')


@case
def UTIME_NOW_and_none_set_the_present_time():
    make('f')
    for given in (None, (NOW, NOW)):
        os.utime('f', (1, 2))
        calls.utimensat(AT_FDCWD, 'f', given)
        for each in times('f'):
            that(abs(each / 1e9 - time.time()) < 60, f'{each} is not now')


@case
def UTIME_NOW_of_one_of_them():
    make('f')
    os.utime('f', (1, 2))
    calls.utimensat(AT_FDCWD, 'f', (NOW, OMIT))
    atime, mtime = times('f')
    equal((mtime, atime > 10**18), (2 * 10**9, True))


@case
def changes_ctime_always():
    make('f')
    os.mkdir('d')
    for name in ('f', 'd'):
        os.utime(name, (1, 2))
        equal(changes(name, lambda: os.utime(name, (1, 2))), 'c')


@case
def follows_a_symlink_unless_told():
    make('f')
    os.symlink('f', 'link')
    os.utime('link', (1, 2))
    os.utime('link', (3, 4), follow_symlinks=False)
    equal((times('f'), times('link')), ((10**9, 2 * 10**9), (3 * 10**9, 4 * 10**9)))


@case
def futimens_sets_those_of_a_file_without_a_name():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        os.unlink('f')
        calls.futimens(fd, ((5, 6), (7, 8)))
        equal((os.fstat(fd).st_atime_ns, os.fstat(fd).st_mtime_ns), (5 * 10**9 + 6, 7 * 10**9 + 8))


@case
def a_write_before_does_not_overwrite_what_was_set():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        os.write(fd, b'text')
        os.utime(fd, (1, 2))
        os.fsync(fd)
    equal(times('f'), (10**9, 2 * 10**9))


@case
def a_write_after_it_sets_mtime_again():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        os.utime(fd, (1, 2))
        os.write(fd, b'text')
        atime, mtime = times('f')
        equal((atime, mtime > 10**18), (10**9, True))


@case
def nanoseconds_beyond_a_second_are_EINVAL():
    make('f')
    for bad in (10**9, -1):
        fails(EINVAL, calls.utimensat, AT_FDCWD, 'f', ((0, bad), (0, 0)))


@case(ROOT)
def set_times_are_for_the_owner():
    make('f', mode=0o666)
    with acting_as(UID):
        fails(EPERM, os.utime, 'f', (1, 2))
        fails(EPERM, calls.utimensat, AT_FDCWD, 'f', (NOW, OMIT))


@case(ROOT)
def the_present_time_is_for_who_may_write_too():
    make('open', mode=0o666)
    make('closed', mode=0o644)
    with acting_as(UID):
        os.utime('open')
        fails(EACCES, os.utime, 'closed')


@case(ROOT)
def on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f')
    calls.read_only('d')
    fails(EROFS, os.utime, 'd/f', (1, 2))


@case
def unknown_flags_are_EINVAL():
    make('f')
    fails(EINVAL, calls.utimensat, AT_FDCWD, 'f', None, 0x8000)


@case
def of_one_name_shows_in_the_others():
    make('f')
    os.link('f', 'g')
    os.utime('f', (1, 2))
    equal(times('g'), (10**9, 2 * 10**9))
