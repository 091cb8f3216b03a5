"""Unpacks numbered files in order, as a package manager would, until the mount is gone.

    unpacker.py FOLDER SEED LOG

Every file has a size and content that follow from SEED and its number. Every 50th is fsynced, and only then is its path
and SHA-256 appended to LOG (outside the mount, itself fsynced). Every 70th is written beside a name of its own and
renamed over it. Prints the number of the last file it finished when a call fails.
"""
import hashlib
import os
import random
import sys


def content(seed: int, number: int) -> bytes:
    chance = random.Random(f"{seed}/{number}")
    return chance.randbytes(chance.choice([0, 10, 300, 4096, 5000, 40_000, 200_000]))


def path_of(number: int) -> str:
    return f"d{number // 100:04}/f{number:06}"


def write(path: str, data: bytes, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def main() -> None:
    folder, seed, log_path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.chdir(folder)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    number = 0
    try:
        while True:
            following = number + 1
            if following % 100 == 0 or following == 1:
                os.mkdir(os.path.dirname(path_of(following)))
            data = content(seed, following)
            path = path_of(following)
            if following % 70 == 0:
                write(path, b"old", False)
                write(path + ".new", data, False)
                os.rename(path + ".new", path)
            else:
                write(path, data, following % 50 == 0)
            if following % 50 == 0 and following % 70 != 0:
                line = f"{following} {path} {hashlib.sha256(data).hexdigest()}\n".encode()
                os.write(log, line)
                os.fsync(log)
            number = following
    except OSError:
        print(number, flush=True)


if __name__ == "__main__":
    main()
