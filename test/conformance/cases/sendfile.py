"""sendfile(2) and splice(2), from and to files."""
import os
import socket
from errno import *

from suite import *

DATA = bytes(range(256)) * 100


@case
def to_a_socket_gives_the_bytes():
    make('f', DATA)
    one, other = socket.socketpair()
    with opened('f') as fd, one, other:
        sent = os.sendfile(one.fileno(), fd, 100, 5000)
        equal(other.recv(9000), DATA[100 : 100 + sent])
        equal(os.lseek(fd, 0, os.SEEK_CUR), 0)


@case
def to_a_file_copies():
    make('f', DATA)
    with opened('f') as source, opened('g', os.O_CREAT | os.O_WRONLY) as target:
        while os.sendfile(target, source, None, 10_000):
            pass
        equal(os.lseek(source, 0, os.SEEK_CUR), len(DATA))
    equal(read('g'), DATA)


@case
def at_the_end_sends_nothing():
    make('f', DATA)
    with opened('f') as source, opened('g', os.O_CREAT | os.O_WRONLY) as target:
        equal(os.sendfile(target, source, len(DATA), 100), 0)


@case
def to_a_file_that_appends_is_EINVAL():
    make('f', DATA)
    make('g')
    with opened('f') as source, opened('g', os.O_WRONLY | os.O_APPEND) as target:
        fails(EINVAL, os.sendfile, target, source, 0, 10)


@case
def splice_goes_through_a_pipe():
    make('f', DATA)
    reading, writing = os.pipe()
    with opened('f') as source, opened('g', os.O_CREAT | os.O_WRONLY) as target:
        equal(os.splice(source, writing, 4096, offset_src=300), 4096)
        equal(os.splice(reading, target, 4096, offset_dst=10), 4096)
    equal(read('g'), bytes(10) + DATA[300:4396])
