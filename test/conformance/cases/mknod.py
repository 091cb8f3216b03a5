"""mknod(2)."""
import os
import socket
from errno import *

import calls
from paths import path_cases
from suite import *

path_cases('mknod', lambda path: os.mknod(path, stat.S_IFREG | 0o644), target=None, writes=True)


@case
def makes_an_empty_file_a_fifo_and_a_socket():
    for kind in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
        os.mknod('x', kind | 0o640)
        found = os.lstat('x')
        equal((found.st_mode, found.st_size, found.st_nlink), (kind | 0o640, 0, 1))
        os.unlink('x')


@case
def a_type_of_zero_is_a_regular_file():
    calls.mknodat(calls.AT_FDCWD, 'x', 0o600, 0)
    equal(os.lstat('x').st_mode, 0o100600)


@case(ROOT)
def makes_devices_with_their_numbers():
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        for major, minor in ((1, 3), (0, 0), (7, 255), (259, 70_000), (4095, 1_048_575)):
            os.mknod('x', kind | 0o600, os.makedev(major, minor))
            found = os.lstat('x')
            equal((stat.S_IFMT(found.st_mode), found.st_rdev), (kind, os.makedev(major, minor)))
            os.unlink('x')


@case(ROOT)
def a_device_file_leads_to_the_device():
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod('zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))
    errors = {errno_of(os.open, name, os.O_RDONLY) for name in ('null', 'zero')}
    if errors == {EACCES}:
        raise NotApplicable('the filesystem is mounted with nodev')
    with opened('null', os.O_RDWR) as null, opened('zero') as zero:
        equal((os.write(null, b'gone'), os.read(null, 9), os.read(zero, 3)), (4, b'', bytes(3)))


@case(USER)
def devices_are_EPERM_for_users():
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        fails(EPERM, os.mknod, 'x', kind | 0o600, os.makedev(1, 3))
    equal(names(), [])


@case
def a_directory_is_EPERM_or_EINVAL():
    fails((EPERM, EINVAL), os.mknod, 'x', stat.S_IFDIR | 0o755)


@case
def a_symlink_is_EINVAL():
    fails(EINVAL, os.mknod, 'x', stat.S_IFLNK | 0o755)


@case
def what_is_there_is_EEXIST():
    make('f')
    os.symlink('missing', 'dangling')
    for name in ('f', 'dangling'):
        fails(EEXIST, os.mknod, name, stat.S_IFREG | 0o644)


@case
def changes_mtime_and_ctime_of_the_parent():
    os.mkdir('d')
    equal(changes_at_most_atime('d', lambda: os.mknod('d/x')), 'mc')


@case
def a_socket_is_where_programs_meet():
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind('s')
        server.listen(1)
        that(stat.S_ISSOCK(os.lstat('s').st_mode), 'bind made no socket')
        client.connect('s')
        accepted, _ = server.accept()
        with accepted:
            client.send(b'hello')
            equal(accepted.recv(9), b'hello')
        with socket.socket(socket.AF_UNIX) as second:
            fails(EADDRINUSE, second.bind, 's')
