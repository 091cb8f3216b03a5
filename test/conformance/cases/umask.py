"""umask(2): which calls it binds."""
import os
import socket

import calls
from suite import *


@case
def is_taken_from_every_new_mode_but_of_symlinks():
    os.umask(0o137)
    os.close(os.open('file', os.O_CREAT | os.O_WRONLY, 0o777))
    os.mkdir('dir', 0o777)
    os.mkfifo('fifo', 0o777)
    os.mknod('node', 0o777 | stat.S_IFREG)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind('socket')
    os.symlink('x', 'link')
    equal([mode_of(name) for name in ('file', 'dir', 'fifo', 'node', 'socket')], [0o640] * 5)
    equal(mode_of('link'), 0o777)


@case
def of_zero_leaves_the_mode_as_it_is_asked_for():
    os.umask(0)
    os.close(os.open('file', os.O_CREAT | os.O_WRONLY, 0o777))
    os.mkdir('dir', 0o777)
    equal((mode_of('file'), mode_of('dir')), (0o777, 0o777))


@case
def does_not_bind_chmod():
    make('f')
    os.umask(0o777)
    os.chmod('f', 0o666)
    equal(mode_of('f'), 0o666)


@case
def leaves_set_id_bits():
    os.umask(0o777)
    os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o6777))
    equal(mode_of('f'), 0o6000)


@case
def of_the_caller_and_not_of_who_opened_first_counts():
    os.umask(0o077)
    calls.mknodat(calls.AT_FDCWD, 'first', 0o666, 0)
    os.umask(0o002)
    calls.mknodat(calls.AT_FDCWD, 'second', 0o666, 0)
    equal((mode_of('first'), mode_of('second')), (0o600, 0o664))
