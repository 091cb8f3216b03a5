"""readlink(2)."""
import ctypes
import os
from errno import *

import calls
from suite import *


@case
def of_what_is_no_symlink_is_EINVAL():
    make('f')
    os.mkdir('d')
    for name in ('f', 'd', '.'):
        fails(EINVAL, os.readlink, name)


@case
def of_what_is_not_there_is_ENOENT():
    fails(ENOENT, os.readlink, 'missing')


@case
def of_an_empty_path_is_ENOENT():
    fails(ENOENT, os.readlink, '')


@case
def through_a_file_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.readlink, 'f/x')


@case
def cuts_off_what_has_no_room():
    os.symlink('0123456789', 'link')
    buffer = ctypes.create_string_buffer(b'#' * 20, 20)
    equal(calls.readlinkat_raw(calls.AT_FDCWD, 'link', buffer, 4), 4)
    equal(buffer.raw[:6], b'0123##')


@case
def into_no_room_is_EINVAL():
    os.symlink('x', 'link')
    fails(EINVAL, calls.readlinkat_raw, calls.AT_FDCWD, 'link', ctypes.create_string_buffer(1), 0)


@case
def puts_no_zero_behind():
    os.symlink('abc', 'link')
    buffer = ctypes.create_string_buffer(b'#' * 20, 20)
    equal(calls.readlinkat_raw(calls.AT_FDCWD, 'link', buffer, 20), 3)
    equal(buffer.raw[:5], b'abc##')


@case(USER)
def needs_search_permission_of_the_directory_alone():
    mkdir('d')
    os.symlink('x', 'd/link')
    os.chmod('d', 0o100)
    equal(os.readlink('d/link'), 'x')
    os.chmod('d', 0o600)
    fails(EACCES, os.readlink, 'd/link')


@case
def a_slash_behind_the_symlink_follows_it():
    os.mkdir('d')
    os.symlink('d', 'link')
    fails(EINVAL, os.readlink, 'link/')


@case
def changes_at_most_the_access_time():
    os.symlink('x', 'link')
    equal(changes_at_most_atime('link', lambda: os.readlink('link')), '')


@case
def readlinkat_begins_from_the_directory():
    os.mkdir('d')
    os.symlink('x', 'd/link')
    with opened('d') as fd:
        equal(os.readlink('link', dir_fd=fd), 'x')
