"""Files without a name (O_TMPFILE), in the current directory. Prints what is wrong. Leaves `published`, with b"complete"."""
import errno
import os


def check(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r}, not {wanted!r}")


def link(fd, name):
    """0, or an errno's name."""
    try:
        # With a directory's descriptor Python calls linkat, with AT_SYMLINK_FOLLOW.
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=here)
        return 0
    except OSError as error:
        return errno.errorcode[error.errno]


here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
os.umask(0o022)
before = os.listdir(".")
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666)
os.write(fd, b"complete")
os.fsync(fd)
status = os.fstat(fd)
check("before it has a name", (status.st_nlink, status.st_size, oct(status.st_mode)), (0, 8, "0o100644"))
check("names", os.listdir("."), before)
check("link", link(fd, "published"), 0)
check("with a name", (os.fstat(fd).st_nlink, os.stat("published").st_ino), (1, status.st_ino))
check("what it holds", open("published", "rb").read(), b"complete")
check("link again", (link(fd, "again"), os.fstat(fd).st_nlink), (0, 2))
check("link over a name", link(fd, "published"), "EEXIST")
os.unlink("again")
os.close(fd)

exclusive = os.open(".", os.O_TMPFILE | os.O_EXCL | os.O_RDWR, 0o600)
check("link of an exclusive one", link(exclusive, "exclusive"), "ENOENT")
os.write(exclusive, b"x" * 100_000)
os.lseek(exclusive, 0, os.SEEK_SET)
check("what it holds", len(os.read(exclusive, 200_000)), 100_000)
os.close(exclusive)

empty = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600)
os.fchmod(empty, 0o640)
check("link of an empty one", link(empty, "empty"), 0)
status = os.stat("empty")
check("the empty one", (status.st_size, oct(status.st_mode)), (0, "0o100640"))
os.unlink("empty")
