"""flock(2)."""
import fcntl
import os
import time
from errno import *

from suite import *

EXCLUSIVE, SHARED, UNLOCK = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB, fcntl.LOCK_UN


@case
def an_exclusive_lock_excludes_every_other():
    make('f')
    with opened('f') as one, opened('f') as other:
        fcntl.flock(one, EXCLUSIVE)
        fails(EWOULDBLOCK, fcntl.flock, other, EXCLUSIVE)
        fails(EWOULDBLOCK, fcntl.flock, other, SHARED)
        fcntl.flock(one, UNLOCK)
        fcntl.flock(other, EXCLUSIVE)


@case
def shared_locks_live_together():
    make('f')
    with opened('f') as one, opened('f') as other, opened('f') as third:
        fcntl.flock(one, SHARED)
        fcntl.flock(other, SHARED)
        fails(EWOULDBLOCK, fcntl.flock, third, EXCLUSIVE)


@case
def is_of_the_open_file_and_so_shared_by_dup_and_fork():
    make('f')
    fd = os.open('f', os.O_RDONLY)
    fcntl.flock(fd, EXCLUSIVE)
    again = os.dup(fd)
    fcntl.flock(again, EXCLUSIVE)
    os.close(fd)
    with opened('f') as other:
        fails(EWOULDBLOCK, fcntl.flock, other, SHARED)
        os.close(again)
        fcntl.flock(other, EXCLUSIVE)


@case
def binds_other_processes():
    make('f')
    with opened('f') as fd:
        fcntl.flock(fd, EXCLUSIVE)

        def try_it():
            with opened('f') as own:
                return errno_of(fcntl.flock, own, EXCLUSIVE)

        equal(in_child(try_it), EWOULDBLOCK)
        fcntl.flock(fd, UNLOCK)
        equal(in_child(try_it), 0)


@case
def goes_when_the_process_ends():
    make('f')

    def lock_and_end():
        fcntl.flock(os.open('f', os.O_RDONLY), EXCLUSIVE)

    in_child(lock_and_end)
    with opened('f') as fd:
        fcntl.flock(fd, EXCLUSIVE)


@case
def waits_until_the_holder_lets_go():
    make('f')
    fd = os.open('f', os.O_RDONLY)
    fcntl.flock(fd, EXCLUSIVE)

    def wait():
        os.close(fd)
        with opened('f') as own:
            fcntl.flock(own, fcntl.LOCK_EX)

    pid = forked(wait)
    time.sleep(0.01)
    equal(os.waitpid(pid, os.WNOHANG), (0, 0), 'what waits')
    fcntl.flock(fd, UNLOCK)
    equal(status_of(pid), 0)


@case
def changes_from_shared_to_exclusive():
    make('f')
    with opened('f') as one, opened('f') as other:
        fcntl.flock(one, SHARED)
        fcntl.flock(one, EXCLUSIVE)
        fails(EWOULDBLOCK, fcntl.flock, other, SHARED)
        fcntl.flock(one, SHARED)
        fcntl.flock(other, SHARED)


@case
def of_a_directory():
    os.mkdir('d')
    with opened('d') as one, opened('d') as other:
        fcntl.flock(one, EXCLUSIVE)
        fails(EWOULDBLOCK, fcntl.flock, other, EXCLUSIVE)


@case
def of_two_names_of_a_file_is_one_lock():
    make('f')
    os.link('f', 'g')
    with opened('f') as one, opened('g') as other:
        fcntl.flock(one, EXCLUSIVE)
        fails(EWOULDBLOCK, fcntl.flock, other, EXCLUSIVE)


@case
def binds_no_reading_and_writing():
    make('f', b'text')
    with opened('f') as one, opened('f', os.O_RDWR) as other:
        fcntl.flock(one, EXCLUSIVE)
        os.write(other, b'TEXT')
        equal(os.pread(other, 9, 0), b'TEXT')


@case
def does_not_meet_locks_of_fcntl():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        fcntl.flock(fd, EXCLUSIVE)

        def lock_by_fcntl():
            with opened('f', os.O_RDWR) as own:
                fcntl.lockf(own, EXCLUSIVE)

        in_child(lock_by_fcntl)
