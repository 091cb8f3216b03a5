"""path_resolution(7): what is no single call's."""
import os
from errno import *

import calls
from suite import *


@case
def slashes_count_once():
    os.makedirs('a/b')
    make('a/b/f', b'x')
    equal(read('a///b////f'), b'x')


@case
def dot_dot_of_a_symlink_s_target_is_the_target_s_parent():
    os.makedirs('real/deep/dir')
    make('real/deep/here')
    os.symlink('real/deep/dir', 'link')
    os.lstat('link/../here')


@case
def an_absolute_symlink_leads_from_the_root():
    make('f', b'x')
    os.symlink(f'{os.getcwd()}/f', 'link')
    equal(read('link'), b'x')


@case
def symlinks_lead_through_symlinks():
    os.mkdir('d')
    make('d/f', b'x')
    os.symlink('d', 'one')
    os.symlink('one', 'two')
    os.symlink('two/f', 'three')
    equal(read('three'), b'x')


@case
def a_loop_of_symlinks_is_ELOOP_for_all_that_follow():
    os.symlink('b', 'a')
    os.symlink('a', 'b')
    for call in (os.stat, os.listdir, os.chdir, lambda path: os.truncate(path, 0), lambda path: os.chmod(path, 0)):
        fails(ELOOP, call, 'a')
    os.lstat('a')
    os.unlink('a')


@case
def a_file_in_the_middle_is_ENOTDIR_also_with_dot_and_slash():
    make('f')
    for path in ('f/', 'f/.', 'f/..', 'f/../f', 'f/x/y'):
        fails(ENOTDIR, os.stat, path)


@case
def a_name_that_a_directory_had_is_not_found():
    os.mkdir('old')
    make('old/f')
    os.lstat('old/f')
    os.rename('old', 'new')
    fails(ENOENT, os.lstat, 'old/f')
    os.lstat('new/f')


@case
def a_directory_that_is_replaced_shows_the_new_one():
    os.mkdir('a')
    make('a/in a')
    os.mkdir('b')
    os.listdir('b')
    fails(ENOENT, os.lstat, 'b/in a')
    os.rename('a', 'b')
    os.lstat('b/in a')


@case
def names_of_bytes_that_are_no_text_are_found():
    name = bytes(each for each in range(1, 256) if each != ord('/'))
    with open(name, 'wb') as file:
        file.write(b'x')
    equal((os.listdir(b'.'), os.stat(name).st_size), ([name], 1))


@case
def a_composed_and_a_decomposed_letter_are_two_names():
    make('\u00e9')
    make('e\u0301')
    equal(len(names()), 2)


@case(USER)
def search_permission_is_needed_of_every_directory():
    os.makedirs('a/b/c')
    make('a/b/c/f')
    for closed in ('a', 'a/b', 'a/b/c'):
        os.chmod(closed, 0o600)
        fails(EACCES, os.stat, 'a/b/c/f')
        os.chmod(closed, 0o700)
    os.stat('a/b/c/f')


@case(USER)
def search_permission_alone_leads_through():
    os.mkdir('d')
    make('d/f', b'x')
    os.chmod('d', 0o100)
    equal(read('d/f'), b'x')


@case
def from_a_descriptor_needs_no_path():
    os.makedirs('a/b')
    make('a/b/f', b'x')
    fd = os.open('a/b', os.O_PATH)
    os.rename('a', 'moved')
    with opened('f', dir_fd=fd) as file:
        equal(os.read(file, 9), b'x')
    equal(os.lstat('..').st_ino != os.stat('..', dir_fd=fd).st_ino, True)
    equal(os.stat('..', dir_fd=fd).st_ino, os.lstat('moved').st_ino)
