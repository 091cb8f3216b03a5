"""open(2): flags, permissions, what is made and what is refused. O_TMPFILE, O_APPEND, O_DIRECT and O_SYNC have files of their own."""
import os
import socket
from errno import *

import calls
from paths import path_cases
from suite import *

path_cases('open', lambda path: os.close(os.open(path, os.O_RDONLY)))


@case
def O_CREAT_makes_an_empty_file_of_the_caller():
    os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o640))
    found = os.lstat('f')
    equal((found.st_size, found.st_mode, found.st_nlink), (0, 0o100640, 1))
    equal((found.st_uid, found.st_gid), (os.geteuid(), os.getegid()))


@case
def O_CREAT_opens_what_is_there_and_leaves_its_mode():
    make('f', b'old', 0o604)
    with opened('f', os.O_CREAT | os.O_RDWR, 0o777) as fd:
        equal(os.read(fd, 9), b'old')
    equal(mode_of('f'), 0o604)


@case
def O_CREAT_takes_set_id_and_sticky_bits():
    for number, mode in enumerate((0o4755, 0o2755, 0o1755)):
        os.close(os.open(f'f{number}', os.O_CREAT | os.O_WRONLY, mode))
        equal(mode_of(f'f{number}'), mode)


@case
def the_mode_does_not_bind_the_descriptor_that_makes_the_file():
    with opened('f', os.O_CREAT | os.O_RDWR, 0) as fd:
        os.write(fd, b'x')
        equal(os.pread(fd, 9, 0), b'x')
    equal(mode_of('f'), 0)


@case
def O_EXCL_of_a_file_is_EEXIST():
    make('f', b'old')
    fails(EEXIST, os.open, 'f', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    equal(read('f'), b'old')


@case
def O_EXCL_of_a_directory_is_EEXIST():
    os.mkdir('d')
    fails(EEXIST, os.open, 'd', os.O_CREAT | os.O_EXCL | os.O_RDONLY)


@case
def O_EXCL_of_a_symlink_is_EEXIST_wherever_it_leads():
    make('f')
    os.symlink('f', 'good')
    os.symlink('missing', 'dangling')
    for name in ('good', 'dangling'):
        fails(EEXIST, os.open, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    that(not os.path.exists('missing'), 'the target was made')


@case
def O_CREAT_through_a_dangling_symlink_makes_its_target():
    os.symlink('target', 'link')
    os.close(os.open('link', os.O_CREAT | os.O_WRONLY, 0o644))
    equal(names(), ['link', 'target'])


@case
def without_O_CREAT_what_is_not_there_is_ENOENT():
    fails(ENOENT, os.open, 'missing', os.O_RDONLY)
    fails(ENOENT, os.open, 'missing', os.O_RDWR | os.O_TRUNC)


@case
def a_dangling_symlink_is_ENOENT():
    os.symlink('missing', 'link')
    fails(ENOENT, os.open, 'link', os.O_RDONLY)


@case
def O_TRUNC_empties_and_leaves_owner_and_mode():
    make('f', b'x' * 10_000, 0o604)
    before = os.lstat('f')
    os.close(os.open('f', os.O_WRONLY | os.O_TRUNC))
    after = os.lstat('f')
    equal((after.st_size, after.st_mode, after.st_ino), (0, before.st_mode, before.st_ino))
    equal(read('f'), b'')


@case
def O_TRUNC_changes_mtime_and_ctime_of_an_empty_file_too():
    make('f')
    equal(changes('f', lambda: os.close(os.open('f', os.O_WRONLY | os.O_TRUNC))), 'mc')


@case
def O_TRUNC_is_seen_by_who_has_it_open():
    make('f', b'long text')
    with opened('f') as fd:
        os.close(os.open('f', os.O_WRONLY | os.O_TRUNC))
        equal(os.read(fd, 99), b'')
        equal(os.fstat(fd).st_size, 0)


@case(USER)
def O_TRUNC_needs_write_permission():
    make('f', b'old', 0o444)
    fails(EACCES, os.open, 'f', os.O_RDONLY | os.O_TRUNC)
    fails(EACCES, os.open, 'f', os.O_WRONLY | os.O_TRUNC)
    equal(read('f'), b'old')


@case
def a_directory_to_write_is_EISDIR():
    os.mkdir('d')
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT):
        fails(EISDIR, os.open, 'd', flags)


@case
def O_DIRECTORY_takes_a_directory_alone():
    os.mkdir('d')
    make('f')
    os.close(os.open('d', os.O_RDONLY | os.O_DIRECTORY))
    fails(ENOTDIR, os.open, 'f', os.O_RDONLY | os.O_DIRECTORY)


@case
def O_NOFOLLOW_of_a_symlink_is_ELOOP():
    make('f')
    os.symlink('f', 'link')
    fails(ELOOP, os.open, 'link', os.O_RDONLY | os.O_NOFOLLOW)
    os.close(os.open('f', os.O_RDONLY | os.O_NOFOLLOW))


@case
def O_NOFOLLOW_minds_the_last_name_alone():
    os.mkdir('d')
    make('d/f')
    os.symlink('d', 'link')
    os.close(os.open('link/f', os.O_RDONLY | os.O_NOFOLLOW))


@case
def a_symlink_to_itself_is_ELOOP():
    os.symlink('self', 'self')
    fails(ELOOP, os.open, 'self', os.O_RDONLY)


@case
def forty_symlinks_are_followed_and_forty_one_are_ELOOP():
    make('l0', b'end')
    for number in range(1, 42):
        os.symlink(f'l{number - 1}', f'l{number}')
    equal(read('l40'), b'end')
    fails(ELOOP, os.open, 'l41', os.O_RDONLY)


@case
def a_slash_behind_a_file_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.open, 'f/', os.O_RDONLY)
    fails(ENOTDIR, os.open, 'f/.', os.O_RDONLY)


@case
def a_slash_behind_a_new_name_is_EISDIR():
    fails(EISDIR, os.open, 'new/', os.O_CREAT | os.O_WRONLY)
    equal(names(), [])


@case(USER)
def permissions_are_those_of_the_owner():
    allowed = {0o400: (os.O_RDONLY,), 0o200: (os.O_WRONLY,), 0o600: (os.O_RDONLY, os.O_WRONLY, os.O_RDWR), 0o177: ()}
    for mode, flags_allowed in allowed.items():
        make('f', mode=mode)
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            equal(errno_of(os.open, 'f', flags), 0 if flags in flags_allowed else EACCES, f'{oct(mode)}, {flags}')
        os.unlink('f')


@case(ROOT)
def permissions_are_those_of_the_group_or_of_others():
    os.chmod('.', 0o755)
    make('f')
    for uid, gid, groups, shift in ((OTHER, UID, (), 3), (OTHER, OTHER, (UID,), 3), (OTHER, OTHER, (), 0)):
        for bits in range(8):
            os.chown('f', UID, GID)
            os.chmod('f', 0o707 & ~(7 << shift) | 0o070 & ~(7 << shift) | bits << shift)
            with acting_as(uid, gid, groups):
                for flags, needed in ((os.O_RDONLY, 4), (os.O_WRONLY, 2), (os.O_RDWR, 6)):
                    expected = 0 if bits & needed == needed else EACCES
                    equal(errno_of(os.open, 'f', flags), expected, f'group {gid} {groups}, bits {bits}, {flags}')


@case(ROOT)
def root_needs_no_permission():
    make('f', b'x', 0)
    with opened('f', os.O_RDWR) as fd:
        equal(os.read(fd, 1), b'x')


@case(USER)
def O_CREAT_in_a_directory_that_may_not_be_written_is_EACCES():
    mkdir('d', 0o555)
    fails(EACCES, os.open, 'd/f', os.O_CREAT | os.O_WRONLY)
    equal(names('d'), [])


@case(USER)
def O_CREAT_of_what_is_there_needs_no_write_permission_of_the_directory():
    mkdir('d')
    make('d/f')
    os.chmod('d', 0o555)
    os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY))


@case(ROOT)
def on_a_read_only_mount_writing_is_EROFS():
    os.mkdir('d')
    make('d/f', b'old')
    calls.read_only('d')
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
        fails(EROFS, os.open, 'd/f', flags)
    fails(EROFS, os.open, 'd/new', os.O_CREAT | os.O_WRONLY)
    equal(read('d/f'), b'old')


@case
def a_fifo_to_write_without_reader_and_O_NONBLOCK_is_ENXIO():
    os.mkfifo('p')
    fails(ENXIO, os.open, 'p', os.O_WRONLY | os.O_NONBLOCK)
    with opened('p', os.O_RDONLY | os.O_NONBLOCK) as reader:
        with opened('p', os.O_WRONLY | os.O_NONBLOCK) as writer:
            os.write(writer, b'through')
            equal(os.read(reader, 99), b'through')


@case
def a_socket_is_ENXIO():
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind('s')
        fails(ENXIO, os.open, 's', os.O_RDONLY)


@case
def a_running_program_to_write_is_ETXTBSY():
    make('sleep', read('/bin/sleep'), 0o755)
    pid = os.posix_spawn('./sleep', ['sleep', '60'], {})
    try:
        fails(ETXTBSY, os.open, 'sleep', os.O_WRONLY)
        fails(ETXTBSY, os.open, 'sleep', os.O_RDWR | os.O_TRUNC)
        os.close(os.open('sleep', os.O_RDONLY))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@case
def making_a_file_changes_mtime_and_ctime_of_its_directory():
    os.mkdir('d')
    equal(changes_at_most_atime('d', lambda: make('d/f')), 'mc')


@case
def opening_changes_no_time():
    make('f', b'x')
    os.mkdir('d')
    make('d/f')
    equal(changes('f', lambda: os.close(os.open('f', os.O_RDWR | os.O_CREAT))), '')
    equal(changes('d', lambda: os.close(os.open('d/f', os.O_RDWR | os.O_CREAT))), '')


@case
def names_are_bytes_of_any_kind():
    strange = [b'\xff\xfe', b' ', b'\n', b'a\\b', b'\x01', 'ä'.encode(), 'a\u0308'.encode(), b'.hidden', b'...']
    for name in strange:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    equal(sorted(os.listdir(b'.')), sorted(strange))


@case
def names_that_differ_in_case_are_two():
    make('a', b'small')
    make('A', b'large')
    equal((read('a'), read('A')), (b'small', b'large'))


@case
def openat_begins_from_the_directory():
    os.mkdir('d')
    with opened('d', os.O_DIRECTORY) as directory:
        os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
        os.rename('d', 'e')
        os.close(os.open('f', os.O_RDONLY, dir_fd=directory))
    equal(names('e'), ['f'])


@case
def openat_from_a_file_is_ENOTDIR():
    make('f')
    with opened('f') as fd:
        fails(ENOTDIR, os.open, 'x', os.O_RDONLY, dir_fd=fd)


@case
def openat_in_a_directory_that_was_removed_is_ENOENT():
    os.mkdir('d')
    with opened('d', os.O_DIRECTORY) as directory:
        os.rmdir('d')
        fails(ENOENT, os.open, 'f', os.O_CREAT | os.O_WRONLY, dir_fd=directory)
        equal(os.fstat(directory).st_nlink, 0)


@case
def an_open_file_goes_on_without_its_name():
    make('f', b'still here')
    with opened('f', os.O_RDWR) as fd:
        os.unlink('f')
        equal(os.fstat(fd).st_nlink, 0)
        os.pwrite(fd, b'STILL', 0)
        equal(os.pread(fd, 99, 0), b'STILL here')


@case
def an_open_file_without_a_name_opens_again_through_proc():
    make('f', b'text')
    with opened('f') as fd:
        os.unlink('f')
        with opened(f'/proc/self/fd/{fd}', os.O_RDWR) as again:
            equal(os.read(again, 9), b'text')


@case(USER)
def O_NOATIME_of_a_file_of_somebody_else_is_EPERM():
    fails(EPERM, os.open, '..', os.O_RDONLY | os.O_NOATIME)
    make('own')
    os.close(os.open('own', os.O_RDONLY | os.O_NOATIME))


@case
def O_PATH_reads_and_writes_nothing():
    make('f', b'x')
    with opened('f', os.O_PATH) as fd:
        fails(EBADF, os.read, fd, 1)
        fails(EBADF, os.write, fd, b'y')
        fails(EBADF, os.fchmod, fd, 0o600)
        equal(os.fstat(fd).st_size, 1)


@case
def O_PATH_with_O_NOFOLLOW_opens_a_symlink():
    os.symlink('missing', 'link')
    with opened('link', os.O_PATH | os.O_NOFOLLOW) as fd:
        that(stat.S_ISLNK(os.fstat(fd).st_mode), 'it is no symlink')
        equal(os.readlink('', dir_fd=fd), 'missing')


@case
def what_two_descriptors_see_is_one_file():
    make('f')
    with opened('f', os.O_WRONLY) as writer, opened('f') as reader:
        os.write(writer, b'one')
        equal(os.read(reader, 9), b'one')
        os.write(writer, b'two')
        equal(os.read(reader, 9), b'two')
