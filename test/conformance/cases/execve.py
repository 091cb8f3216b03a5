"""execve(2) of programs on the filesystem."""
import os
import subprocess
from errno import *

from paths import existing_target
from suite import *


def execute(path, *arguments):
    """Its output; OSError as execve gives it."""
    return subprocess.run([f'./{path}', *arguments], stdout=subprocess.PIPE, check=True).stdout.strip()


existing_target('execve', execute)


@case
def runs_a_program():
    make('echo', read('/bin/echo'), 0o755)
    equal(execute('echo', 'hello'), b'hello')


@case
def runs_a_script_by_its_first_line():
    make('script', b'#!/bin/sh\necho from $0 $1\n', 0o755)
    equal(execute('script', 'x'), b'from ./script x')


@case
def what_nobody_may_execute_is_EACCES():
    make('f', b'#!/bin/sh\n', 0o666)
    fails(EACCES, execute, 'f')


@case
def a_directory_is_EACCES():
    os.mkdir('d')
    fails(EACCES, execute, 'd')


@case
def what_is_no_program_is_ENOEXEC():
    make('f', b'no program', 0o755)
    fails(ENOEXEC, execute, 'f')


@case
def what_is_open_for_writing_is_ETXTBSY():
    make('f', read('/bin/true'), 0o755)
    with opened('f', os.O_WRONLY):
        fails(ETXTBSY, execute, 'f')


@case
def an_interpreter_that_is_missing_is_ENOENT():
    make('f', b'#!/missing/interpreter\n', 0o755)
    fails(ENOENT, execute, 'f')


@case(USER)
def needs_execute_permission_of_the_owner_and_not_read_permission():
    make('f', read('/bin/true'), 0o100)
    execute('f')
    os.chmod('f', 0o655)
    fails(EACCES, execute, 'f')


@case
def a_changed_program_runs_as_it_is_now():
    make('f', b'#!/bin/sh\necho one\n', 0o755)
    equal(execute('f'), b'one')
    with opened('f', os.O_WRONLY | os.O_TRUNC) as fd:
        os.write(fd, b'#!/bin/sh\necho two!\n')
    equal(execute('f'), b'two!')


@case
def changes_no_mtime_or_ctime():
    make('f', b'#!/bin/sh\n', 0o755)
    equal(changes_at_most_atime('f', lambda: execute('f')), '')
