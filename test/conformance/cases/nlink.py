"""Link counts: of files their names, of directories "." and the ".." in each below."""
import os

from suite import *


def links(path='.'):
    return os.lstat(path).st_nlink


@case
def of_a_directory_counts_its_subdirectories():
    os.mkdir('d')
    for number in range(30):
        equal(links('d'), 2 + number)
        os.mkdir(f'd/{number}')
    for number in range(30):
        os.rmdir(f'd/{number}')
    equal(links('d'), 2)


@case
def of_a_directory_counts_no_files():
    os.mkdir('d')
    make('d/f')
    os.symlink('x', 'd/link')
    os.mkfifo('d/fifo')
    equal(links('d'), 2)


@case
def of_directories_moves_with_a_rename():
    os.makedirs('a/x/y')
    os.mkdir('b')
    os.rename('a/x', 'b/x')
    equal((links('a'), links('b'), links('b/x')), (2, 3, 3))


@case
def of_a_parent_drops_where_a_directory_replaces_another():
    os.mkdir('a')
    os.mkdir('b')
    before = links()
    os.rename('a', 'b')
    equal(links(), before - 1)


@case
def of_a_file_follows_its_names():
    make('f')
    os.mkdir('d')
    for number in range(20):
        equal(links('f'), 1 + number)
        os.link('f', f'd/{number}')
    for number in range(20):
        os.unlink(f'd/{number}')
    equal(links('f'), 1)


@case
def of_a_file_that_is_replaced_drops():
    make('f')
    make('g')
    os.link('g', 'h')
    with opened('h') as fd:
        os.rename('f', 'g')
        equal(os.fstat(fd).st_nlink, 1)
        os.rename('g', 'h')
        equal(os.fstat(fd).st_nlink, 0)


@case
def of_a_removed_directory_is_zero():
    os.makedirs('d/e')
    with opened('d') as fd:
        os.rmdir('d/e')
        equal(os.fstat(fd).st_nlink, 2)
        os.rmdir('d')
        equal(os.fstat(fd).st_nlink, 0)
