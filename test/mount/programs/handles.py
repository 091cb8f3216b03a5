"""File handles (name_to_handle_at, open_by_handle_at), as an NFS server uses them. `take` prints the handles of paths in the
current directory, `use` opens those it reads and prints what it found: a path and inode, or an errno's name."""
import base64
import ctypes
import errno
import os
import sys

AT_FDCWD, AT_EMPTY_PATH, MAX_BYTES = -100, 0x1000, 128
libc = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_char * MAX_BYTES)]


def take(path):
    handle = Handle(bytes=MAX_BYTES)
    mount = ctypes.c_int()
    if libc.name_to_handle_at(AT_FDCWD, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0) != 0:
        raise OSError(ctypes.get_errno(), path)
    raw = bytes(ctypes.string_at(ctypes.addressof(handle), 8 + handle.bytes))
    return base64.b64encode(raw).decode()


def use(text, root):
    raw = base64.b64decode(text)
    handle = Handle()
    ctypes.memmove(ctypes.addressof(handle), raw, len(raw))
    fd = libc.open_by_handle_at(root, ctypes.byref(handle), os.O_PATH)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    try:
        return f"{os.readlink(f'/proc/self/fd/{fd}').removeprefix(os.getcwd())} {os.fstat(fd).st_ino}"
    finally:
        os.close(fd)


if sys.argv[1] == "take":
    for path in sys.argv[2:]:
        print(path, take(path))
else:
    root = os.open(".", os.O_RDONLY)
    for line in sys.stdin:
        path, text = line.split()
        found = use(text, root)
        # Of a file found by its inode alone the kernel does not know the name.
        print(path, found.split()[-1])
