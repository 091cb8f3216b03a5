"""mount(2) of parts of the filesystem elsewhere, and chroot(2) into one."""
import os
from errno import *

import calls
from suite import *


@case(ROOT)
def a_directory_is_seen_at_another_place():
    os.makedirs('a/b')
    os.mkdir('c')
    make('a/b/f', b'text')
    calls.private_mounts()
    calls.mount('a/b', 'c', None, calls.MS_BIND, None)
    equal(read('c/f'), b'text')
    make('c/g', b'new')
    equal(read('a/b/g'), b'new')
    equal(os.lstat('c').st_ino, os.lstat('a/b').st_ino)


@case(ROOT)
def a_file_is_seen_in_the_place_of_another():
    make('f', b'one')
    make('g', b'two')
    calls.private_mounts()
    calls.mount('f', 'g', None, calls.MS_BIND, None)
    equal(read('g'), b'one')


@case(ROOT)
def what_is_mounted_there_is_neither_removed_nor_renamed():
    os.mkdir('a')
    os.mkdir('c')
    calls.private_mounts()
    calls.mount('a', 'c', None, calls.MS_BIND, None)
    fails(EBUSY, os.rmdir, 'c')
    fails(EBUSY, os.rename, 'c', 'd')


@case(ROOT)
def names_do_not_move_between_mounts():
    os.mkdir('a')
    os.mkdir('c')
    make('a/f')
    calls.private_mounts()
    calls.mount('a', 'c', None, calls.MS_BIND, None)
    fails(EXDEV, os.rename, 'a/f', 'c/f')
    fails(EXDEV, os.link, 'a/f', 'c/g')


@case(ROOT)
def chroot_takes_a_directory_for_the_root():
    os.makedirs('new/etc')
    make('new/etc/f', b'inside')
    os.symlink('/etc/f', 'new/link')
    os.chroot('new')
    os.chdir('/')
    equal((read('/etc/f'), read('/link'), os.listdir('/..')), (b'inside', b'inside', os.listdir('/')))


@case(USER)
def chroot_and_mount_are_not_for_users():
    os.mkdir('d')
    fails(EPERM, os.chroot, 'd')
    fails(EPERM, calls.mount, 'd', 'd', None, calls.MS_BIND, None)


@case(ROOT)
def a_file_handle_leads_to_a_directory_that_is_seen_elsewhere():
    os.makedirs('a/b')
    os.mkdir('c')
    calls.private_mounts()
    calls.mount('a/b', 'c', None, calls.MS_BIND, None)
    equal(calls.name_to_handle_at(calls.AT_FDCWD, 'c'), calls.name_to_handle_at(calls.AT_FDCWD, 'a/b'))
