"""renameat2(2): RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT."""
import os
from errno import *

from calls import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, renameat2
from suite import *


def rename(old, new, flags):
    renameat2(AT_FDCWD, old, AT_FDCWD, new, flags)


@case
def NOREPLACE_renames_where_nothing_is():
    make('f', b'text')
    rename('f', 'g', RENAME_NOREPLACE)
    equal((names(), read('g')), (['g'], b'text'))


@case
def NOREPLACE_onto_what_is_there_is_EEXIST():
    make('f', b'one')
    make('g', b'two')
    os.mkdir('d')
    os.symlink('missing', 'dangling')
    for target in ('g', 'd', 'dangling'):
        fails(EEXIST, rename, 'f', target, RENAME_NOREPLACE)
    equal((read('f'), read('g')), (b'one', b'two'))


@case
def NOREPLACE_onto_its_own_name_is_EEXIST():
    make('f')
    fails(EEXIST, rename, 'f', 'f', RENAME_NOREPLACE)


@case
def NOREPLACE_onto_another_name_of_the_file_is_EEXIST():
    make('f')
    os.link('f', 'g')
    fails(EEXIST, rename, 'f', 'g', RENAME_NOREPLACE)


@case
def EXCHANGE_swaps_two_files():
    make('f', b'one')
    make('g', b'two')
    inos = os.lstat('f').st_ino, os.lstat('g').st_ino
    rename('f', 'g', RENAME_EXCHANGE)
    equal((read('f'), read('g')), (b'two', b'one'))
    equal((os.lstat('g').st_ino, os.lstat('f').st_ino), inos)


@case
def EXCHANGE_swaps_a_file_and_a_directory():
    make('f', b'one')
    os.mkdir('d')
    make('d/inside')
    rename('f', 'd', RENAME_EXCHANGE)
    equal((read('d'), names('f')), (b'one', ['inside']))


@case
def EXCHANGE_swaps_directories_with_entries_in_different_parents():
    os.makedirs('a/x/in x')
    os.makedirs('b/y/in y')
    rename('a/x', 'b/y', RENAME_EXCHANGE)
    equal((names('a/x'), names('b/y')), (['in y'], ['in x']))
    equal(os.lstat('a/x/..').st_ino, os.lstat('a').st_ino)
    equal(os.lstat('b/y/..').st_ino, os.lstat('b').st_ino)


@case
def EXCHANGE_moves_the_links_of_a_directory():
    os.mkdir('a')
    os.mkdir('b')
    os.mkdir('a/d')
    make('b/f')
    rename('a/d', 'b/f', RENAME_EXCHANGE)
    equal((os.lstat('a').st_nlink, os.lstat('b').st_nlink), (2, 3))


@case
def EXCHANGE_swaps_symlinks_themselves():
    os.symlink('one', 'l1')
    os.symlink('two', 'l2')
    rename('l1', 'l2', RENAME_EXCHANGE)
    equal((os.readlink('l1'), os.readlink('l2')), ('two', 'one'))


@case
def EXCHANGE_with_what_is_not_there_is_ENOENT():
    make('f')
    fails(ENOENT, rename, 'f', 'missing', RENAME_EXCHANGE)
    fails(ENOENT, rename, 'missing', 'f', RENAME_EXCHANGE)


@case
def EXCHANGE_of_a_directory_with_what_lies_in_it_is_EINVAL_or_ENOTEMPTY():
    os.makedirs('a/b/c')
    fails((EINVAL, ENOTEMPTY), rename, 'a', 'a/b', RENAME_EXCHANGE)
    fails((EINVAL, ENOTEMPTY), rename, 'a/b/c', 'a', RENAME_EXCHANGE)
    equal(names('a/b'), ['c'])


@case
def EXCHANGE_with_itself_changes_nothing():
    make('f', b'text')
    rename('f', 'f', RENAME_EXCHANGE)
    equal((names(), read('f')), (['f'], b'text'))


@case
def EXCHANGE_changes_ctime_of_both():
    make('f')
    make('g')
    before = os.lstat('f').st_ctime_ns, os.lstat('g').st_ctime_ns
    tick()
    rename('f', 'g', RENAME_EXCHANGE)
    that(os.lstat('g').st_ctime_ns > before[0] and os.lstat('f').st_ctime_ns > before[1], 'a ctime stays')


@case
def EXCHANGE_changes_mtime_and_ctime_of_both_directories():
    for name in 'ab':
        os.mkdir(name)
        make(f'{name}/f')
    equal(changes_at_most_atime('a', lambda: rename('a/f', 'b/f', RENAME_EXCHANGE)), 'mc')
    equal(changes_at_most_atime('b', lambda: rename('a/f', 'b/f', RENAME_EXCHANGE)), 'mc')


@case
def EXCHANGE_twice_is_as_before_for_who_has_them_open():
    make('f', b'one')
    make('g', b'two')
    with opened('f') as f, opened('g') as g:
        rename('f', 'g', RENAME_EXCHANGE)
        equal((os.pread(f, 9, 0), os.pread(g, 9, 0)), (b'one', b'two'))
        rename('f', 'g', RENAME_EXCHANGE)
    equal((read('f'), read('g')), (b'one', b'two'))


@case(USER)
def EXCHANGE_needs_write_permission_of_both_directories():
    for name in 'ab':
        mkdir(name)
        make(f'{name}/f')
    os.chmod('b', 0o555)
    fails(EACCES, rename, 'a/f', 'b/f', RENAME_EXCHANGE)


@case
def EXCHANGE_and_NOREPLACE_together_are_EINVAL():
    make('f')
    make('g')
    fails(EINVAL, rename, 'f', 'g', RENAME_EXCHANGE | RENAME_NOREPLACE)


@case
def EXCHANGE_and_WHITEOUT_together_are_EINVAL():
    make('f')
    make('g')
    fails(EINVAL, rename, 'f', 'g', RENAME_EXCHANGE | RENAME_WHITEOUT)


@case
def unknown_flags_are_EINVAL():
    make('f')
    fails(EINVAL, rename, 'f', 'g', 0x8000)


@case(ROOT)
def WHITEOUT_leaves_a_character_device_0_0_behind():
    make('f', b'text')
    rename('f', 'g', RENAME_WHITEOUT)
    left = os.lstat('f')
    equal((stat.S_ISCHR(left.st_mode), left.st_rdev, read('g')), (True, 0, b'text'))


@case(ROOT)
def WHITEOUT_replaces_what_is_there():
    make('f', b'new')
    make('g', b'old')
    rename('f', 'g', RENAME_WHITEOUT)
    equal((read('g'), stat.S_ISCHR(os.lstat('f').st_mode)), (b'new', True))


@case(ROOT)
def WHITEOUT_with_NOREPLACE_onto_what_is_there_is_EEXIST():
    make('f')
    make('g')
    fails(EEXIST, rename, 'f', 'g', RENAME_WHITEOUT | RENAME_NOREPLACE)
    that(stat.S_ISREG(os.lstat('f').st_mode), 'a whiteout was left')
