"""link(2) and linkat(2)."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *


def link_to(path):
    if not os.path.exists('source'):
        make('source')
    os.link('source', path)


path_cases('link', link_to, target=None, writes=True)
existing_target('link', lambda path: os.link(path, 'new'))


@case
def gives_a_file_a_second_name():
    make('f', b'text')
    os.link('f', 'g')
    one, other = os.lstat('f'), os.lstat('g')
    equal((one.st_ino, one.st_nlink), (other.st_ino, 2))
    with opened('g', os.O_WRONLY) as fd:
        os.write(fd, b'TEXT')
    equal(read('f'), b'TEXT')


@case
def what_one_name_changes_the_other_shows():
    make('f')
    os.link('f', 'g')
    os.chmod('f', 0o600)
    os.truncate('g', 77)
    equal((mode_of('g'), os.lstat('f').st_size), (0o600, 77))


@case
def a_new_name_that_is_there_is_EEXIST_whatever_it_is():
    make('f')
    make('file')
    os.mkdir('dir')
    os.symlink('missing', 'dangling')
    for name in ('file', 'dir', 'dangling', 'f'):
        fails(EEXIST, os.link, 'f', name)
    equal(os.lstat('f').st_nlink, 1)


@case
def a_directory_is_EPERM():
    os.mkdir('d')
    fails(EPERM, os.link, 'd', 'e')


@case
def a_symlink_is_linked_itself():
    make('f')
    os.symlink('f', 'link')
    os.link('link', 'new', follow_symlinks=False)
    equal((os.readlink('new'), os.lstat('link').st_nlink, os.lstat('f').st_nlink), ('f', 2, 1))


@case
def linkat_with_AT_SYMLINK_FOLLOW_links_the_target():
    make('f')
    os.symlink('f', 'link')
    calls.linkat(calls.AT_FDCWD, 'link', calls.AT_FDCWD, 'new', calls.AT_SYMLINK_FOLLOW)
    equal(os.lstat('f').st_nlink, 2)


@case
def a_fifo_can_have_two_names():
    os.mkfifo('p')
    os.link('p', 'q')
    equal(os.lstat('q').st_nlink, 2)


@case
def changes_ctime_of_the_file_and_mtime_and_ctime_of_the_directory():
    make('f')
    os.mkdir('d')
    equal(changes('f', lambda: os.link('f', 'd/one')), 'c')
    equal(changes_at_most_atime('d', lambda: os.link('f', 'd/two')), 'mc')


@case
def names_in_different_directories_are_one_file():
    os.mkdir('a')
    os.mkdir('b')
    make('a/f', b'text')
    os.link('a/f', 'b/g')
    os.unlink('a/f')
    os.rmdir('a')
    equal((read('b/g'), os.lstat('b/g').st_nlink), (b'text', 1))


@case
def to_another_filesystem_is_EXDEV():
    make('f')
    fails((EXDEV, EACCES), os.link, '/proc/self/status', 'new')
    fails(EXDEV, os.link, 'f', '/dev/new')


@case
def a_slash_behind_the_new_name_is_ENOENT_or_ENOTDIR():
    make('f')
    fails((ENOENT, ENOTDIR), os.link, 'f', 'new/')


@case
def a_slash_behind_the_old_name_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.link, 'f/', 'new')


@case
def counts_two_hundred_names():
    make('f')
    for number in range(199):
        os.link('f', f'g{number}')
    equal(os.lstat('f').st_nlink, 200)
    for number in range(199):
        os.unlink(f'g{number}')
    equal(os.lstat('f').st_nlink, 1)


@case(ROOT)
def of_an_open_file_by_AT_EMPTY_PATH():
    make('f', b'text')
    with opened('f') as fd:
        calls.linkat(fd, '', calls.AT_FDCWD, 'g', calls.AT_EMPTY_PATH)
    equal(os.lstat('g').st_nlink, 2)


@case
def of_an_open_file_through_proc():
    make('f', b'text')
    with opened('f') as fd:
        calls.linkat(calls.AT_FDCWD, f'/proc/self/fd/{fd}', calls.AT_FDCWD, 'g', calls.AT_SYMLINK_FOLLOW)
    equal(read('g'), b'text')


@case
def of_a_file_without_a_name_is_ENOENT():
    make('f')
    with opened('f') as fd:
        os.unlink('f')
        path = f'/proc/self/fd/{fd}'
        fails(ENOENT, calls.linkat, calls.AT_FDCWD, path, calls.AT_FDCWD, 'g', calls.AT_SYMLINK_FOLLOW)


@case
def an_open_descriptor_knows_the_new_count():
    make('f')
    with opened('f') as fd:
        os.link('f', 'g')
        equal(os.fstat(fd).st_nlink, 2)
        os.unlink('f')
        equal(os.fstat(fd).st_nlink, 1)
