"""inode(7): set-user-ID and set-group-ID bits go when somebody else than root changes a file."""
import os

import calls
from suite import *

CHANGES = {
    'write': lambda fd: os.write(fd, b'X'),
    'pwrite': lambda fd: os.pwrite(fd, b'X', 2),
    'ftruncate': lambda fd: os.ftruncate(fd, 1),
    'truncate': lambda fd: os.truncate('f', 2),
    'O TRUNC': lambda fd: os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)),
    'fallocate': lambda fd: calls.fallocate(fd, 0, 0, 100),
    'a punched hole': lambda fd: calls.fallocate(fd, 3, 0, 2),
    'copy file range': lambda fd: os.copy_file_range(os.open('source', os.O_RDONLY), fd, 3),
}


def program(mode):
    os.chmod('.', 0o777)
    make('source', b'new')
    make('f', b'text', mode)


def going(change):
    def goes():
        program(0o6777)
        with acting_as(UID), opened('f', os.O_RDWR) as fd:
            change(fd)
        equal(mode_of('f'), 0o777)

    return goes


def staying(change):
    def stays():
        program(0o6777)
        with opened('f', os.O_RDWR) as fd:
            change(fd)
        equal(mode_of('f'), 0o6777)

    return stays


for what, change in CHANGES.items():
    add('set_id', f'{what} by a user drops the bits', going(change), (ROOT,))
    add('set_id', f'{what} by root leaves the bits', staying(change), (ROOT,))


@case(USER)
def the_owner_s_own_write_drops_them_too():
    make('f', b'text', 0o6755)
    with opened('f', os.O_WRONLY) as fd:
        os.write(fd, b'X')
    equal(mode_of('f'), 0o755)


@case(ROOT)
def set_group_id_without_group_execution_stays_where_the_writer_is_in_the_group():
    program(0o2766)
    with acting_as(UID, 0), opened('f', os.O_RDWR) as fd:
        os.write(fd, b'X')
    equal(mode_of('f'), 0o2766)


@case(ROOT)
def the_sticky_bit_stays():
    program(0o1777)
    with acting_as(UID), opened('f', os.O_RDWR) as fd:
        os.write(fd, b'X')
    equal(mode_of('f'), 0o1777)


@case(ROOT)
def reading_chmod_and_utime_leave_them():
    program(0o6777)
    read('f')
    os.utime('f')
    os.rename('f', 'g')
    os.link('g', 'h')
    equal(mode_of('h'), 0o6777)


@case(ROOT)
def a_failed_write_leaves_them():
    program(0o6755)
    with acting_as(UID):
        equal(errno_of(os.open, 'f', os.O_WRONLY), 13)
    equal(mode_of('f'), 0o6755)


@case(ROOT)
def a_set_user_id_program_runs_as_its_owner():
    import subprocess

    os.chmod('.', 0o755)
    make('id', read('/usr/bin/id'), 0o755)
    os.chown('id', OTHER, OTHER)
    os.chmod('id', 0o6755)
    flags = os.statvfs('.').f_flag
    if flags & os.ST_NOSUID:
        raise NotApplicable('the filesystem is mounted with nosuid')
    for option in ('-u', '-g'):
        ran = subprocess.run(['./id', option], stdout=subprocess.PIPE, user=UID, group=GID, extra_groups=[])
        equal(ran.stdout, b'%d\n' % OTHER)
