"""Works in a mount until told to stop, and minds no outage: a call that fails ends it with an error.

    worker.py write FOLDER SEED LOG STOP   as unpacker.py, but fsyncs every fifth file; reads back what it wrote
    worker.py read FOLDER COUNT STOP       reads the files 0..COUNT-1 of `make` at random
    worker.py make FOLDER COUNT            makes them, 256 KiB each

Ends when the file STOP is there. `write` and `read` print {"done": N, "longestMs": M}, M being the longest of their steps.
LOG is as unpacker.py's, for verify_unpacked.py.
"""
import hashlib
import json
import os
import random
import sys
import time

from unpacker import content, path_of, write as write_file

MADE_BYTES = 256 * 1024


class Steps:
    def __init__(self):
        self.done = 0
        self.longest = 0.0

    def run(self, step, *arguments):
        started = time.monotonic()
        step(*arguments)
        self.longest = max(self.longest, time.monotonic() - started)
        self.done += 1

    def report(self):
        print(json.dumps({'done': self.done, 'longestMs': round(self.longest * 1000)}), flush=True)


def read_uncached(path):
    """Past the kernel's cache, so that the daemon is asked."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
        return b''.join(parts)
    finally:
        os.close(fd)


def write(folder, seed, log_path, stop):
    seed = int(seed)
    os.chdir(folder)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    steps = Steps()

    def one(number):
        if number % 100 == 0 or number == 1:
            os.mkdir(os.path.dirname(path_of(number)))
        data, path = content(seed, number), path_of(number)
        if number % 70 == 0:
            write_file(path, b'old', False)
            write_file(path + '.new', data, False)
            os.rename(path + '.new', path)
            return
        write_file(path, data, number % 5 == 0)
        if number % 5 == 0:
            os.write(log, f'{number} {path} {hashlib.sha256(data).hexdigest()}\n'.encode())
        earlier = random.randrange(1, number + 1)
        if read_uncached(path_of(earlier)) != content(seed, earlier):
            sys.exit(f'file {earlier} has wrong bytes')

    number = 0
    while not os.path.exists(stop):
        number += 1
        steps.run(one, number)
    steps.report()


def made(number):
    return random.Random(number).randbytes(MADE_BYTES)


def make(folder, count):
    for number in range(int(count)):
        write_file(os.path.join(folder, f'made-{number}'), made(number), False)


def read(folder, count, stop):
    steps = Steps()

    def one(number):
        if read_uncached(os.path.join(folder, f'made-{number}')) != made(number):
            sys.exit(f'file made-{number} has wrong bytes')

    while not os.path.exists(stop):
        steps.run(one, random.randrange(int(count)))
    steps.report()


{'write': write, 'read': read, 'make': make}[sys.argv[1]](*sys.argv[2:])
