"""ioctl(2): FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, as lsattr(1) and chattr(1) call them."""
import fcntl
import os
import struct
from errno import *

import calls
from calls import FS_APPEND_FL, FS_IMMUTABLE_FL, get_flags, set_flags
from suite import *

FIONREAD = 0x541B


def add_flag(path, flag):
    set_flags(path, get_flags(path) | flag)


def drop_flag(path, flag):
    set_flags(path, get_flags(path) & ~flag)


@case
def a_new_file_is_neither_immutable_nor_append_only():
    make('f')
    os.mkdir('d')
    for name in 'fd':
        equal(get_flags(name) & (FS_IMMUTABLE_FL | FS_APPEND_FL), 0)


@case(ROOT)
def flags_that_are_set_are_told():
    make('f')
    os.mkdir('d')
    for flag in (FS_IMMUTABLE_FL, FS_APPEND_FL):
        for name in 'fd':
            add_flag(name, flag)
            equal(get_flags(name) & (FS_IMMUTABLE_FL | FS_APPEND_FL), flag)
            drop_flag(name, flag)
            equal(get_flags(name) & flag, 0)


@case(USER)
def immutable_and_append_only_are_not_for_users():
    make('f')
    for flag in (FS_IMMUTABLE_FL, FS_APPEND_FL):
        fails(EPERM, add_flag, 'f', flag)


@case(ROOT)
def an_immutable_file_is_not_written_even_by_root():
    make('f', b'text')
    add_flag('f', FS_IMMUTABLE_FL)
    for call in (
        lambda: os.open('f', os.O_WRONLY),
        lambda: os.open('f', os.O_WRONLY | os.O_APPEND),
        lambda: os.truncate('f', 0),
        lambda: os.chmod('f', 0o600),
        lambda: os.chown('f', 1, 1),
        lambda: os.utime('f', (1, 2)),
        lambda: os.unlink('f'),
        lambda: os.rename('f', 'g'),
        lambda: os.link('f', 'g'),
    ):
        fails((EPERM, EACCES), call)
    equal(read('f'), b'text')
    drop_flag('f', FS_IMMUTABLE_FL)
    os.unlink('f')


@case(ROOT)
def an_immutable_file_is_not_replaced():
    make('f', b'text')
    make('g', b'new')
    add_flag('f', FS_IMMUTABLE_FL)
    fails(EPERM, os.rename, 'g', 'f')
    equal(read('f'), b'text')


@case(ROOT)
def in_an_immutable_directory_no_name_comes_or_goes():
    os.mkdir('d')
    make('d/f', b'text')
    add_flag('d', FS_IMMUTABLE_FL)
    for call in (
        lambda: make('d/new'),
        lambda: os.mkdir('d/new'),
        lambda: os.unlink('d/f'),
        lambda: os.rename('d/f', 'g'),
        lambda: os.rename('d', 'e'),
        lambda: os.rmdir('d'),
    ):
        fails((EPERM, EACCES), call)
    with opened('d/f', os.O_WRONLY) as fd:
        os.write(fd, b'TEXT')
    equal(read('d/f'), b'TEXT')


@case(ROOT)
def an_append_only_file_is_only_appended_to():
    make('f', b'text')
    add_flag('f', FS_APPEND_FL)
    for call in (
        lambda: os.open('f', os.O_WRONLY),
        lambda: os.open('f', os.O_WRONLY | os.O_APPEND | os.O_TRUNC),
        lambda: os.truncate('f', 0),
        lambda: os.unlink('f'),
        lambda: os.rename('f', 'g'),
    ):
        fails(EPERM, call)
    with opened('f', os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b' more')
    equal(read('f'), b'text more')


@case(ROOT)
def in_an_append_only_directory_names_come_and_do_not_go():
    os.mkdir('d')
    add_flag('d', FS_APPEND_FL)
    make('d/f')
    fails(EPERM, os.unlink, 'd/f')
    fails(EPERM, os.rename, 'd/f', 'd/g')
    equal(names('d'), ['f'])


@case(ROOT)
def changing_flags_changes_ctime():
    make('f')
    equal(changes('f', lambda: add_flag('f', FS_APPEND_FL)), 'c')


@case
def of_another_user_s_file_are_not_to_be_set():
    if os.geteuid() != 0:
        fails((EPERM, EACCES), add_flag, '..', calls.FS_NODUMP_FL)
        return
    make('f', mode=0o666)
    with acting_as(UID):
        fails(EPERM, add_flag, 'f', calls.FS_NODUMP_FL)


@case
def an_unknown_ioctl_is_ENOTTY():
    make('f')
    with opened('f') as fd:
        fails((ENOTTY, EINVAL), fcntl.ioctl, fd, 0x5678, bytes(8))


@case
def FIONREAD_tells_how_much_is_to_be_read():
    make('f', b'0123456789')
    with opened('f') as fd:
        os.read(fd, 3)
        equal(struct.unpack('i', fcntl.ioctl(fd, FIONREAD, bytes(4)))[0], 7)
