"""inode(7): directories with the set-group-ID bit."""
import os
from errno import *

from suite import *


def directory(group=OTHER, mode=0o2777):
    os.chmod('.', 0o755)
    os.mkdir('d')
    os.chown('d', 0, group)
    os.chmod('d', mode)


@case(ROOT)
def what_is_made_in_one_takes_its_group():
    directory()
    with acting_as(UID):
        make('d/file')
        os.mkfifo('d/fifo')
        os.symlink('x', 'd/link')
    for name in ('file', 'fifo', 'link'):
        equal((os.lstat(f'd/{name}').st_uid, os.lstat(f'd/{name}').st_gid), (UID, OTHER))


@case(ROOT)
def a_directory_made_in_one_takes_the_bit_too():
    directory()
    with acting_as(UID):
        os.mkdir('d/e', 0o755)
        os.mkdir('d/e/f', 0o700)
    equal((mode_of('d/e'), os.lstat('d/e').st_gid), (0o2755, OTHER))
    equal((mode_of('d/e/f'), os.lstat('d/e/f').st_gid), (0o2700, OTHER))


@case(ROOT)
def without_the_bit_the_group_is_the_caller_s():
    directory(mode=0o777)
    with acting_as(UID):
        make('d/f')
    equal(os.lstat('d/f').st_gid, UID)


@case(ROOT)
def a_file_keeps_no_set_group_id_of_a_group_that_one_is_not_in():
    directory()
    os.umask(0)
    with acting_as(UID):
        os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY, 0o2775))
    equal(mode_of('d/f'), 0o775)


@case(ROOT)
def a_file_keeps_set_group_id_of_a_group_that_one_is_in():
    directory()
    os.umask(0)
    with acting_as(UID, groups=(OTHER,)):
        os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY, 0o2775))
    equal(mode_of('d/f'), 0o2775)


@case(ROOT)
def a_file_moved_into_one_keeps_its_group():
    directory()
    make('f')
    os.rename('f', 'd/f')
    equal(os.lstat('d/f').st_gid, 0)


@case(ROOT)
def a_link_made_in_one_keeps_the_group_of_the_file():
    directory()
    make('f')
    os.link('f', 'd/f')
    equal(os.lstat('f').st_gid, 0)


@case(USER)
def the_owner_sets_the_bit_of_an_own_directory():
    os.mkdir('d')
    os.chmod('d', 0o2755)
    equal(mode_of('d'), 0o2755)


@case(USER)
def mkdir_takes_the_bit_from_its_mode():
    os.umask(0)
    os.mkdir('d', 0o755)
    equal(mode_of('d'), 0o755)
