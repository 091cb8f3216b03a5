"""Does to a file in the current directory whatever programs do, at random, and to bytes in memory the same; reads and compares.
Arguments: a seed, and how many steps. Leaves the file `scribbled`, closed and not synced, and prints its SHA-256."""
import ctypes
import hashlib
import mmap
import os
import random
import sys

KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
SIZE_MAX = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
dice = random.Random(int(sys.argv[1]))
model = bytearray()


def grow(size):
    if size > len(model):
        model.extend(bytes(size - len(model)))


def put(at, data):
    grow(at + len(data))
    model[at : at + len(data)] = data


def write(fd):
    at, data = dice.randrange(SIZE_MAX // 2), dice.randbytes(dice.choice((1, 100, 4096, 70_000)))
    os.pwrite(fd, data, at)
    put(at, data)


def append(fd):
    data = dice.randbytes(dice.choice((1, 1000, 9000)))
    end = os.open("scribbled", os.O_WRONLY | os.O_APPEND)
    os.write(end, data)
    os.close(end)
    put(len(model), data)


def truncate(fd):
    size = dice.randrange(SIZE_MAX // 2)
    os.ftruncate(fd, size)
    grow(size)
    del model[size:]


def map_write(fd):
    if len(model) < 4096:
        return
    with mmap.mmap(fd, len(model)) as mapped:
        at = dice.randrange(len(model))
        data = dice.randbytes(min(dice.choice((1, 5000)), len(model) - at))
        mapped[at : at + len(data)] = data
    model[at : at + len(data)] = data


def punch(fd):
    at, length = dice.randrange(SIZE_MAX // 2), dice.randrange(1, 100_000)
    zeroes = dice.randrange(2) == 1
    assert libc.fallocate(fd, ZERO if zeroes else PUNCH | KEEP_SIZE, at, length) == 0
    if zeroes:
        grow(at + length)
    end = min(at + length, len(model))
    if at < end:
        model[at:end] = bytes(end - at)


def copy(fd):
    if len(model) < 1000:
        return
    at, to = dice.randrange(len(model) // 2), dice.randrange(len(model) // 2, len(model))
    taken = os.copy_file_range(fd, fd, min(50_000, to - at), at, to) if to > at else 0
    put(to, bytes(model[at : at + taken]))


def direct(fd):
    past = os.open("scribbled", os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    at = dice.randrange(SIZE_MAX // 8192) * 4096
    page[:] = dice.randbytes(4096)
    os.pwritev(past, [page], at)
    put(at, page[:])
    os.close(past)


def sync(fd):
    os.fsync(fd)


def other_name(fd):
    os.rename("scribbled", "aside")
    os.rename("aside", "scribbled")


fd = os.open("scribbled", os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o644)
deeds = [write] * 6 + [append] * 3 + [truncate, map_write, map_write, punch, copy, direct, sync, other_name]
for step in range(int(sys.argv[2])):
    deed = dice.choice(deeds)
    deed(fd)
    if dice.randrange(5) == 0:
        os.close(fd)
        fd = os.open("scribbled", os.O_RDWR)
    if os.fstat(fd).st_size != len(model):
        sys.exit(f"step {step}, {deed.__name__}: {os.fstat(fd).st_size} bytes, not {len(model)}")
    if os.pread(fd, SIZE_MAX * 2, 0) != model:
        sys.exit(f"step {step}, {deed.__name__}: other bytes")
os.close(fd)
print(hashlib.sha256(model).hexdigest())
