"""What fallocate(2) and lseek(2) do to a file in the current directory. Prints what is wrong; nothing where all is well."""
import ctypes
import errno
import os

KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
MIB = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def fallocate(fd, mode, offset, length):
    """0, or an errno's name."""
    return 0 if libc.fallocate(fd, mode, offset, length) == 0 else errno.errorcode[ctypes.get_errno()]


def check(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r}, not {wanted!r}")


def seek(fd, offset, whence):
    try:
        return os.lseek(fd, offset, whence)
    except OSError as error:
        return errno.errorcode[error.errno]


def ranges(fd):
    """Where there is data."""
    found, at = [], 0
    while True:
        data = seek(fd, at, os.SEEK_DATA)
        if data == "ENXIO":
            return found
        at = seek(fd, data, os.SEEK_HOLE)
        found.append((data, at))


def blocks(fd):
    return os.fstat(fd).st_blocks * 512


for is_recorded in (False, True):
    fd = os.open("holes", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, b"x" * (4 * MIB))
    if is_recorded:
        os.fsync(fd)
    # The page cache holds all of it.
    check("before", len(os.pread(fd, 4 * MIB, 0)), 4 * MIB)
    check("st_blocks before", blocks(fd), 4 * MIB)
    check("punch", fallocate(fd, PUNCH | KEEP_SIZE, MIB, MIB), 0)
    check("st_blocks after", blocks(fd), 3 * MIB)
    check("the hole", os.pread(fd, 4 * MIB, 0), b"x" * MIB + bytes(MIB) + b"x" * (2 * MIB))
    check("data", ranges(fd), [(0, MIB), (2 * MIB, 4 * MIB)])
    check("zero range", fallocate(fd, ZERO, 3 * MIB, 2 * MIB), 0)
    check("zero range, size kept", fallocate(fd, ZERO | KEEP_SIZE, 2 * MIB, 30 * MIB), 0)
    check("size", os.fstat(fd).st_size, 5 * MIB)
    check("data then", ranges(fd), [(0, MIB)])
    before = os.fstat(fd)
    check("allocate", fallocate(fd, 0, 0, 6 * MIB), 0)
    check("allocate, size kept", fallocate(fd, KEEP_SIZE, 0, 8 * MIB), 0)
    after = os.fstat(fd)
    check("size then", after.st_size, 6 * MIB)
    check("times", (after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns), (True, True))
    os.posix_fallocate(fd, 0, 7 * MIB)
    check("size in the end", os.fstat(fd).st_size, 7 * MIB)
    check("collapse", fallocate(fd, COLLAPSE, 0, MIB), "ENOTSUP")
    check("insert", fallocate(fd, INSERT, 0, MIB), "ENOTSUP")
    check("past the end", (seek(fd, 7 * MIB, os.SEEK_HOLE), seek(fd, 7 * MIB, os.SEEK_DATA)), ("ENXIO", "ENXIO"))
    check("the end", (seek(fd, 6 * MIB, os.SEEK_HOLE), seek(fd, 6 * MIB, os.SEEK_DATA)), (6 * MIB, "ENXIO"))
    # What was written through a mapping, or past the page cache, is found too.
    os.pwrite(fd, b"y" * 4096, 5 * MIB)
    check("data written", ranges(fd), [(0, MIB), (5 * MIB, 5 * MIB + 4096)])
    os.close(fd)
    check("read only", fallocate(os.open("holes", os.O_RDONLY), 0, 0, 1), "EBADF")
