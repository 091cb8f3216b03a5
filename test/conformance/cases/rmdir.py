"""rmdir(2)."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

path_cases('rmdir', os.rmdir, target='dir', writes=True)
existing_target('rmdir', os.rmdir)


@case
def removes_an_empty_directory():
    os.mkdir('d')
    os.rmdir('d')
    fails(ENOENT, os.lstat, 'd')
    equal(names(), [])


@case
def one_with_entries_is_ENOTEMPTY():
    os.mkdir('d')
    for fill, empty in ((make, os.unlink), (os.mkdir, os.rmdir), (lambda path: os.symlink('x', path), os.unlink)):
        fill('d/x')
        fails((ENOTEMPTY, EEXIST), os.rmdir, 'd')
        empty('d/x')
    os.rmdir('d')


@case
def a_file_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.rmdir, 'f')


@case
def a_symlink_to_a_directory_is_ENOTDIR():
    os.mkdir('d')
    os.symlink('d', 'link')
    fails(ENOTDIR, os.rmdir, 'link')
    fails(ENOTDIR, os.rmdir, 'link/')
    equal(names(), ['d', 'link'])


@case
def dot_is_EINVAL():
    os.mkdir('d')
    fails(EINVAL, os.rmdir, 'd/.')
    fails(EINVAL, os.rmdir, '.')


@case
def dot_dot_is_ENOTEMPTY():
    os.mkdir('d')
    fails((ENOTEMPTY, EINVAL), os.rmdir, 'd/..')


@case
def takes_a_slash_at_the_end():
    os.mkdir('d')
    os.rmdir('d/')
    equal(names(), [])


@case
def takes_a_link_from_the_parent():
    os.mkdir('d')
    os.mkdir('e')
    before = os.lstat('.').st_nlink
    os.rmdir('d')
    equal(os.lstat('.').st_nlink, before - 1)


@case
def changes_mtime_and_ctime_of_the_parent():
    os.mkdir('d')
    os.mkdir('d/e')
    equal(changes_at_most_atime('d', lambda: os.rmdir('d/e')), 'mc')


@case
def one_that_is_open_has_no_links_any_more():
    os.mkdir('d')
    with opened('d') as fd:
        os.rmdir('d')
        equal(os.fstat(fd).st_nlink, 0)


@case
def one_that_somebody_works_in_goes():
    os.mkdir('d')
    os.chdir('d')
    os.rmdir('../d')
    fails(ENOENT, os.open, 'f', os.O_CREAT | os.O_WRONLY)
    fails(ENOENT, os.getcwd)
    os.lstat('..')


@case
def its_name_can_be_made_again_as_a_file():
    os.mkdir('d')
    os.rmdir('d')
    make('d', b'file')
    equal(read('d'), b'file')


@case(USER)
def in_a_sticky_directory_of_somebody_else_is_refused_by_permission():
    fails((EACCES, EPERM), os.rmdir, os.getcwd())


@case(ROOT)
def in_a_sticky_directory_another_s_is_EPERM():
    mkdir('t', 0o1777)
    mkdir('t/d')
    os.chown('t/d', OTHER, OTHER)
    with acting_as(UID):
        fails(EPERM, os.rmdir, 't/d')
    with acting_as(OTHER):
        os.rmdir('t/d')


@case
def a_mountpoint_or_the_root_is_EBUSY():
    fails((EBUSY, EACCES), os.rmdir, '/')
