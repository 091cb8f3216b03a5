"""mkdir(2)."""
import os
from errno import *

from paths import path_cases
from suite import *

path_cases('mkdir', os.mkdir, target=None, writes=True)


@case
def makes_an_empty_directory_of_the_caller():
    os.mkdir('d', 0o750)
    found = os.lstat('d')
    equal((found.st_mode, found.st_nlink), (0o040750, 2))
    equal((found.st_uid, found.st_gid), (os.geteuid(), os.getegid()))
    equal(os.listdir('d'), [])


@case
def what_is_there_is_EEXIST_whatever_it_is():
    make('file')
    os.mkdir('dir')
    os.symlink('missing', 'dangling')
    os.symlink('dir', 'link')
    os.mkfifo('fifo')
    for name in ('file', 'dir', 'dangling', 'link', 'fifo'):
        fails(EEXIST, os.mkdir, name)


@case
def dot_and_dot_dot_are_EEXIST():
    for name in ('.', '..', 'x/../.'):
        fails((EEXIST, ENOENT), os.mkdir, name)
    fails(EEXIST, os.mkdir, '.')


@case
def takes_a_slash_at_the_end():
    os.mkdir('d/')
    os.mkdir('e///')
    equal(names(), ['d', 'e'])


@case
def a_dangling_symlink_with_a_slash_is_EEXIST_or_ENOENT():
    os.symlink('missing', 'dangling')
    fails((EEXIST, ENOENT), os.mkdir, 'dangling/')


@case
def takes_umask_from_the_mode():
    os.umask(0o027)
    os.mkdir('d', 0o777)
    equal(mode_of('d'), 0o750)


@case
def takes_the_sticky_bit():
    os.umask(0)
    os.mkdir('d', 0o1777)
    equal(mode_of('d'), 0o1777)


@case
def adds_a_link_to_the_parent():
    before = os.lstat('.').st_nlink
    os.mkdir('d')
    os.mkdir('e')
    equal(os.lstat('.').st_nlink, before + 2)


@case
def changes_mtime_and_ctime_of_the_parent():
    os.mkdir('d')
    equal(changes_at_most_atime('d', lambda: os.mkdir('d/e')), 'mc')


@case
def a_new_directory_has_three_equal_times():
    os.mkdir('d')
    found = os.lstat('d')
    equal((found.st_atime_ns, found.st_mtime_ns), (found.st_ctime_ns, found.st_ctime_ns))


@case
def mkdirat_begins_from_the_directory():
    os.mkdir('d')
    with opened('d') as fd:
        os.mkdir('e', dir_fd=fd)
    equal(names('d'), ['e'])


@case
def in_a_directory_that_was_removed_is_ENOENT():
    os.mkdir('d')
    with opened('d') as fd:
        os.rmdir('d')
        fails(ENOENT, os.mkdir, 'e', dir_fd=fd)


@case
def a_chain_of_two_hundred_is_walked_back():
    top = os.getcwd()
    for _ in range(200):
        os.mkdir('deeper')
        os.chdir('deeper')
    for _ in range(200):
        os.chdir('..')
    equal(os.lstat('.').st_ino, os.lstat(top).st_ino)
