"""The system calls that sequences are made of, and a process that makes them.

A call is a list [name, argument...] of plain JSON values. `Actor` makes calls in one process: its open files are numbered
slots, its paths are relative to the root it was given. What it answers is JSON too, and says nothing that differs between
filesystems that behave alike: no inode numbers, no sizes of directories.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
SLOTS = 4


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def seen(status):
    """What of stat(2) must be alike."""
    kind = stat.S_IFMT(status.st_mode)
    size = None if kind == stat.S_IFDIR else status.st_size
    return [oct(status.st_mode), status.st_nlink, status.st_uid, status.st_gid, size, status.st_rdev]


def pattern(fill, length):
    """Bytes that say where they were written from."""
    return bytes((fill * 37 + index * 7 + (index >> 8)) & 255 for index in range(256)) * (length // 256) + bytes(
        [fill & 255] * (length % 256)
    )


class Actor:
    """Makes calls; the process has changed into the root."""

    def __init__(self):
        self.slots = {}

    def make(self, call):
        name, *arguments = call
        try:
            result = getattr(self, name)(*arguments)
            return ["ok", result]
        except OSError as error:
            return [errno.errorcode.get(error.errno, str(error.errno))]

    def fd(self, slot):
        if slot not in self.slots:
            raise OSError(errno.EBADF, "no such slot")
        return self.slots[slot]

    # Open files.

    def open(self, slot, path, flags, mode):
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, mode)
        if slot in self.slots:
            os.close(self.slots[slot])
        self.slots[slot] = descriptor

    def tmpfile(self, slot, directory, mode):
        self.open(slot, directory, os.O_TMPFILE | os.O_RDWR, mode)

    def close(self, slot):
        os.close(self.slots.pop(slot) if slot in self.slots else 9999)

    def read(self, slot, length):
        return os.read(self.fd(slot), length).hex()

    def pread(self, slot, length, offset):
        return os.pread(self.fd(slot), length, offset).hex()

    def write(self, slot, fill, length):
        return os.write(self.fd(slot), pattern(fill, length))

    def pwrite(self, slot, fill, length, offset):
        return os.pwrite(self.fd(slot), pattern(fill, length), offset)

    def lseek(self, slot, offset, whence):
        # What offsets of directories mean is each filesystem's own affair.
        if not stat.S_ISREG(os.fstat(self.fd(slot)).st_mode):
            raise OSError(errno.ESPIPE, "no regular file")
        return os.lseek(self.fd(slot), offset, whence)

    def ftruncate(self, slot, length):
        os.ftruncate(self.fd(slot), length)

    def fstat(self, slot):
        return seen(os.fstat(self.fd(slot)))

    def fchmod(self, slot, mode):
        os.fchmod(self.fd(slot), mode)

    def fsync(self, slot):
        os.fsync(self.fd(slot))

    def fallocate(self, slot, mode, offset, length):
        arguments = (ctypes.c_long(offset), ctypes.c_long(length))
        checked(LIBC.fallocate(self.fd(slot), mode, *arguments))

    def copy(self, source, target, length, from_offset, to_offset):
        return os.copy_file_range(self.fd(source), self.fd(target), length, from_offset, to_offset)

    def mapped(self, slot, fill, offset, length):
        """Writes through a shared mapping, inside the file."""
        descriptor = self.fd(slot)
        size = os.fstat(descriptor).st_size
        if offset + length > size or length == 0:
            raise OSError(errno.ERANGE, "past the end")
        with mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as area:
            before = area[offset : offset + length].hex()
            area[offset : offset + length] = pattern(fill, length)
            area.flush()
            return before

    def link_open(self, slot, path):
        checked(LIBC.linkat(AT_FDCWD, f"/proc/self/fd/{self.fd(slot)}".encode(), AT_FDCWD, path.encode(), 0x400))

    def flock(self, slot, how):
        fcntl.flock(self.fd(slot), how | fcntl.LOCK_NB)

    def lock(self, slot, how, start, length):
        fcntl.lockf(self.fd(slot), how if how == fcntl.LOCK_UN else how | fcntl.LOCK_NB, length, start)

    # Names.

    def mkdir(self, path, mode):
        os.mkdir(path, mode)

    def rmdir(self, path):
        os.rmdir(path)

    def unlink(self, path):
        os.unlink(path)

    def link(self, old, new):
        os.link(old, new, follow_symlinks=False)

    def symlink(self, target, path):
        os.symlink(target, path)

    def readlink(self, path):
        return os.readlink(path)

    def rename(self, old, new, flags):
        checked(LIBC.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags))

    def mknod(self, path, mode, device):
        os.mknod(path, mode, device)

    def listdir(self, path):
        return sorted(os.listdir(path))

    # Inodes by name.

    def stat(self, path):
        return seen(os.stat(path))

    def lstat(self, path):
        return seen(os.lstat(path))

    def access(self, path, mode):
        return os.access(path, mode, effective_ids=True)

    def truncate(self, path, length):
        os.truncate(path, length)

    def chmod(self, path, mode):
        os.chmod(path, mode)

    def chown(self, path, uid, gid):
        os.chown(path, uid, gid, follow_symlinks=False)

    def utime(self, path, atime, mtime):
        os.utime(path, (atime, mtime), follow_symlinks=False)

    def touch(self, path):
        os.utime(path, None)

    # Extended attributes.

    def setxattr(self, path, name, length, fill, flags):
        os.setxattr(path, name, pattern(fill, length), flags, follow_symlinks=False)

    def getxattr(self, path, name):
        return os.getxattr(path, name, follow_symlinks=False).hex()

    def listxattr(self, path):
        return sorted(os.listxattr(path, follow_symlinks=False))

    def setacl(self, path, kind, entries):
        """Entries are [tag, permissions, id], as <linux/posix_acl_xattr.h> has them."""
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        os.setxattr(path, f"system.posix_acl_{kind}", value, follow_symlinks=False)

    def getacl(self, path, kind):
        return os.getxattr(path, f"system.posix_acl_{kind}", follow_symlinks=False).hex()

    def removexattr(self, path, name):
        os.removexattr(path, name, follow_symlinks=False)


class Observer:
    """Looks at a whole tree, after each call, from a process of its own."""

    def __init__(self):
        self.times = {}

    def look(self, what):
        """What there is by path: `attributes`, and whether mtime and ctime have changed since the last look; `contents`, and
        xattrs; `all`: how much is stored of regular files, and whether there is anything but zeros. (Of what is not durable
        yet the mount can only estimate that.)"""
        found = {}
        times = {}
        self.usage = {}
        self.walk(".", found, times, what)
        for path, now in times.items():
            before = self.times.get(path)
            # A name may have come to lead to another inode.
            same = before is not None and before[0] == now[0]
            found[path] += [[before[i] != now[i] for i in (1, 2)] if same else "new"]
        self.times = times
        return {"tree": found, "usage": self.usage}

    def walk(self, path, found, times, what):
        with_contents = what != "attributes"
        status = os.lstat(path)
        entry = seen(status)
        if stat.S_ISREG(status.st_mode) and with_contents:
            with open(path, "rb") as file:
                content = file.read()
            if what == "all":
                self.usage[path] = [status.st_blocks, content.count(0) < len(content)]
            entry.append(digest(content))
        elif stat.S_ISLNK(status.st_mode):
            entry.append(os.readlink(path))
        if with_contents and not stat.S_ISLNK(status.st_mode):
            entry.append({name: digest(os.getxattr(path, name)) for name in sorted(os.listxattr(path))})
        # Times that were set are the same on both; times that are now are not.
        entry.append(status.st_mtime_ns if status.st_mtime < 1_500_000_000 else "now")
        found[path] = entry
        # What goes through a FIFO never reaches a FUSE filesystem.
        is_fifo = stat.S_ISFIFO(status.st_mode)
        times[path] = (status.st_ino, *((0, 0) if is_fifo else (status.st_mtime_ns, status.st_ctime_ns)))
        if stat.S_ISDIR(status.st_mode):
            for name in sorted(os.listdir(path)):
                self.walk(f"{path}/{name}", found, times, what)


def digest(content):
    """Short where it is short, so that a difference can be read."""
    if len(content) <= 32:
        return content.hex()
    import hashlib

    return f"{len(content)}:{hashlib.sha1(content).hexdigest()}"
