"""truncate(2) and ftruncate(2)."""
import os
import resource
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

path_cases('truncate', lambda path: os.truncate(path, 5))
existing_target('truncate', lambda path: os.truncate(path, 5))


@case
def shortens():
    make('f', b'0123456789')
    os.truncate('f', 4)
    equal((read('f'), os.lstat('f').st_size), (b'0123', 4))


@case
def lengthens_with_zeros():
    make('f', b'ab')
    os.truncate('f', 9000)
    equal(read('f'), b'ab' + bytes(8998))


@case
def what_was_cut_off_is_zeros_when_the_file_grows_again():
    make('f', b'x' * 10_000)
    os.truncate('f', 5001)
    os.truncate('f', 10_000)
    equal(read('f'), b'x' * 5001 + bytes(4999))


@case
def what_was_cut_off_is_zeros_when_a_write_goes_beyond():
    make('f', b'x' * 10_000)
    os.truncate('f', 100)
    with opened('f', os.O_WRONLY) as fd:
        os.pwrite(fd, b'y', 5000)
    equal(read('f'), b'x' * 100 + bytes(4900) + b'y')


@case
def to_the_same_size_changes_mtime_and_ctime():
    make('f', b'abc')
    equal(changes('f', lambda: os.truncate('f', 3)), 'mc')


@case
def changes_mtime_and_ctime():
    make('f', b'abc')
    equal(changes('f', lambda: os.truncate('f', 1)), 'mc')
    equal(changes('f', lambda: os.truncate('f', 10)), 'mc')


@case
def ftruncate_changes_mtime_and_ctime():
    make('f', b'abc')
    with opened('f', os.O_RDWR) as fd:
        equal(changes('f', lambda: os.ftruncate(fd, 1)), 'mc')


@case
def ftruncate_leaves_the_position():
    make('f', b'0123456789')
    with opened('f', os.O_RDWR) as fd:
        os.lseek(fd, 8, os.SEEK_SET)
        os.ftruncate(fd, 3)
        equal(os.lseek(fd, 0, os.SEEK_CUR), 8)
        os.write(fd, b'z')
    equal(read('f'), b'012' + bytes(5) + b'z')


@case
def ftruncate_by_a_descriptor_that_only_reads_is_EINVAL_or_EBADF():
    make('f', b'abc')
    with opened('f') as fd:
        fails((EINVAL, EBADF), os.ftruncate, fd, 0)
    equal(read('f'), b'abc')


@case
def ftruncate_of_a_file_without_a_name_works():
    make('f', b'abc')
    with opened('f', os.O_RDWR) as fd:
        os.unlink('f')
        os.ftruncate(fd, 100)
        equal(os.fstat(fd).st_size, 100)
        os.ftruncate(fd, 1)
        equal(os.pread(fd, 9, 0), b'a')


@case
def ftruncate_needs_no_permission_any_more():
    make('f', b'abc')
    with opened('f', os.O_RDWR) as fd:
        os.chmod('f', 0)
        os.ftruncate(fd, 1)
        equal(os.fstat(fd).st_size, 1)


@case
def a_negative_size_is_EINVAL():
    make('f', b'abc')
    fails(EINVAL, os.truncate, 'f', -1)
    with opened('f', os.O_RDWR) as fd:
        fails(EINVAL, os.ftruncate, fd, -1)


@case
def a_directory_is_EISDIR():
    os.mkdir('d')
    fails(EISDIR, os.truncate, 'd', 0)


@case
def a_fifo_is_EINVAL():
    os.mkfifo('p')
    fails(EINVAL, os.truncate, 'p', 0)


@case
def the_largest_size_of_all_is_EFBIG():
    make('f', b'abc')
    fails(EFBIG, os.truncate, 'f', (1 << 63) - 1)
    equal(os.lstat('f').st_size, 3)


@case
def past_the_limit_of_the_process_is_EFBIG():
    make('f', b'abc')
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    fails(EFBIG, os.truncate, 'f', 1001)
    os.truncate('f', 1000)


@case
def makes_a_sparse_file_of_terabytes():
    make('f')
    os.truncate('f', 1 << 43)
    equal((os.lstat('f').st_size, os.lstat('f').st_blocks), (1 << 43, 0))


@case(USER)
def without_write_permission_is_EACCES():
    make('f', b'abc', 0o444)
    fails(EACCES, os.truncate, 'f', 0)
    equal(read('f'), b'abc')


@case(ROOT)
def on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f', b'abc')
    calls.read_only('d')
    fails(EROFS, os.truncate, 'd/f', 0)


@case
def follows_a_symlink():
    make('f', b'abc')
    os.symlink('f', 'link')
    os.truncate('link', 1)
    equal(read('f'), b'a')


@case
def a_running_program_is_ETXTBSY():
    make('sleep', read('/bin/sleep'), 0o755)
    pid = os.posix_spawn('./sleep', ['sleep', '60'], {})
    try:
        fails(ETXTBSY, os.truncate, 'sleep', 10)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@case
def gives_blocks_back():
    make('f', os.urandom(1 << 20))
    with opened('f', os.O_RDWR) as fd:
        os.fsync(fd)
        os.ftruncate(fd, 0)
        equal(os.fstat(fd).st_blocks, 0)
