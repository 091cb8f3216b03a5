"""rename(2) and renameat(2); renameat2(2) has a file of its own."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *


def rename_to(path):
    if not os.path.lexists('source'):
        make('source')
    os.rename('source', path)


path_cases('rename', rename_to, target=None, writes=True, read_only=False)
existing_target('rename', lambda path: os.rename(path, 'new'))


@case
def gives_a_file_another_name():
    make('f', b'text')
    ino = os.lstat('f').st_ino
    os.rename('f', 'g')
    equal((names(), read('g'), os.lstat('g').st_ino), (['g'], b'text', ino))


@case
def replaces_a_file_at_once():
    make('f', b'new')
    make('g', b'old')
    ino = os.lstat('f').st_ino
    os.rename('f', 'g')
    equal((names(), read('g'), os.lstat('g').st_ino), (['g'], b'new', ino))


@case
def who_has_the_replaced_file_open_still_has_it():
    make('f', b'new')
    make('g', b'old')
    with opened('g') as fd:
        os.rename('f', 'g')
        equal((os.read(fd, 9), os.fstat(fd).st_nlink), (b'old', 0))


@case
def of_two_names_of_one_file_does_nothing():
    make('f')
    os.link('f', 'g')
    os.rename('f', 'g')
    equal((names(), os.lstat('f').st_nlink), (['f', 'g'], 2))


@case
def to_its_own_name_does_nothing():
    make('f', b'text')
    os.mkdir('d')
    os.rename('f', 'f')
    os.rename('d', 'd')
    equal((names(), read('f')), (['d', 'f'], b'text'))


@case
def moves_a_directory_with_all_in_it():
    os.makedirs('a/b/c')
    make('a/b/c/f', b'text')
    os.mkdir('d')
    os.rename('a/b', 'd/e')
    equal((read('d/e/c/f'), names('a'), names('d')), (b'text', [], ['e']))


@case
def moves_the_links_of_directories():
    os.makedirs('a/b')
    os.mkdir('d')
    os.rename('a/b', 'd/b')
    equal((os.lstat('a').st_nlink, os.lstat('d').st_nlink), (2, 3))
    equal(os.lstat('d/b/..').st_ino, os.lstat('d').st_ino)


@case
def replaces_an_empty_directory_by_a_directory():
    os.mkdir('a')
    make('a/f')
    os.mkdir('b')
    os.rename('a', 'b')
    equal((names(), names('b'), os.lstat('.').st_nlink), (['b'], ['f'], 3))


@case
def onto_a_directory_with_entries_is_ENOTEMPTY():
    os.mkdir('a')
    os.mkdir('b')
    make('b/f')
    fails((ENOTEMPTY, EEXIST), os.rename, 'a', 'b')
    equal(names(), ['a', 'b'])


@case
def of_a_file_onto_a_directory_is_EISDIR():
    make('f')
    os.mkdir('d')
    fails(EISDIR, os.rename, 'f', 'd')


@case
def of_a_directory_onto_a_file_is_ENOTDIR():
    make('f')
    os.mkdir('d')
    fails(ENOTDIR, os.rename, 'd', 'f')


@case
def of_a_directory_into_itself_is_EINVAL():
    os.makedirs('a/b')
    fails(EINVAL, os.rename, 'a', 'a/c')
    fails(EINVAL, os.rename, 'a', 'a/b/c')
    equal(names(), ['a'])


@case
def onto_a_parent_is_ENOTEMPTY():
    os.makedirs('a/b/c')
    fails((ENOTEMPTY, EEXIST), os.rename, 'a/b/c', 'a/b')
    fails((ENOTEMPTY, EEXIST), os.rename, 'a/b/c', 'a')


@case
def of_dot_and_dot_dot_is_EBUSY_or_EINVAL():
    os.mkdir('d')
    for old, new in (('d/.', 'e'), ('d/..', 'e'), ('.', 'e'), ('d', '.'), ('d', '..')):
        fails((EBUSY, EINVAL, ENOTEMPTY, EEXIST), os.rename, old, new)
    equal(names(), ['d'])


@case
def moves_a_symlink_itself():
    make('f')
    os.symlink('f', 'link')
    os.rename('link', 'new')
    equal((os.readlink('new'), names()), ('f', ['f', 'new']))


@case
def replaces_a_symlink_and_not_its_target():
    make('target', b'target')
    os.symlink('target', 'link')
    make('f', b'new')
    os.rename('f', 'link')
    equal((read('target'), read('link')), (b'target', b'new'))
    that(not os.path.islink('link'), 'the symlink is still there')


@case
def takes_slashes_behind_directories():
    os.mkdir('d')
    os.rename('d/', 'e/')
    equal(names(), ['e'])


@case
def slashes_behind_files_are_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.rename, 'f/', 'g')
    fails(ENOTDIR, os.rename, 'f', 'g/')


@case
def changes_mtime_and_ctime_of_both_directories():
    for name in ('a', 'b'):
        os.mkdir(name)
    make('a/f')
    equal(changes_at_most_atime('a', lambda: os.rename('a/f', 'b/f')), 'mc')
    equal(changes_at_most_atime('a', lambda: os.rename('b/f', 'a/f')), 'mc')


@case
def changes_ctime_of_a_replaced_file_that_has_another_name():
    make('f')
    make('g')
    os.link('g', 'other')
    equal(changes('other', lambda: os.rename('f', 'g')), 'c')
    equal(os.lstat('other').st_nlink, 1)


@case
def leaves_mtime_and_size_of_the_file():
    make('f', b'text')
    os.utime('f', (1, 2))
    os.rename('f', 'g')
    equal((os.lstat('g').st_mtime, os.lstat('g').st_size), (2, 4))


@case
def changes_ctime_of_the_file():
    make('f')
    before = os.lstat('f').st_ctime_ns
    tick()
    os.rename('f', 'g')
    that(os.lstat('g').st_ctime_ns > before, 'ctime stays')


@case
def to_another_filesystem_is_EXDEV():
    make('f')
    fails(EXDEV, os.rename, 'f', '/dev/f')


@case
def of_an_open_file_goes_on():
    make('f', b'one')
    with opened('f', os.O_RDWR) as fd:
        os.rename('f', 'g')
        os.write(fd, b'ONE')
    equal(read('g'), b'ONE')


@case
def of_the_working_directory_goes_on():
    os.mkdir('a')
    os.mkdir('b')
    os.chdir('a')
    os.rename('../a', '../b/c')
    make('f')
    that(os.getcwd().endswith('/b/c'), f'it is {os.getcwd()}')
    equal(sorted(os.listdir('../../b')), ['c'])


@case(USER)
def needs_write_permission_of_both_directories():
    for name in ('a', 'b'):
        mkdir(name)
    make('a/f')
    for closed in ('a', 'b'):
        os.chmod(closed, 0o555)
        fails(EACCES, os.rename, 'a/f', 'b/f')
        os.chmod(closed, 0o755)
    os.rename('a/f', 'b/f')


@case(ROOT)
def of_a_directory_of_somebody_else_to_another_parent_needs_write_permission_of_it():
    for name in ('a', 'b'):
        mkdir(name, 0o777)
    mkdir('a/d', 0o755)
    os.chown('a/d', OTHER, OTHER)
    with acting_as(UID):
        # Its ".." changes.
        fails(EACCES, os.rename, 'a/d', 'b/d')
        os.rename('a/d', 'a/e')


@case(ROOT)
def in_sticky_directories_is_for_owners():
    mkdir('t', 0o1777)
    mkdir('free', 0o777)
    for name in ('t/theirs', 't/target', 'free/mine'):
        make(name)
    os.chown('t/theirs', OTHER, OTHER)
    os.chown('t/target', OTHER, OTHER)
    os.chown('free/mine', UID, UID)
    with acting_as(UID):
        fails(EPERM, os.rename, 't/theirs', 't/new')
        fails(EPERM, os.rename, 't/theirs', 'free/new')
        fails(EPERM, os.rename, 'free/mine', 't/target')
        os.rename('free/mine', 't/mine')
        os.rename('t/mine', 't/still mine')


@case(ROOT)
def on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f')
    calls.read_only('d')
    fails(EROFS, os.rename, 'd/f', 'd/g')


@case
def renameat_begins_from_the_directories():
    os.mkdir('a')
    os.mkdir('b')
    make('a/f')
    with opened('a') as old, opened('b') as new:
        os.rename('f', 'g', src_dir_fd=old, dst_dir_fd=new)
    equal((names('a'), names('b')), ([], ['g']))


@case
def changes_the_case_of_a_name():
    make('readme', b'text')
    os.rename('readme', 'README')
    equal((names(), read('README')), (['README'], b'text'))


@case
def a_hundred_times_around_keeps_the_file():
    make('f0', b'text')
    for number in range(100):
        os.rename(f'f{number}', f'f{number + 1}')
    equal((names(), read('f100')), (['f100'], b'text'))
