"""open(2) with O_TMPFILE."""
import os
from errno import *

import calls
from calls import AT_FDCWD, AT_SYMLINK_FOLLOW, O_TMPFILE
from suite import *


def temporary(flags=os.O_RDWR, path='.', mode=0o640):
    return os.open(path, O_TMPFILE | flags, mode)


def name_it(fd, path):
    calls.linkat(AT_FDCWD, f'/proc/self/fd/{fd}', AT_FDCWD, path, AT_SYMLINK_FOLLOW)


@case
def makes_a_file_without_a_name():
    fd = temporary()
    found = os.fstat(fd)
    equal((found.st_nlink, found.st_size, found.st_mode), (0, 0, 0o100640))
    equal((found.st_uid, found.st_gid), (os.geteuid(), os.getegid()))
    equal(names(), [])


@case
def it_is_written_and_read():
    fd = temporary()
    os.write(fd, b'text' * 5000)
    os.fsync(fd)
    equal(os.pread(fd, 8, 4), b'texttext')


@case
def linkat_gives_it_a_name():
    fd = temporary()
    os.write(fd, b'text')
    name_it(fd, 'f')
    equal((read('f'), os.lstat('f').st_nlink, os.lstat('f').st_ino), (b'text', 1, os.fstat(fd).st_ino))
    os.close(fd)
    equal(read('f'), b'text')


@case(ROOT)
def linkat_with_AT_EMPTY_PATH_gives_it_a_name():
    fd = temporary()
    calls.linkat(fd, '', AT_FDCWD, 'f', calls.AT_EMPTY_PATH)
    equal(names(), ['f'])


@case
def linkat_onto_what_is_there_is_EEXIST():
    make('f', b'old')
    fd = temporary()
    fails(EEXIST, name_it, fd, 'f')
    equal(read('f'), b'old')


@case
def with_O_EXCL_it_never_gets_a_name():
    fd = temporary(os.O_RDWR | os.O_EXCL)
    fails(ENOENT, name_it, fd, 'f')
    equal(names(), [])


@case
def to_read_only_is_EINVAL():
    fails(EINVAL, temporary, os.O_RDONLY)


@case
def to_write_alone_works():
    fd = temporary(os.O_WRONLY)
    fails(EBADF, os.read, fd, 1)


@case
def in_a_file_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, temporary, path='f')


@case
def in_what_is_not_there_is_ENOENT():
    fails(ENOENT, temporary, path='missing')


@case(USER)
def in_a_directory_that_may_not_be_written_is_EACCES():
    mkdir('d', 0o555)
    fails(EACCES, temporary, path='d')


@case
def takes_umask_from_the_mode():
    os.umask(0o077)
    equal(os.fstat(temporary(mode=0o666)).st_mode, 0o100600)


@case
def changes_no_time_of_the_directory():
    os.mkdir('d')
    equal(changes('d', lambda: os.close(temporary(path='d'))), '')


@case
def in_a_directory_with_set_group_id_it_takes_the_group():
    os.mkdir('d')
    os.chmod('d', 0o2755)
    equal(os.fstat(temporary(path='d')).st_gid, os.lstat('d').st_gid)


@case
def a_named_one_gets_more_names_and_loses_them():
    fd = temporary()
    name_it(fd, 'f')
    os.link('f', 'g')
    equal(os.fstat(fd).st_nlink, 2)
    os.unlink('f')
    os.unlink('g')
    equal((os.fstat(fd).st_nlink, names()), (0, []))


@case
def a_hundred_at_once_have_inodes_of_their_own():
    fds = [temporary() for _ in range(100)]
    for number, fd in enumerate(fds):
        os.write(fd, b'%d' % number)
    equal(len({os.fstat(fd).st_ino for fd in fds}), 100)
    equal([os.pread(fd, 9, 0) for fd in fds], [b'%d' % number for number in range(100)])


@case
def its_place_is_free_when_it_is_closed():
    before = calls.statfs('.').ffree
    fd = temporary()
    os.write(fd, b'text')
    os.close(fd)
    equal(calls.statfs('.').ffree, before)
