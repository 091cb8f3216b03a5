"""What several programs see of one file in the current directory: locks, mappings, appending. Prints what is wrong."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct

F_OFD_SETLK = 37
libc = ctypes.CDLL(None, use_errno=True)


def check(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r}, not {wanted!r}", flush=True)


def error(operation, *arguments):
    """None, or an errno's name."""
    try:
        operation(*arguments)
        return None
    except OSError as error:
        return errno.errorcode[error.errno]


def in_child(operation):
    """What it returns there: None or a text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(operation()).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return told.read()


fd = os.open("locked", os.O_CREAT | os.O_RDWR, 0o644)
os.write(fd, b"x" * 100)

# flock(2)
other = lambda how: error(fcntl.flock, os.open("locked", os.O_RDWR), how | fcntl.LOCK_NB)
fcntl.flock(fd, fcntl.LOCK_EX)
check("flock of another", in_child(lambda: other(fcntl.LOCK_SH)), "EAGAIN")
fcntl.flock(fd, fcntl.LOCK_SH)
check("shared flock", in_child(lambda: other(fcntl.LOCK_SH)), "None")
check("exclusive beside shared", in_child(lambda: other(fcntl.LOCK_EX)), "EAGAIN")
fcntl.flock(fd, fcntl.LOCK_UN)
check("flock when free", in_child(lambda: other(fcntl.LOCK_EX)), "None")

# fcntl(2): of a process, by ranges
range_lock = lambda start, length: error(
    fcntl.lockf, os.open("locked", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, length, start
)
fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)
check("the same range", in_child(lambda: range_lock(25, 1)), "EAGAIN")
check("another range", in_child(lambda: range_lock(30, 10)), "None")
os.close(os.open("locked", os.O_RDONLY))
check("closing any descriptor frees it", in_child(lambda: range_lock(20, 10)), "None")

# of an open file description
ofd = lambda of: error(fcntl.fcntl, of, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 50, 0))
second = os.open("locked", os.O_RDWR)
check("OFD lock", ofd(fd), None)
check("OFD lock by another description", ofd(second), "EAGAIN")
os.close(fd)
check("OFD lock when that is closed", ofd(second), None)
os.close(second)

# mmap(2)
fd = os.open("mapped", os.O_CREAT | os.O_RDWR, 0o644)
os.ftruncate(fd, 3 * 4096)
shared = mmap.mmap(fd, 3 * 4096)
private = mmap.mmap(fd, 3 * 4096, flags=mmap.MAP_PRIVATE)
os.pwrite(fd, b"written", 4096)
check("a write in a mapping", (shared[4096:4103], private[4096:4103]), (b"written", b"written"))
shared[0:6] = b"mapped"
check("a mapping in a read", os.pread(fd, 6, 0), b"mapped")
check("a mapping in another process", in_child(lambda: open("mapped", "rb").read(6)), "b'mapped'")
private[0:7] = b"private"
check("a private mapping is nobody else's", (os.pread(fd, 7, 0), shared[0:7]), (b"mapped\0", b"mapped\0"))
shared[8192:8197] = b"end.."
direct = os.open("mapped", os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
os.preadv(direct, [page], 8192)
check("a mapping in a direct read", page[0:5], b"end..")
page[0:5] = b"DIRCT"
os.pwritev(direct, [page], 8192)
check("a direct write in a mapping", (shared[8192:8197], os.pread(fd, 5, 8192)), (b"DIRCT", b"DIRCT"))
os.ftruncate(fd, 4096)
os.ftruncate(fd, 8192)
check("what a truncation cut", shared[4096:4103], bytes(7))
shared[1:7] = b"synced"
shared.flush()
libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
check("sync_file_range", libc.sync_file_range(fd, 0, 0, 7), 0)

# O_APPEND
RECORDS, WRITERS = 1000, 4
children = []
for writer in range(WRITERS):
    child = os.fork()
    if child == 0:
        fd = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        for record in range(RECORDS):
            os.write(fd, f"{writer} {record:>60}\n".encode())
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
seen = {}
for line in open("log"):
    writer, record = line.split()
    check("records in order", int(record), seen.get(writer, -1) + 1)
    seen[writer] = int(record)
check("records", seen, {str(writer): RECORDS - 1 for writer in range(WRITERS)})
