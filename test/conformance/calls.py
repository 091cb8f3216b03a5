"""System calls that Python's os lacks, by glibc. Each raises OSError as those of os do.

Must stay true: paths are bytes or text as given to os functions, and nothing is normalised on the way to the kernel.
"""
import ctypes
import fcntl
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
AT_EACCESS = 0x200
AT_STATX_FORCE_SYNC = 0x2000

RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_INSERT_RANGE = 8, 16, 32

O_TMPFILE = os.O_TMPFILE
O_PATH = os.O_PATH

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_IOC_FSGETXATTR = 0x801C581F
FS_SYNC_FL, FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL, FS_NOATIME_FL = 0x8, 0x10, 0x20, 0x40, 0x80
FS_CASEFOLD_FL = 0x40000000

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38

LONG, INT, PTR, SIZE, PATH = ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
OFF = ctypes.c_int64


def function(name, *types, result=INT):
    """A function of libc's that returns -1 and sets errno where it fails."""
    call = getattr(libc, name)
    call.argtypes, call.restype = types, result

    def checked(*arguments):
        value = call(*(os.fsencode(each) if isinstance(each, str) else each for each in arguments))
        if value == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return value

    return checked


renameat2 = function('renameat2', INT, PATH, INT, PATH, ctypes.c_uint)
linkat = function('linkat', INT, PATH, INT, PATH, INT)
unlinkat = function('unlinkat', INT, PATH, INT)
symlinkat = function('symlinkat', PATH, INT, PATH)
mknodat = function('mknodat', INT, PATH, ctypes.c_uint, ctypes.c_ulong)
faccessat = function('faccessat', INT, PATH, INT, INT)
fallocate = function('fallocate', INT, INT, OFF, OFF)
posix_fallocate_number = libc.posix_fallocate
posix_fallocate_number.argtypes = (INT, OFF, OFF)
creat = function('creat', PATH, ctypes.c_uint)
open_ = function('open', PATH, INT, ctypes.c_uint)
lseek = function('lseek', INT, OFF, INT, result=OFF)
pread = function('pread', INT, PTR, SIZE, OFF, result=LONG)
pwrite = function('pwrite', INT, PTR, SIZE, OFF, result=LONG)
read = function('read', INT, PTR, SIZE, result=LONG)
write = function('write', INT, PTR, SIZE, result=LONG)
utimensat_raw = function('utimensat', INT, PATH, PTR, INT)
futimens_raw = function('futimens', INT, PTR)
copy_file_range = function('copy_file_range', INT, PTR, INT, PTR, SIZE, ctypes.c_uint, result=LONG)
sync_file_range = function('sync_file_range', INT, OFF, OFF, ctypes.c_uint)
fchownat = function('fchownat', INT, PATH, ctypes.c_uint, ctypes.c_uint, INT)
mount = function('mount', PATH, PATH, PATH, ctypes.c_ulong, PTR)
unshare = function('unshare', INT)
renameat = function('renameat', INT, PATH, INT, PATH)
statx_raw = function('statx', INT, PATH, INT, ctypes.c_uint, PTR)
readlinkat_raw = function('readlinkat', INT, PATH, PTR, SIZE, result=LONG)
getdents64_raw = function('getdents64', INT, PTR, SIZE, result=LONG)
name_to_handle_at_raw = function('name_to_handle_at', INT, PATH, PTR, PTR, INT)
open_by_handle_at_raw = function('open_by_handle_at', INT, PTR, INT)
mmap_raw = function('mmap', PTR, SIZE, INT, INT, INT, OFF, result=ctypes.c_ssize_t)
mlock = function('mlock', PTR, SIZE)

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def utimensat(directory, path, times, flags=0):
    """`times`: None, or (seconds, nanoseconds) of the access and of the modification."""
    packed = None if times is None else struct.pack('qqqq', *times[0], *times[1])
    return utimensat_raw(directory, path, packed, flags)


def futimens(fd, times):
    return futimens_raw(fd, None if times is None else struct.pack('qqqq', *times[0], *times[1]))


STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID = 0x7FF, 0x800, 0x1000


class Statx:
    """struct statx, as far as it is looked at."""

    def __init__(self, data):
        self.mask, self.blksize, self.attributes, self.nlink, self.uid, self.gid, self.mode = struct.unpack_from(
            'IIQIIIH', data, 0
        )
        self.ino, self.size, self.blocks, self.attributes_mask = struct.unpack_from('QQQQ', data, 32)
        self.atime, self.btime, self.ctime, self.mtime = (
            struct.unpack_from('qI', data, at) for at in (64, 80, 96, 112)
        )
        self.rdev = struct.unpack_from('II', data, 128)
        self.dev = struct.unpack_from('II', data, 136)


def statx(directory, path, flags=0, mask=STATX_BASIC_STATS | STATX_BTIME):
    buffer = ctypes.create_string_buffer(256)
    statx_raw(directory, path, flags, mask, buffer)
    return Statx(buffer.raw)


def getdents(fd, size=32768):
    """The next entries: (ino, offset, type, name)."""
    buffer = ctypes.create_string_buffer(size)
    length = getdents64_raw(fd, buffer, size)
    data, at, entries = buffer.raw[:length], 0, []
    while at < length:
        ino, offset, reclen, kind = struct.unpack_from('QqHB', data, at)
        name = data[at + 19 : at + reclen].split(b'\0', 1)[0]
        entries.append((ino, offset, kind, os.fsdecode(name)))
        at += reclen
    return entries


class Statfs:
    """struct statfs of 64-bit Linux."""

    def __init__(self, data):
        self.type, self.bsize, self.blocks, self.bfree, self.bavail, self.files, self.ffree = struct.unpack_from(
            'qqQQQQQ', data, 0
        )
        self.fsid = struct.unpack_from('ii', data, 56)
        self.namelen, self.frsize, self.flags = struct.unpack_from('qqq', data, 64)


def _statfs(name, kind):
    call = function(name, kind, PTR)

    def asked(what):
        buffer = ctypes.create_string_buffer(256)
        call(what, buffer)
        return Statfs(buffer.raw)

    return asked


statfs, fstatfs = _statfs('statfs', PATH), _statfs('fstatfs', INT)


def name_to_handle_at(directory, path, flags=0):
    """(type, bytes) of the handle."""
    buffer = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 8 + 128)
    mount_id = INT()
    name_to_handle_at_raw(directory, path, buffer, ctypes.byref(mount_id), flags)
    length, kind = struct.unpack_from('Ii', buffer.raw, 0)
    return kind, buffer.raw[8 : 8 + length]


def open_by_handle_at(mount_fd, handle, flags):
    kind, data = handle
    return open_by_handle_at_raw(mount_fd, struct.pack('Ii', len(data), kind) + data, flags)


def get_flags(path):
    """As lsattr does."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return struct.unpack('i', fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8))[:4])[0]
    finally:
        os.close(fd)


def set_flags(path, flags):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack('q', flags))
    finally:
        os.close(fd)


def drop_flags(folder):
    """Lets everything in it be removed: takes FS_IMMUTABLE_FL and FS_APPEND_FL away."""
    for path, _, files in os.walk(folder):
        for each in [path, *(os.path.join(path, name) for name in files)]:
            if os.path.islink(each) or not (os.path.isfile(each) or os.path.isdir(each)):
                continue
            try:
                flags = get_flags(each)
                if flags & (FS_IMMUTABLE_FL | FS_APPEND_FL):
                    set_flags(each, flags & ~(FS_IMMUTABLE_FL | FS_APPEND_FL))
            except OSError:
                pass  # Has none.


def flock_struct(kind, start=0, length=0, whence=os.SEEK_SET, pid=0):
    """struct flock of 64-bit Linux."""
    return struct.pack('hhqqi4x', kind, whence, start, length, pid)


def lock_conflict(fd, kind, start=0, length=0, command=fcntl.F_GETLK):
    """The lock that forbids this one: (type, start, length, pid), or None."""
    answer = fcntl.fcntl(fd, command, flock_struct(kind, start, length))
    found, _, start, length, pid = struct.unpack('hhqqi4x', answer)
    return None if found == fcntl.F_UNLCK else (found, start, length, pid)


CLONE_NEWNS, MS_RDONLY, MS_BIND, MS_REMOUNT, MS_REC, MS_PRIVATE = 0x20000, 1, 4096, 32, 16384, 1 << 18


def private_mounts():
    """What is mounted from here on is seen by this process alone, and goes with it."""
    unshare(CLONE_NEWNS)
    mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None)


def read_only(folder):
    """Makes a directory read-only for this process, which sees it as a mount of its own."""
    private_mounts()
    mount(folder, folder, None, MS_BIND, None)
    mount(b'none', folder, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)
