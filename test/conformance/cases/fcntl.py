"""fcntl(2): locks of records, by process and by open file description; and flags of an open file."""
import fcntl
import os
import struct
import time
from errno import *

import calls
from calls import F_OFD_GETLK, F_OFD_SETLK, flock_struct, lock_conflict
from suite import *

READ, WRITE, UNLOCK = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK


def lock(fd, kind, start=0, length=0, command=fcntl.F_SETLK):
    fcntl.fcntl(fd, command, flock_struct(kind, start, length))


def elsewhere(kind, start=0, length=0, path='f'):
    """What another process meets that wants the lock: 0 or an errno."""

    def try_it():
        with opened(path, os.O_RDWR) as own:
            return errno_of(lock, own, kind, start, length)

    return in_child(try_it)


REFUSED = (EAGAIN, EACCES)


@case
def a_write_lock_excludes_those_of_other_processes():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE)
        that(elsewhere(WRITE) in REFUSED, 'another writes')
        that(elsewhere(READ) in REFUSED, 'another reads')
        lock(fd, UNLOCK)
        equal(elsewhere(WRITE), 0)


@case
def read_locks_live_together():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, READ)
        equal(elsewhere(READ), 0)
        that(elsewhere(WRITE) in REFUSED, 'another writes')


@case
def ranges_that_do_not_meet_do_not_conflict():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE, 100, 50)
        equal([elsewhere(WRITE, 0, 100), elsewhere(WRITE, 150, 10)], [0, 0])
        that(elsewhere(WRITE, 149, 1) in REFUSED and elsewhere(WRITE, 0, 101) in REFUSED, 'the range is not locked')


@case
def a_length_of_zero_reaches_to_any_end():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE, 1000, 0)
        that(elsewhere(WRITE, 1 << 40, 1) in REFUSED, 'the far end is not locked')
        equal(elsewhere(WRITE, 0, 1000), 0)


@case
def unlocking_the_middle_leaves_both_sides():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE, 0, 300)
        lock(fd, UNLOCK, 100, 100)
        equal(elsewhere(WRITE, 100, 100), 0)
        that(elsewhere(WRITE, 99, 1) in REFUSED and elsewhere(WRITE, 200, 1) in REFUSED, 'a side is not locked')


@case
def a_process_never_conflicts_with_itself():
    make('f')
    with opened('f', os.O_RDWR) as one, opened('f', os.O_RDWR) as other:
        lock(one, WRITE)
        lock(other, WRITE)


@case
def closing_any_descriptor_of_the_file_drops_the_locks():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE)
        os.close(os.open('f', os.O_RDONLY))
        equal(elsewhere(WRITE), 0)


@case
def a_child_does_not_inherit_them():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE)
        that(in_child(lambda: errno_of(lock, fd, WRITE)) in REFUSED, 'a child has the lock')


@case
def F_GETLK_names_who_holds_it():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE, 10, 20)
        parent = os.getpid()

        def ask():
            with opened('f', os.O_RDWR) as own:
                return lock_conflict(own, READ, 0, 100)

        equal(in_child(ask), [WRITE, 10, 20, parent])
        equal(lock_conflict(fd, WRITE), None)


@case
def F_SETLKW_waits_until_it_is_free():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE)

        def wait():
            with opened('f', os.O_RDWR) as own:
                lock(own, WRITE, command=fcntl.F_SETLKW)

        pid = forked(wait)
        time.sleep(0.01)
        equal(os.waitpid(pid, os.WNOHANG), (0, 0), 'what waits')
        lock(fd, UNLOCK)
        equal(status_of(pid), 0)


@case
def two_that_wait_for_each_other_are_EDEADLK():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE, 0, 1)
        ready, told = os.pipe()

        def wait():
            with opened('f', os.O_RDWR) as own:
                lock(own, WRITE, 1, 1)
                os.write(told, b'x')
                lock(own, WRITE, 0, 1, fcntl.F_SETLKW)

        pid = forked(wait)
        os.read(ready, 1)
        # Until the child waits: only then it is a deadlock.
        for _ in range(1000):
            with open(f'/proc/{pid}/stat') as state:
                if state.read().rpartition(')')[2].split()[0] == 'S':
                    break
            time.sleep(0.001)
        conflict = errno_of(lock, fd, WRITE, 1, 1, fcntl.F_SETLKW)
        lock(fd, UNLOCK)
        equal((conflict, status_of(pid)), (EDEADLK, 0))


@case
def a_write_lock_needs_a_descriptor_that_writes():
    make('f')
    with opened('f') as fd:
        fails(EBADF, lock, fd, WRITE)
        lock(fd, READ)
    with opened('f', os.O_WRONLY) as fd:
        fails(EBADF, lock, fd, READ)


@case
def locks_of_an_open_file_conflict_within_a_process():
    make('f')
    with opened('f', os.O_RDWR) as one, opened('f', os.O_RDWR) as other:
        lock(one, WRITE, 0, 10, F_OFD_SETLK)
        fails(REFUSED, lock, other, WRITE, 5, 10, F_OFD_SETLK)
        lock(other, WRITE, 10, 10, F_OFD_SETLK)


@case
def locks_of_an_open_file_stay_when_another_descriptor_is_closed():
    make('f')
    with opened('f', os.O_RDWR) as fd:
        lock(fd, WRITE, command=F_OFD_SETLK)
        os.close(os.open('f', os.O_RDONLY))
        that(elsewhere(WRITE) in REFUSED, 'the lock is gone')


@case
def locks_of_an_open_file_go_with_its_last_descriptor():
    make('f')
    fd = os.open('f', os.O_RDWR)
    again = os.dup(fd)
    lock(fd, WRITE, command=F_OFD_SETLK)
    os.close(fd)
    that(elsewhere(WRITE) in REFUSED, 'the lock is gone')
    os.close(again)
    equal(elsewhere(WRITE), 0)


@case
def F_OFD_GETLK_tells_no_process():
    make('f')
    with opened('f', os.O_RDWR) as one, opened('f', os.O_RDWR) as other:
        lock(one, WRITE, 10, 20, F_OFD_SETLK)
        equal(lock_conflict(other, WRITE, 0, 100, F_OFD_GETLK), (WRITE, 10, 20, -1))


@case
def F_GETFL_and_F_SETFL_change_O_APPEND():
    make('f', b'abc')
    with opened('f', os.O_RDWR) as fd:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        equal(flags & os.O_ACCMODE, os.O_RDWR)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_APPEND)
        os.write(fd, b'X')
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b'Y')
    equal(read('f'), b'YbcX')


@case
def leases_are_given_to_who_is_alone():
    make('f')
    with opened('f') as fd:
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, READ)
        except OSError as error:
            if error.errno == EAGAIN:
                raise Difference('refused, though nobody writes')
            raise
        equal(fcntl.fcntl(fd, fcntl.F_GETLEASE), READ)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, UNLOCK)
