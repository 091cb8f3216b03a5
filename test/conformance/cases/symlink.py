"""symlink(2) and readlink(2)."""
import ctypes
import os
from errno import *

import calls
from paths import path_cases
from suite import *

path_cases('symlink', lambda path: os.symlink('target', path), target=None, writes=True)


@case
def holds_its_target_as_it_was_given():
    for number, target in enumerate(('x', '/absolute/path', '../up', 'a//b/', ' ', 'ä', '.', 'x' * 255)):
        os.symlink(target, f'link{number}')
        equal(os.readlink(f'link{number}'), target)


@case
def takes_a_target_of_4095_bytes():
    target = '/'.join(['x' * 63] * 64)
    equal(len(target), 4095)
    os.symlink(target, 'link')
    equal((os.readlink('link'), os.lstat('link').st_size), (target, 4095))


@case
def a_target_of_4096_bytes_is_ENAMETOOLONG():
    fails(ENAMETOOLONG, os.symlink, 'x' * 4096, 'link')


@case
def an_empty_target_is_ENOENT():
    fails(ENOENT, os.symlink, '', 'link')


@case
def its_size_is_the_length_of_its_target_and_its_mode_777():
    os.umask(0o077)
    os.symlink('twelve bytes', 'link')
    found = os.lstat('link')
    equal((found.st_size, found.st_mode, found.st_nlink), (12, 0o120777, 1))
    equal((found.st_uid, found.st_gid), (os.geteuid(), os.getegid()))


@case
def what_is_there_is_EEXIST_whatever_it_is():
    make('file')
    os.mkdir('dir')
    os.symlink('missing', 'dangling')
    for name in ('file', 'dir', 'dangling'):
        fails(EEXIST, os.symlink, 'x', name)


@case
def to_a_directory_leads_into_it():
    os.mkdir('d')
    os.symlink('d', 'link')
    make('link/f', b'text')
    equal(read('d/f'), b'text')


@case
def is_relative_to_where_it_lies():
    os.mkdir('d')
    make('d/f', b'here')
    make('f', b'there')
    os.symlink('f', 'd/link')
    equal(read('d/link'), b'here')
    os.rename('d/link', 'link')
    equal(read('link'), b'there')


@case
def may_lead_to_nowhere_and_later_to_something():
    os.symlink('later', 'link')
    fails(ENOENT, os.stat, 'link')
    make('later', b'now')
    equal(read('link'), b'now')


@case
def a_slash_behind_its_name_is_ENOENT():
    fails(ENOENT, os.symlink, 'target', 'new/')


@case
def changes_mtime_and_ctime_of_the_parent():
    os.mkdir('d')
    equal(changes_at_most_atime('d', lambda: os.symlink('x', 'd/link')), 'mc')


@case
def symlinkat_begins_from_the_directory():
    os.mkdir('d')
    with opened('d') as fd:
        os.symlink('x', 'link', dir_fd=fd)
    equal(os.readlink('d/link'), 'x')


@case
def made_anew_with_another_target_leads_there():
    make('a', b'a')
    make('b', b'b')
    for _ in range(10):
        for target in 'ab':
            os.symlink(target, 'link')
            equal((os.readlink('link'), read('link')), (target, target.encode()))
            os.unlink('link')
