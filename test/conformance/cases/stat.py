"""stat(2), lstat(2), fstat(2), fstatat(2)."""
import os
from errno import *

from paths import existing_target, path_cases
from suite import *

path_cases('stat', os.stat)
existing_target('stat', os.stat)


@case
def tells_every_type():
    make('file')
    os.mkdir('dir')
    os.symlink('file', 'link')
    os.mkfifo('fifo')
    kinds = {'file': stat.S_IFREG, 'dir': stat.S_IFDIR, 'link': stat.S_IFLNK, 'fifo': stat.S_IFIFO}
    for name, kind in kinds.items():
        equal(stat.S_IFMT(os.lstat(name).st_mode), kind)


@case
def follows_symlinks_and_lstat_does_not():
    make('f', b'12345')
    os.symlink('f', 'link')
    equal((os.stat('link').st_size, os.lstat('link').st_size), (5, 1))
    equal(os.stat('link').st_ino, os.lstat('f').st_ino)


@case
def fstat_tells_the_same():
    make('f', b'text')
    with opened('f') as fd:
        equal(os.fstat(fd), os.stat('f'))


@case
def lstat_with_a_slash_behind_follows_a_symlink():
    os.mkdir('d')
    make('f')
    os.symlink('d', 'to dir')
    os.symlink('f', 'to file')
    that(stat.S_ISDIR(os.lstat('to dir/').st_mode), 'it is no directory')
    fails(ENOTDIR, os.lstat, 'to file/')


@case
def size_is_known_at_once_after_each_write():
    with opened('f', os.O_CREAT | os.O_WRONLY) as fd:
        for number in range(1, 50):
            os.write(fd, bytes(100))
            equal(os.stat('f').st_size, number * 100)


@case
def inode_numbers_differ_and_stay():
    for number in range(50):
        make(f'f{number}')
    inos = [os.lstat(f'f{number}').st_ino for number in range(50)]
    equal(len(set(inos)), 50)
    os.mkdir('d')
    for number in range(50):
        os.rename(f'f{number}', f'd/{number}')
    equal([os.lstat(f'd/{number}').st_ino for number in range(50)], inos)


@case
def all_lie_on_one_device():
    make('f')
    os.mkdir('d')
    make('d/f')
    equal(len({os.lstat(name).st_dev for name in ('.', 'f', 'd', 'd/f')}), 1)


@case
def st_blocks_and_st_blksize_make_sense():
    make('f', bytes(range(256)) * 64)
    with opened('f') as fd:
        os.fsync(fd)
    found = os.stat('f')
    that(found.st_blksize >= 512, f'st_blksize is {found.st_blksize}')
    that(16384 <= found.st_blocks * 512 <= 65536, f'st_blocks is {found.st_blocks}')


@case(USER)
def needs_no_permission_of_the_file_itself():
    make('f', b'x', 0)
    equal(os.stat('f').st_size, 1)


@case
def fstatat_begins_from_the_directory():
    os.mkdir('d')
    make('d/f', b'123')
    with opened('d') as fd:
        equal(os.stat('f', dir_fd=fd).st_size, 3)


@case
def what_another_process_changed_shows_at_once():
    make('f')
    os.stat('f')
    in_child(lambda: (os.truncate('f', 99), os.chmod('f', 0o600), None)[-1])
    equal((os.stat('f').st_size, mode_of('f')), (99, 0o600))


@case
def what_is_not_there_and_then_made_is_found_at_once():
    for number in range(20):
        name = f'f{number}'
        fails(ENOENT, os.stat, name)
        in_child(lambda: make(name) and None)
        os.stat(name)
        in_child(lambda: os.unlink(name))
        fails(ENOENT, os.stat, name)


@case
def dot_and_dot_dot_are_the_directory_and_its_parent():
    os.makedirs('a/b')
    equal(os.lstat('a/b/.').st_ino, os.lstat('a/b').st_ino)
    equal(os.lstat('a/b/..').st_ino, os.lstat('a').st_ino)
    equal(os.lstat('a//b/./../b').st_ino, os.lstat('a/b').st_ino)
