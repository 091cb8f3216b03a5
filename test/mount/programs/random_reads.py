"""Random reads of pages of 4 KiB, each of which holds its number and that of the write that made it, all over.

    random_reads.py make FILE PAGES           writes the file
    random_reads.py all FILE TIMES            reads every page so often, in no order, and checks it; counts those that the
                                              kernel's page cache did not have just before (mincore(2))
    random_reads.py beside FILE SECONDS       reads beside somebody who opens the file, overwrites, truncates, maps and closes
                                              it; no read may give what is older than what was written

Prints JSON: reads, seconds, for `all` how many pages were absent, and for `beside` the writer's rounds.
"""
import ctypes
import json
import mmap
import os
import random
import struct
import sys
import time

PAGE = 4096


def page_bytes(page, number):
    return struct.pack('<II', page, number) * (PAGE // 8)


def number_of(data, page):
    assert len(data) == PAGE, f'page {page} has {len(data)} bytes'
    found, number = struct.unpack_from('<II', data)
    assert data == page_bytes(found, number), f'page {page} is a mixture'
    assert found == page, f'page {page} is read as page {found}'
    return number


def make(path, pages):
    with open(path, 'wb') as file:
        for page in range(pages):
            file.write(page_bytes(page, 1))
        file.flush()
        os.fsync(file.fileno())


def open_random(path):
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    return fd


class Residency:
    """Which pages of a file the kernel has in its cache. It may drop any of them at any time."""

    def __init__(self, fd):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mmap.restype = ctypes.c_void_p
        self.libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        self.libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
        self.start = self.libc.mmap(None, os.fstat(fd).st_size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        assert self.start != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
        self.answer = ctypes.create_string_buffer(1)

    def has(self, page):
        assert self.libc.mincore(self.start + page * PAGE, PAGE, self.answer) == 0, os.strerror(ctypes.get_errno())
        return self.answer.raw[0] & 1 == 1


def read_all(path, times):
    pages = os.stat(path).st_size // PAGE
    fd = open_random(path)
    resident = Residency(fd)
    absent = 0
    order = list(range(pages))
    for _ in range(times):
        random.shuffle(order)
        for page in order:
            if not resident.has(page):
                absent += 1
            assert number_of(os.pread(fd, PAGE, page * PAGE), page) == 1
    return {'reads': pages * times, 'absent': absent}


class Shared:
    """What readers and the writer know of each other: a counter that is odd while the file is being cut and filled again,
    and for each page the number of the last write that was begun, and of the last that has ended."""

    def __init__(self, pages):
        self.words = memoryview(mmap.mmap(-1, 8 * (2 + 2 * pages))).cast('Q')
        self.pages = pages

    cuts = property(lambda self: self.words[0])

    def cut(self):
        self.words[0] += 1

    def begin(self, page, number):
        self.words[2 + 2 * page] = number

    def end(self, page, number):
        self.words[3 + 2 * page] = number

    def certain(self, page):
        return max(1, self.words[3 + 2 * page])

    def begun(self, page):
        return max(1, self.words[2 + 2 * page])


def write_page(fd, shared, page, number):
    shared.begin(page, number)
    assert os.pwrite(fd, page_bytes(page, number), page * PAGE) == PAGE
    shared.end(page, number)


def write_beside(path, shared, until):
    number, rounds = 1, 0
    while time.monotonic() < until:
        # In peace for a while, so that there is something to be bought.
        time.sleep(random.random() * 0.15)
        rounds += 1
        how = random.choice(['overwrite', 'overwrite', 'map', 'cut', 'cut by name', 'empty'])
        if how == 'map':
            fd = os.open(path, os.O_RDWR)
            mapped = mmap.mmap(fd, 0)
            os.close(fd)
            for page in random.sample(range(shared.pages), 8):
                number += 1
                shared.begin(page, number)
                mapped[page * PAGE:(page + 1) * PAGE] = page_bytes(page, number)
                shared.end(page, number)
            mapped.close()
        elif how == 'overwrite':
            fd = os.open(path, os.O_RDWR)
            for page in random.sample(range(shared.pages), 20):
                number += 1
                write_page(fd, shared, page, number)
            os.close(fd)
        else:
            shared.cut()
            kept = 0 if how == 'empty' else random.randrange(shared.pages)
            if how == 'cut by name':
                os.truncate(path, kept * PAGE)
            fd = os.open(path, os.O_RDWR | (os.O_TRUNC if how == 'empty' else 0))
            if how == 'cut':
                os.ftruncate(fd, kept * PAGE)
            assert os.fstat(fd).st_size == kept * PAGE, f'{how}: {os.fstat(fd).st_size} bytes'
            number += 1
            for page in range(kept, shared.pages):
                write_page(fd, shared, page, number)
            os.close(fd)
            shared.cut()
        if random.random() < 0.8:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        if random.random() < 0.5:
            # What is in the store again, the kernel has not.
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
    return rounds


def read_beside(path, shared, until):
    reads = 0
    while time.monotonic() < until:
        fd = open_random(path)
        for _ in range(500):
            page = random.randrange(shared.pages)
            cuts, certain = shared.cuts, shared.certain(page)
            data = os.pread(fd, PAGE, page * PAGE)
            begun = shared.begun(page)
            if cuts % 2 == 1 or shared.cuts != cuts:
                continue
            number = number_of(data, page)
            assert certain <= number <= begun, f'page {page} is read as {number}, when it was {certain} to {begun}'
            reads += 1
        os.close(fd)
    return reads


def beside(path, seconds):
    shared = Shared(os.stat(path).st_size // PAGE)
    until = time.monotonic() + seconds
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                read_beside(path, shared, until)
                status = 0
            except AssertionError as error:
                print(error, file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        children.append(child)
    rounds = write_beside(path, shared, until)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert not any(statuses), 'a reader failed'
    return {'rounds': rounds}


what, file, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
started = time.monotonic()
result = {'make': lambda: make(file, count), 'all': lambda: read_all(file, count), 'beside': lambda: beside(file, count)}[
    what
]()
print(json.dumps({**(result or {}), 'seconds': time.monotonic() - started}))
