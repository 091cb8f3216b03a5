"""statx(2)."""
import os
import time
from errno import *

import calls
from calls import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, STATX_BTIME, statx
from suite import *


def seconds(of):
    return of[0] + of[1] / 1e9


@case
def tells_what_stat_tells():
    make('f', b'12345', 0o640)
    os.link('f', 'g')
    told, known = statx(AT_FDCWD, 'f'), os.stat('f')
    equal(told.mask & STATX_BASIC_STATS, STATX_BASIC_STATS)
    equal(
        (told.size, told.mode, told.nlink, told.uid, told.gid, told.ino, told.blocks),
        (known.st_size, known.st_mode, known.st_nlink, known.st_uid, known.st_gid, known.st_ino, known.st_blocks),
    )
    equal(told.mtime, divmod(known.st_mtime_ns, 10**9))
    equal(told.ctime, divmod(known.st_ctime_ns, 10**9))


@case
def follows_symlinks_unless_told():
    make('f', b'12345')
    os.symlink('f', 'link')
    equal((statx(AT_FDCWD, 'link').size, statx(AT_FDCWD, 'link', AT_SYMLINK_NOFOLLOW).size), (5, 1))


@case
def of_a_descriptor_by_AT_EMPTY_PATH():
    make('f', b'12345')
    with opened('f') as fd:
        os.unlink('f')
        told = statx(fd, '', AT_EMPTY_PATH)
        equal((told.size, told.nlink), (5, 0))


@case
def of_an_empty_path_is_ENOENT():
    fails(ENOENT, statx, AT_FDCWD, '')


@case
def unknown_flags_are_EINVAL():
    fails(EINVAL, statx, AT_FDCWD, '.', 0x80000)


@case
def tells_the_numbers_of_a_device():
    os.mkfifo('p')
    equal(statx(AT_FDCWD, 'p').rdev, (0, 0))


@case
def knows_when_a_file_was_made():
    make('f')
    told = statx(AT_FDCWD, 'f')
    that(told.mask & STATX_BTIME, 'it does not tell the birth time')
    that(abs(seconds(told.btime) - time.time()) < 60, f'the birth time is {told.btime}')


@case
def the_birth_time_never_changes():
    make('f')
    os.mkdir('d')
    born = [statx(AT_FDCWD, name).btime for name in 'fd']
    tick()
    with opened('f', os.O_WRONLY) as fd:
        os.write(fd, b'x')
    os.chmod('f', 0o600)
    os.utime('f', (1, 2))
    os.link('f', 'd/g')
    os.rename('f', 'h')
    equal([statx(AT_FDCWD, name).btime for name in 'hd'], born)
    that(statx(AT_FDCWD, 'd').mask & STATX_BTIME, 'it does not tell the birth time')


@case
def a_file_made_later_is_born_later():
    make('f')
    tick()
    make('g')
    that(statx(AT_FDCWD, 'f').mask & STATX_BTIME, 'it does not tell the birth time')
    that(statx(AT_FDCWD, 'g').btime > statx(AT_FDCWD, 'f').btime, 'it is not')
