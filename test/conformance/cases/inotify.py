"""inotify(7): who watches a file or a directory is told what happens to it."""
import os
import struct

import calls
from suite import *

MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x100, 0x200, 0x400, 0x800
IN_NONBLOCK = 0o4000

inotify_init1 = calls.function('inotify_init1', calls.INT)
inotify_add_watch = calls.function('inotify_add_watch', calls.INT, calls.PATH, calls.ctypes.c_uint)


def events_of(path, wanted, operation):
    """(mask, name) of all that the operation brings."""
    fd = inotify_init1(IN_NONBLOCK)
    inotify_add_watch(fd, path, wanted)
    operation()
    try:
        data, events, at = os.read(fd, 65536), [], 0
    except BlockingIOError:
        return []
    while at < len(data):
        _, mask, _, length = struct.unpack_from('iIII', data, at)
        if mask & wanted:
            events.append((mask & wanted, data[at + 16 : at + 16 + length].rstrip(b'\0').decode()))
        at += 16 + length
    return events


@case
def a_directory_tells_of_names_that_come_and_go():
    os.mkdir('d')

    def work():
        make('d/f')
        os.mkdir('d/e')
        os.rename('d/f', 'd/g')
        os.unlink('d/g')
        os.rmdir('d/e')

    equal(
        events_of('d', CREATE | DELETE | MOVED_FROM | MOVED_TO, work),
        [(CREATE, 'f'), (CREATE, 'e'), (MOVED_FROM, 'f'), (MOVED_TO, 'g'), (DELETE, 'g'), (DELETE, 'e')],
    )


@case
def a_file_tells_of_writes_and_of_their_end():
    make('f')

    def work():
        with opened('f', os.O_WRONLY) as fd:
            os.write(fd, b'x')

    equal(events_of('f', MODIFY | CLOSE_WRITE, work), [(MODIFY, ''), (CLOSE_WRITE, '')])


@case
def a_file_tells_of_truncation_and_of_attributes():
    make('f', b'text')
    equal(events_of('f', MODIFY, lambda: os.truncate('f', 1)), [(MODIFY, '')])
    equal(events_of('f', ATTRIB, lambda: os.chmod('f', 0o600)), [(ATTRIB, '')])
    equal(events_of('f', ATTRIB, lambda: os.utime('f', (1, 2))), [(ATTRIB, '')])


@case
def what_another_process_does_is_told():
    os.mkdir('d')
    equal(events_of('d', CREATE, lambda: in_child(lambda: make('d/f') and None)), [(CREATE, 'f')])


@case
def a_file_tells_that_it_moves_and_goes():
    make('f')
    equal(events_of('f', MOVE_SELF, lambda: os.rename('f', 'g')), [(MOVE_SELF, '')])
    equal(events_of('g', DELETE_SELF, lambda: os.unlink('g')), [(DELETE_SELF, '')])


@case
def reading_tells_nothing_of_changes():
    make('f', b'text')
    equal(events_of('f', MODIFY | ATTRIB | CLOSE_WRITE, lambda: (read('f'), os.stat('f'), os.listdir('.'))), [])
