"""chmod(2), fchmod(2), fchmodat(2)."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

path_cases('chmod', lambda path: os.chmod(path, 0o600))
existing_target('chmod', lambda path: os.chmod(path, 0o600))


@case
def sets_all_twelve_bits():
    make('f')
    os.mkdir('d')
    for mode in (0, 0o1, 0o20, 0o777, 0o1777, 0o2755, 0o4711, 0o7777):
        for name in ('f', 'd'):
            os.chmod(name, mode)
            equal(mode_of(name), mode)


@case
def leaves_the_type():
    for kind, name in ((stat.S_IFREG, 'f'), (stat.S_IFIFO, 'p'), (stat.S_IFSOCK, 's')):
        os.mknod(name, kind | 0o600)
        os.chmod(name, 0o777)
        equal(os.lstat(name).st_mode, kind | 0o777)


@case
def follows_a_symlink():
    make('f')
    os.symlink('f', 'link')
    os.chmod('link', 0o600)
    equal((mode_of('f'), mode_of('link')), (0o600, 0o777))


@case
def fchmod_changes_a_file_without_a_name():
    make('f')
    with opened('f') as fd:
        os.unlink('f')
        os.fchmod(fd, 0o601)
        equal(stat.S_IMODE(os.fstat(fd).st_mode), 0o601)


@case
def fchmod_of_a_directory():
    os.mkdir('d')
    with opened('d') as fd:
        os.fchmod(fd, 0o711)
    equal(mode_of('d'), 0o711)


@case
def changes_ctime_alone():
    make('f')
    os.mkdir('d')
    for name in ('f', 'd'):
        equal(changes(name, lambda: os.chmod(name, 0o700)), 'c')


@case
def to_the_same_mode_changes_ctime_too():
    make('f', mode=0o644)
    equal(changes('f', lambda: os.chmod('f', 0o644)), 'c')


@case(ROOT)
def by_another_user_is_EPERM():
    make('f', mode=0o666)
    with acting_as(UID):
        fails(EPERM, os.chmod, 'f', 0o600)
        with opened('f', os.O_RDWR) as fd:
            fails(EPERM, os.fchmod, fd, 0o600)
    equal(mode_of('f'), 0o666)


@case(ROOT)
def set_group_id_of_a_group_that_one_is_not_in_is_dropped():
    make('f', mode=0o755)
    os.chown('f', UID, OTHER)
    with acting_as(UID):
        os.chmod('f', 0o2755)
    equal(mode_of('f'), 0o755)
    with acting_as(UID, groups=(OTHER,)):
        os.chmod('f', 0o2755)
    equal(mode_of('f'), 0o2755)


@case(ROOT)
def set_group_id_of_any_group_stays_for_root():
    make('f', mode=0o755)
    os.chown('f', UID, OTHER)
    os.chmod('f', 0o6755)
    equal(mode_of('f'), 0o6755)


@case(USER)
def the_sticky_bit_of_a_file_may_be_set_by_users():
    make('f')
    os.chmod('f', 0o1644)
    equal(mode_of('f'), 0o1644)


@case
def of_what_is_open_binds_those_who_open_later():
    make('f', b'x')
    with opened('f', os.O_RDWR) as fd:
        os.chmod('f', 0)
        os.write(fd, b'y')
        equal(os.pread(fd, 1, 0), b'y')


@case(ROOT)
def on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f')
    calls.read_only('d')
    fails(EROFS, os.chmod, 'd/f', 0o600)


@case
def of_a_symlink_itself_is_EOPNOTSUPP():
    os.symlink('missing', 'link')
    with opened('link', os.O_PATH | os.O_NOFOLLOW) as fd:
        fails(EOPNOTSUPP, os.chmod, f'/proc/self/fd/{fd}', 0o600)


@case
def fchmodat_begins_from_the_directory():
    os.mkdir('d')
    make('d/f')
    with opened('d') as fd:
        os.chmod('f', 0o611, dir_fd=fd)
    equal(mode_of('d/f'), 0o611)


@case(USER)
def takes_away_what_the_owner_may_do_and_gives_it_back():
    make('f', b'x', 0o644)
    os.chmod('f', 0o044)
    fails(EACCES, os.open, 'f', os.O_RDONLY)
    os.chmod('f', 0o400)
    equal(read('f'), b'x')


@case
def of_one_name_shows_in_the_others():
    make('f')
    os.link('f', 'g')
    os.chmod('g', 0o640)
    equal(mode_of('f'), 0o640)
