"""name_to_handle_at(2) and open_by_handle_at(2)."""
import os
from errno import *

import calls
from calls import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, name_to_handle_at, open_by_handle_at
from paths import existing_target, path_cases
from suite import *

path_cases('handles', lambda path: name_to_handle_at(AT_FDCWD, path))
existing_target('handles', lambda path: name_to_handle_at(AT_FDCWD, path))


def reopened(handle, flags=os.O_RDONLY):
    with opened('.') as mount:
        return open_by_handle_at(mount, handle, flags)


@case(ROOT)
def a_handle_opens_the_file():
    make('f', b'text')
    fd = reopened(name_to_handle_at(AT_FDCWD, 'f'), os.O_RDWR)
    equal(os.read(fd, 9), b'text')
    os.pwrite(fd, b'TEXT', 0)
    equal(read('f'), b'TEXT')


@case(ROOT)
def a_handle_opens_a_directory():
    os.makedirs('a/b')
    make('a/b/f')
    fd = reopened(name_to_handle_at(AT_FDCWD, 'a/b'), os.O_RDONLY | os.O_DIRECTORY)
    equal(sorted(name for *_, name in calls.getdents(fd)), ['.', '..', 'f'])
    equal(os.stat('..', dir_fd=fd).st_ino, os.lstat('a').st_ino)


@case
def a_handle_stays_through_rename_and_link():
    make('f')
    os.mkdir('d')
    handle = name_to_handle_at(AT_FDCWD, 'f')
    os.rename('f', 'd/g')
    os.link('d/g', 'h')
    equal([name_to_handle_at(AT_FDCWD, name) for name in ('d/g', 'h')], [handle] * 2)


@case(ROOT)
def a_handle_opens_the_file_after_rename():
    make('f', b'text')
    os.mkdir('d')
    handle = name_to_handle_at(AT_FDCWD, 'f')
    os.rename('f', 'd/g')
    equal(os.read(reopened(handle), 9), b'text')


@case(ROOT)
def a_handle_of_a_file_that_is_gone_is_ESTALE():
    make('f')
    handle = name_to_handle_at(AT_FDCWD, 'f')
    os.unlink('f')
    make('f')
    fails(ESTALE, reopened, handle)


@case(ROOT)
def a_handle_of_nonsense_is_ESTALE_or_EINVAL():
    make('f')
    kind, data = name_to_handle_at(AT_FDCWD, 'f')
    fails((ESTALE, EINVAL), reopened, (kind, b'\xee' * len(data)))


@case
def different_files_have_different_handles():
    for number in range(20):
        make(f'f{number}')
    equal(len({name_to_handle_at(AT_FDCWD, f'f{number}') for number in range(20)}), 20)


@case
def of_a_symlink_itself_unless_told():
    make('f')
    os.symlink('f', 'link')
    that(name_to_handle_at(AT_FDCWD, 'link') != name_to_handle_at(AT_FDCWD, 'f'), 'the link is followed')
    equal(name_to_handle_at(AT_FDCWD, 'link', AT_SYMLINK_FOLLOW), name_to_handle_at(AT_FDCWD, 'f'))


@case
def of_a_descriptor_by_AT_EMPTY_PATH():
    make('f')
    with opened('f') as fd:
        equal(name_to_handle_at(fd, '', AT_EMPTY_PATH), name_to_handle_at(AT_FDCWD, 'f'))


@case(USER)
def opening_by_handle_is_not_for_users():
    make('f')
    handle = name_to_handle_at(AT_FDCWD, 'f')
    fails((EPERM, EACCES), reopened, handle)
