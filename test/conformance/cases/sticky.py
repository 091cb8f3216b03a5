"""inode(7): directories with the sticky bit. Removing and renaming there stand in unlink.py, rmdir.py and rename.py."""
import os
from errno import *

from suite import *


@case(ROOT)
def anybody_makes_files_in_one():
    mkdir('t', 0o1777)
    for uid in (UID, OTHER):
        with acting_as(uid):
            make(f't/{uid}')
    equal(names('t'), [str(UID), str(OTHER)])


@case(ROOT)
def a_file_of_another_is_not_replaced_by_O_CREAT():
    mkdir('t', 0o1777)
    make('t/f', b'text', 0o666)
    os.chown('t/f', OTHER, OTHER)
    with acting_as(OTHER):
        os.close(os.open('t/f', os.O_RDWR | os.O_CREAT))
    equal(read('t/f'), b'text')


@case(ROOT)
def what_may_be_written_may_be_emptied_and_not_removed():
    mkdir('t', 0o1777)
    make('t/f', b'text', 0o666)
    os.chown('t/f', OTHER, OTHER)
    with acting_as(UID):
        os.truncate('t/f', 0)
        fails(EPERM, os.unlink, 't/f')


@case(ROOT)
def it_does_not_pass_to_new_directories():
    mkdir('t', 0o1777)
    os.mkdir('t/d', 0o755)
    equal(mode_of('t/d'), 0o755)


@case(ROOT)
def a_directory_of_another_is_not_renamed_over():
    mkdir('t', 0o1777)
    mkdir('t/theirs')
    os.chown('t/theirs', OTHER, OTHER)
    with acting_as(UID):
        os.mkdir('t/mine')
        fails(EPERM, os.rename, 't/mine', 't/theirs')
