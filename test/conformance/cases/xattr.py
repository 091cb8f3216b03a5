"""setxattr(2), getxattr(2), listxattr(2), removexattr(2), and those of links and descriptors; xattr(7). ACLs have a file of their
own."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

NAME = 'user.test'


def set_one(path):
    os.setxattr(path, NAME, b'value')


path_cases('xattr', set_one)
existing_target('xattr', set_one)


@case
def gives_back_what_was_set():
    make('f')
    os.mkdir('d')
    for name in ('f', 'd'):
        os.setxattr(name, NAME, b'value')
        equal(os.getxattr(name, NAME), b'value')


@case
def values_are_bytes_of_any_kind():
    make('f')
    for value in (b'', b'\0', bytes(range(256)), b'x' * 1000):
        os.setxattr('f', NAME, value)
        equal(os.getxattr('f', NAME), value)


@case
def an_empty_value_is_not_none():
    make('f')
    os.setxattr('f', NAME, b'')
    equal((os.getxattr('f', NAME), os.listxattr('f')), (b'', [NAME]))


@case
def a_value_of_several_kilobytes_comes_back():
    make('f')
    value = os.urandom(3500)
    os.setxattr('f', NAME, value)
    equal(os.getxattr('f', NAME), value)


@case
def another_value_replaces_the_old_one():
    make('f')
    for value in (b'one', b'a longer one', b'1'):
        os.setxattr('f', NAME, value)
        equal(os.getxattr('f', NAME), value)
    equal(os.listxattr('f'), [NAME])


@case
def XATTR_CREATE_of_what_is_there_is_EEXIST():
    make('f')
    os.setxattr('f', NAME, b'one', os.XATTR_CREATE)
    fails(EEXIST, os.setxattr, 'f', NAME, b'two', os.XATTR_CREATE)
    equal(os.getxattr('f', NAME), b'one')


@case
def XATTR_REPLACE_of_what_is_not_there_is_ENODATA():
    make('f')
    fails(ENODATA, os.setxattr, 'f', NAME, b'one', os.XATTR_REPLACE)
    os.setxattr('f', NAME, b'one')
    os.setxattr('f', NAME, b'two', os.XATTR_REPLACE)
    equal(os.getxattr('f', NAME), b'two')


@case
def unknown_flags_are_EINVAL():
    make('f')
    fails(EINVAL, os.setxattr, 'f', NAME, b'one', 8)


@case
def what_is_not_there_is_ENODATA():
    make('f')
    fails(ENODATA, os.getxattr, 'f', NAME)
    fails(ENODATA, os.removexattr, 'f', NAME)


@case
def removexattr_removes_one_of_them():
    make('f')
    os.setxattr('f', 'user.a', b'1')
    os.setxattr('f', 'user.b', b'2')
    os.removexattr('f', 'user.a')
    fails(ENODATA, os.getxattr, 'f', 'user.a')
    equal((os.listxattr('f'), os.getxattr('f', 'user.b')), (['user.b'], b'2'))


@case
def listxattr_tells_all_names():
    make('f')
    equal(os.listxattr('f'), [])
    expected = sorted(f'user.name-{number}' for number in range(20))
    for name in expected:
        os.setxattr('f', name, b'v')
    equal(sorted(os.listxattr('f')), expected)


@case
def sizes_are_told_where_there_is_no_room():
    make('f')
    os.setxattr('f', NAME, b'0123456789')
    lgetxattr = calls.function('lgetxattr', calls.PATH, calls.PATH, calls.PTR, calls.SIZE, result=calls.LONG)
    llistxattr = calls.function('llistxattr', calls.PATH, calls.PTR, calls.SIZE, result=calls.LONG)
    equal((lgetxattr('f', NAME, None, 0), llistxattr('f', None, 0)), (10, len(NAME) + 1))
    buffer = calls.ctypes.create_string_buffer(5)
    fails(ERANGE, lgetxattr, 'f', NAME, buffer, 5)
    fails(ERANGE, llistxattr, 'f', buffer, 5)


@case
def a_name_of_255_bytes_is_taken_and_of_256_is_ERANGE():
    make('f')
    name = 'user.' + 'n' * 250
    os.setxattr('f', name, b'v')
    equal(os.listxattr('f'), [name])
    fails(ERANGE, os.setxattr, 'f', name + 'n', b'v')


@case
def a_value_of_more_than_64_KiB_is_E2BIG():
    make('f')
    fails(E2BIG, os.setxattr, 'f', NAME, bytes(65537))


@case
def a_name_of_no_class_is_EOPNOTSUPP():
    make('f')
    for name in ('test', 'unknown.test', 'use.test'):
        fails(EOPNOTSUPP, os.setxattr, 'f', name, b'v')
        fails(EOPNOTSUPP, os.getxattr, 'f', name)


@case
def a_class_without_a_name_is_EINVAL():
    make('f')
    fails((EINVAL, EOPNOTSUPP), os.setxattr, 'f', 'user.', b'v')


@case
def user_attributes_of_symlinks_fifos_and_sockets_are_EPERM():
    os.symlink('missing', 'link')
    os.mkfifo('fifo')
    for name in ('link', 'fifo'):
        fails(EPERM, os.setxattr, name, NAME, b'v', follow_symlinks=False)


@case
def follows_symlinks_unless_told():
    make('f')
    os.symlink('f', 'link')
    os.setxattr('link', NAME, b'v')
    equal(os.getxattr('f', NAME), b'v')
    fails((ENODATA, EPERM), os.getxattr, 'link', NAME, follow_symlinks=False)


@case
def by_descriptors():
    make('f')
    with opened('f') as fd:
        os.unlink('f')
        os.setxattr(fd, NAME, b'v')
        equal((os.getxattr(fd, NAME), os.listxattr(fd)), (b'v', [NAME]))
        os.removexattr(fd, NAME)
        equal(os.listxattr(fd), [])


@case
def changes_ctime_alone():
    make('f')
    equal(changes('f', lambda: os.setxattr('f', NAME, b'v')), 'c')
    equal(changes('f', lambda: os.removexattr('f', NAME)), 'c')
    os.mkdir('d')
    equal(changes('d', lambda: os.setxattr('d', NAME, b'v')), 'c')


@case
def reading_changes_no_time():
    make('f')
    os.setxattr('f', NAME, b'v')
    equal(changes('f', lambda: (os.getxattr('f', NAME), os.listxattr('f'))), '')


@case
def goes_with_a_file_through_rename_and_link():
    make('f')
    os.setxattr('f', NAME, b'v')
    os.rename('f', 'g')
    os.link('g', 'h')
    equal(os.getxattr('h', NAME), b'v')


@case
def does_not_go_to_a_new_file_of_the_same_name():
    make('f')
    os.setxattr('f', NAME, b'v')
    os.unlink('f')
    make('f')
    equal(os.listxattr('f'), [])


@case
def is_of_one_name_in_all_others():
    make('f')
    os.link('f', 'g')
    os.setxattr('f', NAME, b'v')
    equal(os.getxattr('g', NAME), b'v')


@case(USER)
def user_attributes_need_read_or_write_permission():
    make('f')
    os.setxattr('f', NAME, b'v')
    os.chmod('f', 0o444)
    fails(EACCES, os.setxattr, 'f', NAME, b'w')
    fails(EACCES, os.removexattr, 'f', NAME)
    equal(os.getxattr('f', NAME), b'v')
    os.chmod('f', 0o200)
    fails(EACCES, os.getxattr, 'f', NAME)
    equal(os.listxattr('f'), [NAME])


@case(ROOT)
def user_attributes_of_sticky_directories_are_for_the_owner():
    mkdir('t', 0o1777)
    with acting_as(UID):
        fails(EPERM, os.setxattr, 't', NAME, b'v')
    os.setxattr('t', NAME, b'v')


@case(ROOT)
def trusted_attributes_are_for_root():
    make('f', mode=0o666)
    os.setxattr('f', 'trusted.test', b'v')
    equal((os.getxattr('f', 'trusted.test'), os.listxattr('f')), (b'v', ['trusted.test']))
    with acting_as(UID):
        fails(ENODATA, os.getxattr, 'f', 'trusted.test')
        fails(EPERM, os.setxattr, 'f', 'trusted.test', b'w')
        fails(EPERM, os.removexattr, 'f', 'trusted.test')
        equal(os.listxattr('f'), [])


@case(ROOT)
def trusted_attributes_of_symlinks_work():
    os.symlink('missing', 'link')
    os.setxattr('link', 'trusted.test', b'v', follow_symlinks=False)
    equal(os.getxattr('link', 'trusted.test', follow_symlinks=False), b'v')


CAPABILITY = bytes.fromhex('0100000200040000000000000000000000000000')


@case(ROOT)
def security_capability_is_kept():
    make('f', b'#!/bin/sh\n', 0o755)
    os.setxattr('f', 'security.capability', CAPABILITY)
    equal(os.getxattr('f', 'security.capability'), CAPABILITY)


@case(ROOT)
def security_capability_goes_when_the_file_is_written():
    make('f', mode=0o755)
    for change in (
        lambda: os.truncate('f', 5),
        lambda: os.chown('f', 3, 3),
        lambda: os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)),
    ):
        os.setxattr('f', 'security.capability', CAPABILITY)
        change()
        fails(ENODATA, os.getxattr, 'f', 'security.capability')


@case(ROOT)
def security_capability_goes_when_a_user_writes():
    make('f', b'text', 0o777)
    os.setxattr('f', 'security.capability', CAPABILITY)
    with acting_as(UID), opened('f', os.O_WRONLY) as fd:
        os.write(fd, b'T')
    fails(ENODATA, os.getxattr, 'f', 'security.capability')


@case(USER)
def security_attributes_are_not_for_users():
    make('f')
    fails(EPERM, os.setxattr, 'f', 'security.capability', CAPABILITY)


@case(ROOT)
def on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f')
    calls.read_only('d')
    fails(EROFS, os.setxattr, 'd/f', NAME, b'v')


@case
def forty_values_of_fifty_bytes_fit():
    make('f')
    expected = {f'user.{number}': os.urandom(50) for number in range(40)}
    for name, value in expected.items():
        os.setxattr('f', name, value)
    equal({name: os.getxattr('f', name) for name in os.listxattr('f')}, expected)
