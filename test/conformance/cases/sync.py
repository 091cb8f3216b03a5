"""open(2) with O_SYNC and O_DSYNC, and pwritev2(2) with RWF_SYNC. What survives a crash is tried elsewhere."""
import os

from suite import *


@case
def writes_of_O_SYNC_and_O_DSYNC_are_seen():
    for number, flag in enumerate((os.O_SYNC, os.O_DSYNC)):
        with opened(f'f{number}', os.O_CREAT | os.O_WRONLY | flag) as fd:
            for piece in (b'one', b'two'):
                os.write(fd, piece)
        equal(read(f'f{number}'), b'onetwo')


@case
def O_SYNC_with_O_APPEND():
    make('f', b'abc')
    with opened('f', os.O_WRONLY | os.O_SYNC | os.O_APPEND) as fd:
        os.write(fd, b'd')
    equal(read('f'), b'abcd')


@case
def RWF_SYNC_and_RWF_DSYNC_write():
    with opened('f', os.O_CREAT | os.O_WRONLY) as fd:
        os.pwritev(fd, [b'one'], 0, os.RWF_SYNC)
        os.pwritev(fd, [b'two'], 3, os.RWF_DSYNC)
    equal(read('f'), b'onetwo')


@case
def RWF_APPEND_writes_at_the_end():
    make('f', b'abc')
    with opened('f', os.O_WRONLY) as fd:
        os.pwritev(fd, [b'd'], 0, os.RWF_APPEND)
    equal(read('f'), b'abcd')
