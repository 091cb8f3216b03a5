"""getdents64(2), readdir(3), telldir(3), seekdir(3), rewinddir(3): what a listing shows, also while entries come and go."""
import ctypes
import os
from errno import *

import calls
from calls import libc
from paths import existing_target, path_cases
from suite import *

path_cases('getdents', os.listdir, target='dir')
existing_target('getdents', os.listdir)

libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir64.restype = ctypes.c_void_p
libc.readdir64.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.closedir.argtypes = [ctypes.c_void_p]


class Stream:
    """A DIR."""

    def __init__(self, path='.'):
        self.dir = libc.opendir(path.encode())
        that(self.dir, 'opendir fails')

    def next(self):
        entry = libc.readdir64(self.dir)
        return ctypes.string_at(entry + 19).decode() if entry else None

    def rest(self):
        return list(iter(self.next, None))

    def tell(self):
        return libc.telldir(self.dir)

    def seek(self, place):
        libc.seekdir(self.dir, place)

    def rewind(self):
        libc.rewinddir(self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.closedir(self.dir)


def listed(path='.', size=32768):
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        entries = []
        while part := calls.getdents(fd, size):
            entries += part
        return entries


def fill(count, path='.'):
    expected = [f'entry-{number:04}' for number in range(count)]
    for name in expected:
        os.close(os.open(f'{path}/{name}', os.O_CREAT | os.O_WRONLY))
    return expected


@case
def shows_dot_and_dot_dot_with_their_inodes():
    os.makedirs('a/b')
    entries = {name: (ino, kind) for ino, _, kind, name in listed('a/b')}
    equal(sorted(entries), ['.', '..'])
    equal(entries, {'.': (os.lstat('a/b').st_ino, 4), '..': (os.lstat('a').st_ino, 4)})


@case
def shows_inode_and_type_of_each_entry():
    make('file')
    os.mkdir('dir')
    os.symlink('x', 'link')
    os.mkfifo('fifo')
    os.mknod('socket', stat.S_IFSOCK | 0o600)
    kinds = {name: kind for _, _, kind, name in listed() if name[0] != '.'}
    equal(kinds, {'file': 8, 'dir': 4, 'link': 10, 'fifo': 1, 'socket': 12})
    for ino, _, _, name in listed():
        if name != '..':
            equal(ino, os.lstat(name).st_ino, f'the inode of {name}')


@case
def shows_each_of_a_thousand_entries_once():
    expected = fill(1000)
    equal(sorted(name for *_, name in listed() if name[0] != '.'), expected)


@case
def shows_each_entry_once_into_small_buffers():
    expected = fill(300)
    equal(sorted(name for *_, name in listed(size=100) if name[0] != '.'), expected)


@case
def into_no_room_for_an_entry_is_EINVAL():
    make('n' * 200)
    with opened('.') as fd:
        while True:
            failure = errno_of(calls.getdents, fd, 16)
            equal(failure, EINVAL)
            break


@case
def of_a_file_is_ENOTDIR():
    make('f')
    with opened('f') as fd:
        fails(ENOTDIR, calls.getdents, fd)


@case
def shows_long_names_whole():
    expected = sorted(f'{number:03}' + 'n' * 252 for number in range(200))
    for name in expected:
        make(name)
    equal(names(), expected)


@case
def an_entry_made_before_it_is_opened_is_shown_at_once():
    for number in range(30):
        make(f'f{number}')
        equal(len(names()), number + 1)


@case
def an_entry_removed_before_it_is_opened_is_gone_at_once():
    expected = fill(30)
    while expected:
        os.unlink(expected.pop())
        equal(names(), expected)


@case
def removing_while_reading_shows_all_others():
    expected = set(fill(500))
    shown = set()
    with opened('.') as fd:
        while part := calls.getdents(fd, 1000):
            for *_, name in part:
                if name[0] != '.':
                    shown.add(name)
                    os.unlink(name)
    equal(shown, expected)
    equal(names(), [])


@case
def removing_what_is_to_come_shows_what_stays():
    expected = fill(400)
    with Stream() as stream:
        first = [stream.next() for _ in range(10)]
        gone = [name for name in expected[::2] if name not in first]
        for name in gone:
            os.unlink(name)
        shown = [name for name in first + stream.rest() if name[0] != '.']
    equal(len(shown), len(set(shown)), 'names shown')
    stay = set(expected) - set(gone)
    that(stay <= set(shown), f'not shown: {sorted(stay - set(shown))[:5]}')


@case
def creating_while_reading_shows_what_was_there_once():
    expected = set(fill(200))
    shown = []
    with Stream() as stream:
        for number in range(200):
            if (name := stream.next()) is None:
                break
            shown.append(name)
            make(f'new-{number}')
        shown += stream.rest()
    equal(len(shown), len(set(shown)), 'names shown')
    that(expected <= set(shown), f'not shown: {sorted(expected - set(shown))[:5]}')


@case
def renaming_while_reading_loses_no_other():
    expected = set(fill(300))
    with Stream() as stream:
        shown = [stream.next() for _ in range(5)]
        moved = sorted(expected - set(shown))[:50]
        for name in moved:
            os.rename(name, f'{name}-new')
        shown += stream.rest()
    missing = expected - set(moved) - set(shown)
    that(not missing, f'not shown: {sorted(missing)[:5]}')
    equal(len(shown), len(set(shown)), 'names shown')


@case
def seekdir_goes_back_to_where_telldir_was():
    fill(300)
    with Stream() as stream:
        places = []
        while True:
            place = stream.tell()
            if (name := stream.next()) is None:
                break
            places.append((place, name))
        for place, name in reversed(places[::7]):
            stream.seek(place)
            equal(stream.next(), name)


@case
def seekdir_and_reading_on_shows_the_rest():
    fill(100)
    with Stream() as stream:
        for _ in range(40):
            stream.next()
        place, rest = stream.tell(), stream.rest()
        stream.seek(place)
        equal(stream.rest(), rest)


@case
def seekdir_to_a_place_whose_entry_was_removed_goes_on_behind():
    fill(100)
    with Stream() as stream:
        for _ in range(40):
            stream.next()
        place, rest = stream.tell(), stream.rest()
        removed = next(name for name in rest if name[0] != '.')
        os.unlink(removed)
        stream.seek(place)
        again = stream.rest()
        # It may still be shown: POSIX leaves that open.
        equal([name for name in again if name != removed], [name for name in rest if name != removed])


@case
def rewinddir_shows_what_is_there_then():
    fill(50)
    with Stream() as stream:
        for _ in range(20):
            stream.next()
        make('new')
        os.unlink('entry-0007')
        stream.rewind()
        shown = stream.rest()
    that('new' in shown and 'entry-0007' not in shown, 'it shows what was there before')
    equal(len(shown), 52)


@case
def offsets_lead_to_what_follows():
    fill(60)
    entries = listed()
    with opened('.') as fd:
        for index in range(0, len(entries) - 1, 5):
            os.lseek(fd, entries[index][1], os.SEEK_SET)
            equal(calls.getdents(fd)[0][3], entries[index + 1][3])


@case
def two_streams_do_not_disturb_each_other():
    expected = fill(200)
    with Stream() as one, Stream() as other:
        shown = ([], [])
        for _ in range(len(expected) + 2):
            shown[0].append(one.next())
            shown[1].append(other.next())
    for each in shown:
        equal(sorted(name for name in each if name and name[0] != '.'), expected)


@case
def of_a_directory_that_was_removed_shows_nothing():
    os.mkdir('d')
    with opened('d') as fd:
        os.rmdir('d')
        try:
            equal(calls.getdents(fd), [])
        except OSError as error:
            equal(error.errno, ENOENT)


@case
def of_a_directory_that_was_moved_shows_its_entries():
    os.makedirs('a/d')
    os.mkdir('b')
    make('a/d/f')
    with opened('a/d') as fd:
        os.rename('a/d', 'b/e')
        entries = {name: ino for ino, _, _, name in calls.getdents(fd)}
    equal(sorted(entries), ['.', '..', 'f'])
    equal(entries['..'], os.lstat('b').st_ino)


@case(USER)
def needs_read_permission():
    mkdir('d', 0o300)
    make('d/f')
    fails(EACCES, os.listdir, 'd')
    equal(os.lstat('d/f').st_size, 0)


@case(USER)
def without_search_permission_names_are_shown_and_not_reached():
    mkdir('d')
    make('d/f')
    os.chmod('d', 0o400)
    equal(names('d'), ['f'])
    fails(EACCES, os.lstat, 'd/f')


@case
def a_name_that_is_a_file_and_then_a_directory_shows_its_new_type():
    make('x')
    equal({name: kind for _, _, kind, name in listed()}['x'], 8)
    os.unlink('x')
    os.mkdir('x')
    equal({name: kind for _, _, kind, name in listed()}['x'], 4)


@case
def an_open_directory_lists_what_another_process_makes():
    with opened('.') as fd:
        calls.getdents(fd)
        in_child(lambda: make('new') and None)
        os.lseek(fd, 0, os.SEEK_SET)
        that('new' in [name for *_, name in calls.getdents(fd)], 'it does not')


@case
def changes_at_most_the_access_time():
    os.mkdir('d')
    make('d/f')
    equal(changes_at_most_atime('d', lambda: os.listdir('d')), '')
