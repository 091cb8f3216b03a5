"""acl(5): POSIX ACLs as system.posix_acl_access and system.posix_acl_default, by the kernel's format."""
import os
import struct
from errno import *

import calls
from suite import *

ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
OWNER, NAMED_USER, GROUP, NAMED_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32
NOBODY = 0xFFFFFFFF


def acl(*entries):
    """Entries are (tag, permissions) or (tag, permissions, id)."""
    packed = [struct.pack('HHI', tag, bits, *(rest or [NOBODY])) for tag, bits, *rest in entries]
    return struct.pack('I', 2) + b''.join(packed)


def entries_of(path, name=ACCESS):
    data = os.getxattr(path, name)
    found = [struct.unpack_from('HHI', data, at) for at in range(4, len(data), 8)]
    return [(tag, bits) if who == NOBODY else (tag, bits, who) for tag, bits, who in found]


def named(user=(OTHER, 6), mask=7, owner=6, group=4, others=0):
    return acl((OWNER, owner), (NAMED_USER, user[1], user[0]), (GROUP, group), (MASK, mask), (OTHERS, others))


@case
def gives_back_what_was_set():
    make('f')
    os.setxattr('f', ACCESS, named())
    equal(entries_of('f'), [(OWNER, 6), (NAMED_USER, 6, OTHER), (GROUP, 4), (MASK, 7), (OTHERS, 0)])


@case
def the_mask_shows_in_the_group_bits_of_the_mode():
    make('f', mode=0o640)
    os.setxattr('f', ACCESS, named(mask=5, owner=7, others=1))
    equal(mode_of('f'), 0o751)


@case
def chmod_sets_the_mask_and_leaves_the_group():
    make('f')
    os.setxattr('f', ACCESS, named(mask=7, group=4))
    os.chmod('f', 0o620)
    equal(entries_of('f'), [(OWNER, 6), (NAMED_USER, 6, OTHER), (GROUP, 4), (MASK, 2), (OTHERS, 0)])


@case
def one_that_says_no_more_than_the_mode_is_the_mode():
    make('f', mode=0o600)
    os.setxattr('f', ACCESS, acl((OWNER, 7), (GROUP, 5), (OTHERS, 1)))
    equal(mode_of('f'), 0o751)
    fails(ENODATA, os.getxattr, 'f', ACCESS)
    that(ACCESS not in os.listxattr('f'), 'it is listed')


@case
def there_is_none_at_first():
    make('f')
    os.mkdir('d')
    for path in 'fd':
        for name in (ACCESS, DEFAULT):
            fails(ENODATA, os.getxattr, path, name)


@case
def removing_it_leaves_the_group_bits_as_they_are():
    make('f')
    os.setxattr('f', ACCESS, named(mask=6))
    os.removexattr('f', ACCESS)
    fails(ENODATA, os.getxattr, 'f', ACCESS)
    equal(mode_of('f') & 0o707, 0o600)


@case
def it_is_listed():
    make('f')
    os.mkdir('d')
    os.setxattr('f', ACCESS, named())
    os.setxattr('d', DEFAULT, named())
    equal((os.listxattr('f'), os.listxattr('d')), ([ACCESS], [DEFAULT]))


@case
def bad_ones_are_EINVAL():
    make('f')
    bad = [
        acl((OWNER, 6), (GROUP, 4)),  # no others
        acl((OWNER, 6), (NAMED_USER, 6, OTHER), (GROUP, 4), (OTHERS, 0)),  # no mask
        acl((OWNER, 6), (GROUP, 4), (OTHERS, 9)),
        acl((OWNER, 6), (OWNER, 6), (GROUP, 4), (OTHERS, 0)),
        acl((GROUP, 4), (OWNER, 6), (OTHERS, 0)),
        acl((OWNER, 6), (GROUP, 4), (OTHERS, 0))[:-3],
        acl((OWNER, 6), (64, 6), (GROUP, 4), (OTHERS, 0)),
    ]
    for value in bad:
        fails(EINVAL, os.setxattr, 'f', ACCESS, value)
    fails((EINVAL, EOPNOTSUPP), os.setxattr, 'f', ACCESS, struct.pack('I', 1) + named()[4:])


@case
def a_default_of_a_file_is_EACCES():
    make('f')
    fails(EACCES, os.setxattr, 'f', DEFAULT, named())


@case
def of_a_symlink_is_EOPNOTSUPP_or_EPERM():
    os.symlink('missing', 'link')
    fails((EOPNOTSUPP, EPERM), os.setxattr, 'link', ACCESS, named(), follow_symlinks=False)


@case(ROOT)
def lets_a_named_user_in():
    os.chmod('.', 0o755)
    make('f', b'text', 0o600)
    with acting_as(OTHER):
        fails(EACCES, os.open, 'f', os.O_RDONLY)
    os.setxattr('f', ACCESS, named((OTHER, 6), mask=6))
    with acting_as(OTHER):
        os.close(os.open('f', os.O_RDWR))
    with acting_as(UID):
        fails(EACCES, os.open, 'f', os.O_RDONLY)


@case(ROOT)
def the_mask_limits_a_named_user():
    os.chmod('.', 0o755)
    make('f', b'text')
    os.setxattr('f', ACCESS, named((OTHER, 6), mask=4))
    with acting_as(OTHER):
        os.close(os.open('f', os.O_RDONLY))
        fails(EACCES, os.open, 'f', os.O_RDWR)


@case(ROOT)
def a_named_user_with_less_than_others_gets_less():
    os.chmod('.', 0o755)
    make('f', b'text')
    os.setxattr('f', ACCESS, named((OTHER, 0), mask=7, others=6))
    with acting_as(OTHER):
        fails(EACCES, os.open, 'f', os.O_RDONLY)
    with acting_as(UID):
        os.close(os.open('f', os.O_RDWR))


@case(ROOT)
def lets_a_named_group_in():
    os.chmod('.', 0o755)
    make('f', b'text')
    entries = acl((OWNER, 6), (GROUP, 0), (NAMED_GROUP, 4, OTHER), (MASK, 7), (OTHERS, 0))
    os.setxattr('f', ACCESS, entries)
    with acting_as(UID, groups=(OTHER,)):
        os.close(os.open('f', os.O_RDONLY))
        fails(EACCES, os.open, 'f', os.O_RDWR)
    with acting_as(UID):
        fails(EACCES, os.open, 'f', os.O_RDONLY)


@case(ROOT)
def access_tells_of_it():
    os.chmod('.', 0o755)
    make('f')
    os.setxattr('f', ACCESS, named((OTHER, 4), mask=7))
    with acting_as(OTHER):
        calls.faccessat(calls.AT_FDCWD, 'f', os.R_OK, calls.AT_EACCESS)
        fails(EACCES, calls.faccessat, calls.AT_FDCWD, 'f', os.W_OK, calls.AT_EACCESS)


@case
def a_new_file_takes_the_default_of_its_directory():
    mkdir('d')
    os.setxattr('d', DEFAULT, named((OTHER, 7), mask=7, owner=7, group=5, others=1))
    os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY, 0o666))
    equal(entries_of('d/f'), [(OWNER, 6), (NAMED_USER, 7, OTHER), (GROUP, 5), (MASK, 6), (OTHERS, 0)])
    equal(mode_of('d/f'), 0o660)


@case
def with_a_default_the_umask_does_not_bind():
    mkdir('d')
    os.setxattr('d', DEFAULT, acl((OWNER, 7), (GROUP, 7), (OTHERS, 7)))
    os.umask(0o077)
    os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY, 0o666))
    os.mkdir('d/d', 0o777)
    equal((mode_of('d/f'), mode_of('d/d')), (0o666, 0o777))


@case
def a_new_directory_takes_the_default_as_both():
    mkdir('d')
    os.setxattr('d', DEFAULT, named((OTHER, 7), mask=7, owner=7, group=5, others=1))
    os.mkdir('d/sub', 0o777)
    expected = [(OWNER, 7), (NAMED_USER, 7, OTHER), (GROUP, 5), (MASK, 7), (OTHERS, 1)]
    equal((entries_of('d/sub', DEFAULT), entries_of('d/sub')), (expected, expected))
    os.mkdir('d/sub/sub', 0o700)
    equal(entries_of('d/sub/sub', DEFAULT), expected)


@case
def a_default_binds_nobody_who_uses_the_directory_itself():
    mkdir('d', 0o755)
    os.setxattr('d', DEFAULT, named(owner=0, mask=0))
    equal(mode_of('d'), 0o755)
    make('d/f')


@case
def a_default_goes_when_it_is_removed():
    mkdir('d')
    os.setxattr('d', DEFAULT, named())
    os.removexattr('d', DEFAULT)
    fails(ENODATA, os.getxattr, 'd', DEFAULT)
    os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY, 0o666))
    equal(mode_of('d/f'), 0o644)


@case
def symlinks_and_fifos_in_a_directory_with_a_default():
    mkdir('d')
    os.setxattr('d', DEFAULT, named((OTHER, 6), mask=6))
    os.symlink('x', 'd/link')
    os.mkfifo('d/fifo', 0o666)
    equal(mode_of('d/link'), 0o777)
    equal(entries_of('d/fifo')[1], (NAMED_USER, 6, OTHER))


@case(ROOT)
def is_for_the_owner_to_set():
    make('f', mode=0o666)
    with acting_as(UID):
        fails(EPERM, os.setxattr, 'f', ACCESS, named())
        fails(EPERM, os.removexattr, 'f', ACCESS)


@case
def changes_ctime_alone():
    make('f')
    equal(changes('f', lambda: os.setxattr('f', ACCESS, named())), 'c')


@case
def goes_with_a_file_through_rename():
    make('f')
    os.mkdir('d')
    os.setxattr('f', ACCESS, named())
    os.rename('f', 'd/g')
    equal(entries_of('d/g')[1], (NAMED_USER, 6, OTHER))


@case(ROOT)
def setting_it_drops_set_group_id_of_a_group_that_one_is_not_in():
    make('f')
    os.chown('f', UID, OTHER)
    os.chmod('f', 0o2755)
    with acting_as(UID):
        os.setxattr('f', ACCESS, named(owner=7, group=5, mask=5))
    equal(mode_of('f') & 0o2000, 0)
