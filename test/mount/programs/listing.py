"""Lists a directory through the kernel while it changes, and judges what is shown by POSIX.

    listing.py model DIR SEED STEPS [FLAW]   one process: several streams, changes between their reads, all known exactly
    listing.py race DIR SEED PASSES [FLAW]   readers and changers in processes of their own
    listing.py page DIR                      the kernel's cache of the listing ends with a page, while a stream is under way

DIR is made, used and removed. Streams are opendir(3) with readdir, telldir, seekdir and rewinddir, and plain descriptors
with getdents64(2) into small buffers and lseek(2). What POSIX says of them:
- since a stream was opened or rewound, what was there all the while is shown exactly once; what came or went meanwhile may
  be shown or not; what was not there at any time since then must not;
- after seekdir to a place that telldir gave since then, what follows is what followed there.
FLAW tampers with what is read: "drops", "repeats", "invents", or "forgets": then it must end with an error.
Prints {"passes": N, "entries": N, "seeks": N, "changes": N}.
"""
import ctypes
import json
import os
import random
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir64.restype = ctypes.c_void_p
libc.readdir64.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.closedir.argtypes = [ctypes.c_void_p]
libc.dirfd.argtypes = [ctypes.c_void_p]

SYS_GETDENTS64 = 217
# struct dirent64 and struct linux_dirent64: d_ino, d_off, d_reclen, d_type, d_name.
RECLEN_AT, NAME_AT = 16, 19
NEVER = float('inf')


class Wrong(Exception):
    pass


class LibcStream:
    """A DIR."""

    def __init__(self, path, _random):
        self.dir = libc.opendir(path.encode())
        if not self.dir:
            raise OSError(ctypes.get_errno(), path)

    def read(self):
        """The next names with the places behind them; none at the end."""
        ctypes.set_errno(0)
        entry = libc.readdir64(self.dir)
        if not entry:
            if ctypes.get_errno() != 0:
                raise OSError(ctypes.get_errno(), 'readdir')
            return []
        return [(ctypes.string_at(entry + NAME_AT).decode(), libc.telldir(self.dir))]

    def seek(self, place):
        libc.seekdir(self.dir, place)

    def rewind(self):
        libc.rewinddir(self.dir)

    def fileno(self):
        return libc.dirfd(self.dir)

    def close(self):
        libc.closedir(self.dir)


class RawStream:
    """A descriptor read by getdents64."""

    def __init__(self, path, rng):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.rng = rng
        self.buffer = ctypes.create_string_buffer(1 << 16)

    def read(self, size=None):
        size = size or self.rng.choice([280, 300, 1000, 4096, 30000, 1 << 16])
        length = libc.syscall(SYS_GETDENTS64, self.fd, self.buffer, size)
        if length < 0:
            raise OSError(ctypes.get_errno(), 'getdents64')
        found, at = [], 0
        view = self.buffer.raw[:length]
        while at < length:
            place = int.from_bytes(view[at + 8:at + 16], 'little', signed=True)
            reclen = int.from_bytes(view[at + RECLEN_AT:at + RECLEN_AT + 2], 'little')
            found.append((view[at + NAME_AT:at + reclen].split(b'\0')[0].decode(), place))
            at += reclen
        return found

    def seek(self, place):
        os.lseek(self.fd, place, os.SEEK_SET)

    def rewind(self):
        os.lseek(self.fd, 0, os.SEEK_SET)

    def fileno(self):
        return self.fd

    def close(self):
        os.close(self.fd)


class Flawed:
    """A stream that is tampered with."""

    def __init__(self, stream, flaw, rng):
        self.stream, self.flaw, self.rng = stream, flaw, rng
        self.first = []

    def read(self):
        found = self.stream.read()
        if not found or self.rng.random() > 0.02:
            return found
        if self.flaw == 'drops':
            return found[:-1] + self.stream.read()
        if self.flaw == 'repeats':
            return found + found[-1:]
        if self.flaw == 'invents':
            return found + [('churn-never', found[-1][1])]
        return found

    def seek(self, place):
        if self.flaw != 'forgets':
            self.stream.seek(place)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def opened(path, flaw, rng):
    stream = rng.choice([LibcStream, RawStream])(path, rng)
    return stream if flaw is None else Flawed(stream, flaw, rng)


class Pass:
    """What one stream has shown since it was opened or rewound. A seek takes back what was shown behind its place."""

    def __init__(self, moment):
        self.since = moment
        self.shown = []
        self.places = [(0, None)]

    def show(self, found):
        for name, place in found:
            self.shown.append(name)
            self.places.append((len(self.shown), place))


# ---- one process, all known exactly ----

class Model:
    def __init__(self, path, seed, flaw):
        self.path, self.flaw = path, flaw
        self.rng = random.Random(seed)
        self.moment = 0
        self.there = {}    # name -> when it came
        self.went = {}     # name -> [(came, went)]
        self.count = {'passes': 0, 'entries': 0, 'seeks': 0, 'changes': 0}
        self.next = 0
        self.large = self.rng.random() < 0.6
        self.aside = path + '-aside'
        os.mkdir(path)
        os.mkdir(self.aside)
        self.kinds = {}

    def now(self):
        self.moment += 1
        return self.moment

    def run(self, steps):
        for _ in range(3000 if self.large else 15):
            self.create()
        streams = []
        for _ in range(4):
            stream = opened(self.path, self.flaw, self.rng)
            streams.append((stream, [Pass(self.now())]))
        for _ in range(steps):
            dice = self.rng.random()
            if dice < 0.35:
                self.change()
            elif dice < 0.352:
                os.posix_fadvise(streams[0][0].fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                self.read(*self.rng.choice(streams))
        for stream, _ in streams:
            stream.close()
        # At rest a new stream shows just what is there.
        stream, shown = opened(self.path, self.flaw, self.rng), []
        while found := stream.read():
            shown += [name for name, _ in found]
        stream.close()
        if sorted(shown) != sorted(['.', '..', *self.there]):
            raise Wrong('a new stream shows other names than are there')
        for name in [*self.there]:
            self.remove(name)
        os.rmdir(self.aside)
        os.rmdir(self.path)

    # changes

    def change(self):
        self.count['changes'] += 1
        burst = self.rng.randrange(1, 200) if self.large and self.rng.random() < 0.05 else 1
        grows = self.rng.random() < 0.5
        for _ in range(burst):
            dice = self.rng.random()
            names = [*self.there] if dice < 0.4 or not grows else []
            if dice < 0.2 and names:
                self.rename(self.rng.choice(names))
            elif dice < 0.3 and names:
                self.move_aside_and_back(self.rng.choice(names))
            elif dice < 0.4 and names:
                self.replace(self.rng.choice(names))
            elif grows:
                self.create()
            elif names:
                self.remove(self.rng.choice(names))

    def new_name(self):
        if self.went and self.rng.random() < 0.3:
            name = self.rng.choice([*self.went])
            if name not in self.there:
                return name
        self.next += 1
        return f'{self.next}-' + 'n' * (self.next * 41 % 180)

    def at(self, name):
        return os.path.join(self.path, name)

    def came(self, name, kind):
        self.there[name] = self.now()
        self.kinds[name] = kind

    def gone(self, name):
        self.went.setdefault(name, []).append((self.there.pop(name), self.now()))

    def create(self):
        name = self.new_name()
        kind = self.rng.choice(['file', 'file', 'file', 'dir', 'link', 'symlink'])
        files = [other for other in list(self.there)[:20] if self.kinds[other] == 'file']
        if kind == 'link' and not files:
            kind = 'file'
        if kind == 'dir':
            os.mkdir(self.at(name))
        elif kind == 'link':
            os.link(self.at(files[0]), self.at(name))
            kind = 'other'
        elif kind == 'symlink':
            os.symlink('nowhere', self.at(name))
            kind = 'other'
        else:
            os.close(os.open(self.at(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        self.came(name, kind)

    def remove(self, name):
        (os.rmdir if self.kinds[name] == 'dir' else os.unlink)(self.at(name))
        self.gone(name)

    def rename(self, name):
        new = self.new_name()
        os.rename(self.at(name), self.at(new))
        self.gone(name)
        self.came(new, self.kinds[name])

    def move_aside_and_back(self, name):
        os.rename(self.at(name), os.path.join(self.aside, 'x'))
        self.gone(name)
        os.rename(os.path.join(self.aside, 'x'), self.at(name))
        self.came(name, self.kinds[name])

    def replace(self, name):
        """The name stays all the while, and leads to another file."""
        if self.kinds[name] == 'dir':
            return
        other = os.path.join(self.aside, 'y')
        os.close(os.open(other, os.O_CREAT | os.O_WRONLY))
        os.rename(other, self.at(name))
        self.kinds[name] = 'file'

    # reading

    def read(self, stream, held):
        seen = held[0]
        dice = self.rng.random()
        if dice < 0.02:
            seen = self.rewind(stream, held)
        elif dice < 0.12 and len(seen.places) > 1:
            length, place = self.rng.choice(seen.places[1:])
            stream.seek(place)
            self.count['seeks'] += 1
            seen.shown = seen.shown[:length]
            seen.places = seen.places[:length + 1]
        for _ in range(self.rng.choice([1, 1, 5, 50, 1000])):
            found = stream.read()
            self.count['entries'] += len(found)
            self.judge_shown(seen, found)
            seen.show(found)
            if not found:
                self.judge_whole(seen)
                self.count['passes'] += 1
                if self.rng.random() < 0.5:
                    self.rewind(stream, held)
                break

    def rewind(self, stream, held):
        stream.rewind()
        held[0] = Pass(self.now())
        return held[0]

    def judge_shown(self, seen, found):
        for name, _ in found:
            lives = self.went.get(name, [])
            was = name in ('.', '..') or name in self.there or any(went > seen.since for _, went in lives)
            if not was:
                raise Wrong(f'{name} is shown, which was not there since {seen.since}')

    def judge_whole(self, seen):
        times = {}
        for name in seen.shown:
            times[name] = times.get(name, 0) + 1
        for name in ['.', '..', *self.there]:
            if self.there.get(name, 0) > seen.since:
                continue
            if times.get(name, 0) != 1:
                raise Wrong(f'{name}, which was there since before {seen.since}, is shown {times.get(name, 0)} times')


# ---- a full page ----

PAGE_BYTES = 4096
# What an entry takes in the kernel's cache if its name has up to eight bytes.
ENTRY_BYTES = 32


def page(path):
    """A stream that began in a whole cache goes on when another stream has listed all, after a change."""
    os.mkdir(path)
    stays = 10 * PAGE_BYTES // ENTRY_BYTES
    goes = os.path.join(path, 'goes')
    for name in [*(f'{number:07}' for number in range(stays - 2)), 'goes']:
        os.close(os.open(os.path.join(path, name), os.O_CREAT | os.O_WRONLY))
    os.listdir(path)
    # The daemon takes a listing to be over when it has not gone back for 200 ms after its end.
    time.sleep(0.3)
    stream, shown = RawStream(path, None), []
    while found := stream.read(PAGE_BYTES):
        shown += [name for name, _ in found if name != 'goes']
        if os.path.exists(goes):
            os.unlink(goes)
            os.listdir(path)
    stream.close()
    if len(shown) != stays:
        raise Wrong(f'{len(shown)} of {stays} names are shown')
    return {'passes': 1, 'entries': stays, 'seeks': 0, 'changes': 1}


# ---- processes ----

STAY, CHURN = 1500, 300


def changer(path, seed, until):
    """Creates, renames and removes names of its own until the pipe `until` is closed."""
    rng = random.Random(seed)
    mine = lambda: os.path.join(path, f'churn-{seed}-{rng.randrange(CHURN)}' + 'c' * rng.randrange(3))
    os.set_blocking(until, False)
    while True:
        try:
            if os.read(until, 1) == b'':
                return
        except BlockingIOError:
            pass
        for _ in range(20):
            change = rng.choice([
                lambda: os.close(os.open(mine(), os.O_CREAT | os.O_WRONLY)),
                lambda: os.unlink(mine()),
                lambda: os.rename(mine(), mine()),
                lambda: os.mkdir(mine()),
                lambda: os.rmdir(mine()),
                lambda: os.link(mine(), mine()),
            ])
            try:
                change()
            except OSError as error:
                if error.errno not in (2, 1, 17, 20, 21, 39):  # ENOENT, EPERM, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY
                    raise


def reader(path, seed, passes, flaw):
    """Every pass shows each name that stays once; from a place on, those that came after it before."""
    rng = random.Random(seed)
    stays = {f'stay-{number}' for number in range(STAY)} | {'.', '..'}
    count = {'passes': 0, 'entries': 0, 'seeks': 0, 'changes': 0}
    stream = opened(path, flaw, rng)
    for number in range(passes):
        own = os.path.join(path, f'own-{seed}')
        if number % 2 == 1:
            os.close(os.open(own, os.O_CREAT | os.O_WRONLY))
        elif number > 0:
            os.unlink(own)
        if rng.random() < 0.3:
            stream.close()
            stream = opened(path, flaw, rng)
        else:
            stream.rewind()
        seen = Pass(0)
        seeks = 3
        while True:
            found = stream.read()
            count['entries'] += len(found)
            seen.show(found)
            if found and (len(seen.places) < 2 or rng.random() > 0.003):
                continue
            if seeks == 0:
                if found:
                    continue
                break
            seeks -= 1
            count['seeks'] += 1
            length, place = rng.choice(seen.places[1:])
            if not found:
                before = [name for name in seen.shown[length:] if name in stays]
                stream.seek(place)
                after = []
                while again := stream.read():
                    after += [name for name, _ in again if name in stays]
                if after != before:
                    raise Wrong(f'from a place on there are {len(after)} names that stay, not {len(before)}')
                continue
            stream.seek(place)
            seen.shown = seen.shown[:length]
            seen.places = seen.places[:length + 1]
        times = {}
        for name in seen.shown:
            times[name] = times.get(name, 0) + 1
        for name in stays:
            if times.get(name, 0) != 1:
                raise Wrong(f'{name}, which stays, is shown {times.get(name, 0)} times')
        if times.get(os.path.basename(own), 0) != number % 2:
            raise Wrong(f'in pass {number} its own name is shown {times.get(os.path.basename(own), 0)} times')
        strange = [name for name in times if name not in stays and not name.startswith(('own-', 'churn-'))]
        if strange or any(name.startswith('churn-never') for name in times):
            raise Wrong(f'{strange} never were there')
        count['passes'] += 1
    stream.close()
    return count


def race(path, seed, passes, flaw):
    os.mkdir(path)
    for number in range(STAY):
        os.close(os.open(os.path.join(path, f'stay-{number}'), os.O_CREAT | os.O_WRONLY))
    stop, stopped = os.pipe()
    changers = [started(lambda: changer(path, seed + number, stop), stopped) for number in range(2)]
    answers, answer = os.pipe()

    def read(number):
        count = reader(path, seed + 10 + number, passes, flaw)
        os.write(answer, (json.dumps(count) + '\n').encode())

    readers = [started(lambda: read(number)) for number in range(3)]
    failed = [pid for pid in readers if os.waitpid(pid, 0)[1] != 0]
    os.close(stopped)
    failed += [pid for pid in changers if os.waitpid(pid, 0)[1] != 0]
    os.close(answer)
    if failed:
        sys.exit(1)
    with os.fdopen(answers) as lines:
        counts = [json.loads(line) for line in lines]
    return {what: sum(count[what] for count in counts) for what in counts[0]}


def started(work, not_inherited=None):
    pid = os.fork()
    if pid != 0:
        return pid
    status = 1
    try:
        if not_inherited is not None:
            os.close(not_inherited)
        work()
        status = 0
    except Exception as error:
        sys.stderr.write(f'{type(error).__name__}: {error}\n')
    finally:
        os._exit(status)


def main():
    what, path, *how = sys.argv[1:]
    if what == 'page':
        print(json.dumps(page(path)))
        return
    seed, amount, *flaws = how
    flaw = flaws[0] if flaws else None
    if what == 'model':
        model = Model(path, int(seed), flaw)
        model.run(int(amount))
        print(json.dumps(model.count))
    else:
        print(json.dumps(race(path, int(seed), int(amount), flaw)))


if __name__ == '__main__':
    try:
        main()
    except Wrong as wrong:
        sys.exit(f'Wrong: {wrong}')
