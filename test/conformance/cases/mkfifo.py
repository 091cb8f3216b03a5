"""mkfifo(3)."""
import os
from errno import *

from paths import path_cases
from suite import *

path_cases('mkfifo', os.mkfifo, target=None, writes=True)


@case
def makes_a_fifo_of_the_caller():
    os.mkfifo('p', 0o620)
    found = os.lstat('p')
    equal((found.st_mode, found.st_size, found.st_nlink), (0o010600, 0, 1))
    equal((found.st_uid, found.st_gid), (os.geteuid(), os.getegid()))


@case
def what_is_there_is_EEXIST():
    make('f')
    fails(EEXIST, os.mkfifo, 'f')


@case
def one_fifo_by_two_names_is_one_pipe():
    os.mkfifo('p')
    os.link('p', 'q')
    with opened('p', os.O_RDONLY | os.O_NONBLOCK) as reader, opened('q', os.O_WRONLY) as writer:
        os.write(writer, b'through')
        equal(os.read(reader, 99), b'through')


@case
def without_a_reader_a_write_is_EPIPE():
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.mkfifo('p')
    reader = os.open('p', os.O_RDONLY | os.O_NONBLOCK)
    with opened('p', os.O_WRONLY) as writer:
        os.close(reader)
        fails(EPIPE, os.write, writer, b'x')


@case(USER)
def permissions_bind_who_opens_it():
    os.mkfifo('p', 0o600)
    os.chmod('p', 0o200)
    fails(EACCES, os.open, 'p', os.O_RDONLY | os.O_NONBLOCK)


@case
def data_of_a_fifo_is_not_of_the_filesystem():
    os.mkfifo('p')
    with opened('p', os.O_RDWR) as fd:
        os.write(fd, b'abc')
        equal(os.fstat(fd).st_size, 0)
