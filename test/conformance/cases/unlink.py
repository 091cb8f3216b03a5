"""unlink(2) and unlinkat(2)."""
import os
import socket
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

path_cases('unlink', os.unlink, writes=True)
existing_target('unlink', os.unlink)


@case
def removes_every_kind_of_file_but_directories():
    make('file')
    os.mkfifo('fifo')
    os.symlink('missing', 'link')
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind('socket')
    for name in ('file', 'fifo', 'link', 'socket'):
        os.unlink(name)
        fails(ENOENT, os.lstat, name)


@case(ROOT)
def removes_devices():
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.unlink('null')
    equal(names(), [])


@case
def a_directory_is_EISDIR():
    os.mkdir('d')
    fails(EISDIR, os.unlink, 'd')
    equal(names(), ['d'])


@case
def a_symlink_goes_and_its_target_stays():
    make('f')
    os.symlink('f', 'link')
    os.unlink('link')
    equal(names(), ['f'])


@case
def a_slash_behind_a_file_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.unlink, 'f/')


@case
def dot_and_dot_dot_are_refused():
    for name in ('.', '..'):
        fails((EISDIR, EINVAL, EPERM, EBUSY), os.unlink, name)


@case
def one_of_two_names_leaves_the_other():
    make('f', b'text')
    os.link('f', 'g')
    os.unlink('f')
    equal((read('g'), os.lstat('g').st_nlink), (b'text', 1))


@case
def changes_ctime_of_a_file_that_has_another_name():
    make('f')
    os.link('f', 'g')
    equal(changes('g', lambda: os.unlink('f')), 'c')


@case
def changes_mtime_and_ctime_of_the_parent():
    os.mkdir('d')
    make('d/f')
    equal(changes_at_most_atime('d', lambda: os.unlink('d/f')), 'mc')


@case
def an_open_file_stays_until_it_is_closed():
    make('f', b'text')
    with opened('f', os.O_RDWR) as fd:
        os.unlink('f')
        equal(os.fstat(fd).st_nlink, 0)
        make('f', b'another')
        equal((os.pread(fd, 9, 0), read('f')), (b'text', b'another'))
        os.fsync(fd)
        os.fchmod(fd, 0o600)
        os.utime(fd, (1, 2))
        equal((os.fstat(fd).st_mtime, stat.S_IMODE(os.fstat(fd).st_mode)), (2, 0o600))


@case
def a_mapped_file_stays_readable():
    import mmap

    make('f', b'x' * 5000)
    with opened('f') as fd:
        mapped = mmap.mmap(fd, 5000, prot=mmap.PROT_READ)
    os.unlink('f')
    equal(mapped[4990:5000], b'x' * 10)


@case(USER)
def needs_no_permission_of_the_file_itself():
    make('f', mode=0)
    os.unlink('f')


@case(ROOT)
def in_a_sticky_directory_is_for_the_owner_of_file_or_directory():
    mkdir('t', 0o1777)
    os.chown('t', OTHER + 1, OTHER + 1)
    for name in 'abc':
        make(f't/{name}', mode=0o666)
        os.chown(f't/{name}', OTHER, OTHER)
    with acting_as(UID):
        fails(EPERM, os.unlink, 't/a')
    with acting_as(OTHER):
        os.unlink('t/a')
    with acting_as(OTHER + 1):
        os.unlink('t/b')
    os.unlink('t/c')


@case
def unlinkat_begins_from_the_directory():
    os.mkdir('d')
    make('d/f')
    with opened('d') as fd:
        os.unlink('f', dir_fd=fd)
    equal(names('d'), [])


@case
def unlinkat_with_AT_REMOVEDIR_is_rmdir():
    os.mkdir('d')
    make('f')
    calls.unlinkat(calls.AT_FDCWD, 'd', calls.AT_REMOVEDIR)
    fails(ENOTDIR, calls.unlinkat, calls.AT_FDCWD, 'f', calls.AT_REMOVEDIR)
    equal(names(), ['f'])


@case
def unlinkat_with_unknown_flags_is_EINVAL():
    make('f')
    fails(EINVAL, calls.unlinkat, calls.AT_FDCWD, 'f', 0x800000)


@case
def a_name_can_be_made_and_removed_again_and_again():
    for number in range(50):
        make('f', b'%d' % number)
        equal(read('f'), b'%d' % number)
        os.unlink('f')
        fails(ENOENT, os.open, 'f', os.O_RDONLY)
