"""The cases that every call with a path has in common: path_resolution(7), and what its man page says of directories that may not
be searched or written, and of read-only mounts."""
import errno
import os

import calls
from suite import ROOT, USER, add, equal, fails, make, mkdir, that

LONGEST_NAME = 'n' * 255
PATH_MAX = 4096


def path_cases(call, operation, target='file', writes=False, read_only=True):
    """`operation` takes the path. `target` is what it must find there: "file", "dir", or None where it makes it. `writes`: into
    the directory. `read_only`: also of a directory that is mounted read-only."""

    def prepare(path):
        if target == 'file':
            make(path)
        elif target == 'dir':
            mkdir(path)

    def missing():
        fails(errno.ENOENT, operation, 'missing/x')

    def through_a_file():
        make('file')
        fails(errno.ENOTDIR, operation, 'file/x')

    def loop():
        os.symlink('loop2', 'loop1')
        os.symlink('loop1', 'loop2')
        fails(errno.ELOOP, operation, 'loop1/x')

    def long_name():
        fails(errno.ENAMETOOLONG, operation, LONGEST_NAME + 'n')

    def longest_name():
        prepare(LONGEST_NAME)
        operation(LONGEST_NAME)

    def long_path():
        prepare('x')
        path = './' * (PATH_MAX // 2)
        fails(errno.ENAMETOOLONG, operation, path[: PATH_MAX - 1] + 'x')

    def longest_path():
        prepare('x')
        operation('./' * ((PATH_MAX - 2) // 2) + 'x')

    def empty():
        fails(errno.ENOENT, operation, '')

    def through_a_symlink():
        mkdir('d')
        prepare('d/x')
        os.symlink('d', 'link')
        operation('link/x')

    def not_searched():
        mkdir('closed')
        prepare('closed/x')
        os.chmod('closed', 0o600)
        fails(errno.EACCES, operation, 'closed/x')

    def root_searches():
        mkdir('closed')
        prepare('closed/x')
        os.chmod('closed', 0)
        operation('closed/x')

    def not_written():
        mkdir('d')
        prepare('d/x')
        os.chmod('d', 0o555)
        fails(errno.EACCES, operation, 'd/x')
        equal(os.path.lexists('d/x'), target is not None, 'whether it is there')

    def on_read_only():
        mkdir('d')
        prepare('d/x')
        calls.read_only('d')
        fails(errno.EROFS, operation, 'd/x')
        equal(os.path.lexists('d/x'), target is not None, 'whether it is there')

    add(call, 'a directory of the path that is missing is ENOENT', missing, (USER,))
    add(call, 'a file in the place of a directory of the path is ENOTDIR', through_a_file, (USER,))
    add(call, 'a loop of symlinks in the path is ELOOP', loop, (USER,))
    add(call, 'a name of 256 bytes is ENAMETOOLONG', long_name, (USER,))
    add(call, 'takes a name of 255 bytes', longest_name)
    add(call, 'a path of 4096 bytes is ENAMETOOLONG', long_path, (USER,))
    add(call, 'takes a path of 4095 bytes', longest_path)
    add(call, 'an empty path is ENOENT', empty, (USER,))
    add(call, 'goes through a symlink to a directory', through_a_symlink)
    add(call, 'a directory of the path that may not be searched is EACCES', not_searched, (USER,))
    add(call, 'root needs no permission to search', root_searches, (ROOT,))
    if writes:
        add(call, 'a directory that may not be written is EACCES', not_written, (USER,))
    if writes and read_only:
        add(call, 'on a read-only mount it is EROFS', on_read_only, (ROOT,))


def existing_target(call, operation):
    """What must be there is not."""

    def missing():
        fails(errno.ENOENT, operation, 'missing')
        that(not os.path.lexists('missing'), 'it was made')

    add(call, 'what is not there is ENOENT', missing, (USER,))
