"""chown(2), fchown(2), lchown(2), fchownat(2)."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *

path_cases('chown', lambda path: os.chown(path, os.geteuid(), os.getegid()))
existing_target('chown', lambda path: os.chown(path, -1, -1))


def owner(path):
    found = os.lstat(path)
    return found.st_uid, found.st_gid


@case(ROOT)
def sets_owner_and_group():
    make('f')
    os.mkdir('d')
    os.mkfifo('p')
    for name in ('f', 'd', 'p'):
        os.chown(name, 12, 34)
        equal(owner(name), (12, 34))


@case(ROOT)
def takes_the_largest_ids():
    make('f')
    os.chown('f', (1 << 32) - 2, (1 << 32) - 2)
    equal(owner('f'), ((1 << 32) - 2, (1 << 32) - 2))


@case(ROOT)
def minus_one_leaves_the_owner_or_the_group():
    make('f')
    os.chown('f', 12, 34)
    os.chown('f', -1, 56)
    equal(owner('f'), (12, 56))
    os.chown('f', 78, -1)
    equal(owner('f'), (78, 56))


@case(ROOT)
def follows_a_symlink_and_lchown_does_not():
    make('f')
    os.symlink('f', 'link')
    os.chown('link', 12, 34)
    os.lchown('link', 56, 78)
    equal((owner('f'), owner('link')), ((12, 34), (56, 78)))


@case(ROOT)
def fchown_changes_a_file_without_a_name():
    make('f')
    with opened('f') as fd:
        os.unlink('f')
        os.fchown(fd, 12, 34)
        equal((os.fstat(fd).st_uid, os.fstat(fd).st_gid), (12, 34))


@case
def changes_ctime_alone():
    make('f')
    equal(changes('f', lambda: os.chown('f', os.geteuid(), os.getegid())), 'c')


@case
def of_nothing_leaves_ids_and_mtime():
    make('f')
    before = owner('f')
    that('m' not in changes('f', lambda: os.chown('f', -1, -1)), 'mtime changes')
    equal(owner('f'), before)


@case(ROOT)
def of_nothing_by_another_user_takes_no_set_id_bits():
    os.chmod('.', 0o755)
    make('f', mode=0o6755)
    with acting_as(UID):
        errno_of(os.chown, 'f', -1, -1)
    equal(mode_of('f'), 0o6755)


@case(ROOT)
def of_nothing_takes_set_id_bits_for_root():
    make('f', mode=0o6755)
    os.chown('f', -1, -1)
    equal(mode_of('f'), 0o755)


@case(USER)
def to_another_owner_is_EPERM():
    make('f')
    fails(EPERM, os.chown, 'f', OTHER, -1)
    fails(EPERM, os.chown, 'f', 0, -1)
    equal(owner('f'), (UID, GID))


@case(USER)
def to_a_group_that_one_is_not_in_is_EPERM():
    make('f')
    fails(EPERM, os.chown, 'f', -1, OTHER)


@case(ROOT)
def to_a_group_that_one_is_in_is_for_the_owner():
    make('f')
    os.chown('f', UID, UID)
    with acting_as(UID, groups=(OTHER,)):
        os.chown('f', -1, OTHER)
        os.chown('f', UID, UID)
        os.chown('f', UID, OTHER)
    equal(owner('f'), (UID, OTHER))


@case(ROOT)
def by_another_user_is_EPERM():
    make('f', mode=0o666)
    with acting_as(UID):
        fails(EPERM, os.chown, 'f', UID, UID)
        fails(EPERM, os.chown, 'f', -1, UID)


@case(ROOT)
def drops_set_id_bits_of_a_program():
    make('f', mode=0o6755)
    os.chown('f', UID, UID)
    equal(mode_of('f'), 0o755)


@case(ROOT)
def drops_set_id_bits_for_the_owner_too():
    make('f')
    os.chown('f', UID, UID)
    os.chmod('f', 0o6755)
    with acting_as(UID, groups=(OTHER,)):
        os.chown('f', -1, OTHER)
    equal(mode_of('f'), 0o755)


@case(ROOT)
def leaves_set_group_id_where_the_group_may_not_execute():
    make('f', mode=0o2745)
    os.chown('f', UID, UID)
    equal(mode_of('f'), 0o2745)


@case(ROOT)
def leaves_set_group_id_of_directories():
    mkdir('d', 0o2755)
    os.chown('d', UID, UID)
    equal(mode_of('d'), 0o2755)


@case(ROOT)
def on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f')
    calls.read_only('d')
    fails(EROFS, os.chown, 'd/f', 1, 1)


@case(ROOT)
def gives_a_file_away_with_its_permissions():
    make('f', b'x', 0o600)
    os.chmod('.', 0o755)
    os.chown('f', UID, UID)
    with acting_as(UID):
        equal(read('f'), b'x')
    with acting_as(OTHER):
        fails(EACCES, os.open, 'f', os.O_RDONLY)


@case(ROOT)
def fchownat_with_AT_EMPTY_PATH_changes_the_descriptor_s():
    make('f')
    with opened('f', os.O_PATH) as fd:
        calls.fchownat(fd, '', 12, 34, calls.AT_EMPTY_PATH)
    equal(owner('f'), (12, 34))


@case(ROOT)
def of_one_name_shows_in_the_others():
    make('f')
    os.link('f', 'g')
    os.chown('f', 12, 34)
    equal(owner('g'), (12, 34))
