"""creat(2): open with O_CREAT, O_WRONLY and O_TRUNC."""
import os
from errno import *

import calls
from paths import path_cases
from suite import *


def creat(path, mode=0o644):
    os.close(calls.creat(path, mode))


path_cases('creat', creat, target=None, writes=True)


@case
def empties_what_is_there():
    make('f', b'old', 0o600)
    creat('f')
    equal((read('f'), mode_of('f')), (b'', 0o600))


@case
def gives_a_descriptor_that_only_writes():
    fd = calls.creat('f', 0o644)
    fails(EBADF, os.read, fd, 1)
    os.write(fd, b'x')
    equal(read('f'), b'x')


@case
def a_directory_is_EISDIR():
    os.mkdir('d')
    fails(EISDIR, creat, 'd')


@case
def takes_umask_from_the_mode():
    os.umask(0o027)
    creat('f', 0o777)
    equal(mode_of('f'), 0o750)


@case(USER)
def a_file_that_may_not_be_written_is_EACCES():
    make('f', b'old', 0o444)
    fails(EACCES, creat, 'f')
    equal(read('f'), b'old')
