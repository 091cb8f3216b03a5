"""access(2), faccessat(2), faccessat2(2): by the real user, or by the effective one."""
import os
from errno import *

import calls
from paths import existing_target, path_cases
from suite import *


def access(path, mode=os.F_OK, flags=0):
    calls.faccessat(calls.AT_FDCWD, path, mode, flags)


path_cases('access', access)
existing_target('access', access)


@case(USER)
def tells_what_the_owner_may():
    make('f')
    for bits in range(8):
        os.chmod('f', bits << 6)
        for wanted in range(8):
            equal(errno_of(access, 'f', wanted), 0 if bits & wanted == wanted else EACCES, f'{bits}, {wanted}')


@case(ROOT)
def tells_root_yes_but_execution_of_what_nobody_may_execute():
    make('f', mode=0)
    access('f', os.R_OK | os.W_OK)
    fails(EACCES, access, 'f', os.X_OK)
    os.chmod('f', 0o001)
    access('f', os.X_OK)
    mkdir('d', 0)
    access('d', os.X_OK | os.R_OK | os.W_OK)


@case(ROOT)
def asks_of_the_real_user_and_with_AT_EACCESS_of_the_effective_one():
    make('f', mode=0o600)
    with acting_as(UID):
        access('f', os.R_OK)
        fails(EACCES, access, 'f', os.R_OK, calls.AT_EACCESS)


@case
def follows_symlinks_unless_told():
    os.symlink('missing', 'link')
    fails(ENOENT, access, 'link')
    access('link', os.F_OK, calls.AT_SYMLINK_NOFOLLOW)


@case(ROOT)
def of_writing_on_a_read_only_mount_is_EROFS():
    os.mkdir('d')
    make('d/f')
    calls.read_only('d')
    fails(EROFS, access, 'd/f', os.W_OK)
    access('d/f', os.R_OK)


@case
def an_unknown_mode_is_EINVAL():
    fails(EINVAL, access, '.', 8)


@case(USER)
def knows_of_a_chmod_at_once():
    make('f')
    for _ in range(20):
        os.chmod('f', 0)
        fails(EACCES, access, 'f', os.R_OK)
        os.chmod('f', 0o400)
        access('f', os.R_OK)
