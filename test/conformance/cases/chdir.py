"""chdir(2), fchdir(2), getcwd(3)."""
import os
from errno import *

from paths import existing_target, path_cases
from suite import *


def there_and_back(path):
    with opened('.') as here:
        os.chdir(path)
        os.fchdir(here)


path_cases('chdir', there_and_back, target='dir')
existing_target('chdir', there_and_back)


@case
def to_a_file_is_ENOTDIR():
    make('f')
    fails(ENOTDIR, os.chdir, 'f')


@case
def follows_symlinks_and_getcwd_names_where_they_lead():
    os.mkdir('d')
    os.symlink('d', 'link')
    here = os.getcwd()
    os.chdir('link')
    equal(os.getcwd(), f'{here}/d')


@case(USER)
def needs_search_permission():
    mkdir('d', 0o600)
    fails(EACCES, os.chdir, 'd')
    os.chmod('d', 0o100)
    os.chdir('d')


@case
def fchdir_of_a_file_is_ENOTDIR():
    make('f')
    with opened('f') as fd:
        fails(ENOTDIR, os.fchdir, fd)


@case
def getcwd_follows_a_rename():
    os.mkdir('a')
    os.chdir('a')
    os.rename('../a', '../b')
    that(os.getcwd().endswith('/b'), os.getcwd())


@case
def a_path_of_more_than_4096_bytes_is_walked_in_steps():
    for _ in range(20):
        os.mkdir('n' * 250)
        os.chdir('n' * 250)
    make('f', b'deep')
    equal(read('f'), b'deep')
