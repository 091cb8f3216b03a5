"""renameat2(2) in the current directory, which is empty. Prints what is wrong; leaves `end` as it prints nothing."""
import ctypes
import errno
import os
import stat

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


def rename(old, new, flags):
    """0, or an errno's name."""
    result = libc.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags)
    return 0 if result == 0 else errno.errorcode[ctypes.get_errno()]


def check(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r}, not {wanted!r}")


def write(name, text):
    with open(name, "w") as file:
        file.write(text)


def read(name):
    with open(name) as file:
        return file.read()


os.makedirs("a/sub/deep")
os.mkdir("b")
write("a/one", "one")
write("b/two", "two")
check("exchange of files", rename("a/one", "b/two", EXCHANGE), 0)
check("what they hold", (read("a/one"), read("b/two")), ("two", "one"))
inodes = os.stat("a/sub").st_ino, os.stat("b/two").st_ino
check("exchange of a directory and a file", rename("a/sub", "b/two", EXCHANGE), 0)
check("inodes", (os.stat("b/two").st_ino, os.stat("a/sub").st_ino), inodes)
check("links", (os.stat("a").st_nlink, os.stat("b").st_nlink), (2, 3))
check("..", os.stat("b/two/..").st_ino, os.stat("b").st_ino)
check("within", os.listdir("b/two"), ["deep"])
check("a loop", rename("b", "b/two/deep", EXCHANGE), "EINVAL")
check("a loop the other way", rename("b/two/deep", "b", EXCHANGE), "EINVAL")
check("with itself", rename("a/one", "a/one", EXCHANGE), 0)
check("without the other", rename("a/one", "none", EXCHANGE), "ENOENT")
check("two flags", rename("a/one", "a/sub", EXCHANGE | NOREPLACE), "EINVAL")
check("an unknown flag", rename("a/one", "a/sub", 8), "EINVAL")
check("no replacing", rename("a/one", "a/sub", NOREPLACE), "EEXIST")
# A file that is open is the same file under its new name.
with open("a/one", "r+") as file:
    rename("a/one", "a/sub", EXCHANGE)
    file.write("TWO")
check("an open one", (read("a/sub"), read("a/one")), ("TWO", "one"))
os.link("a/one", "b/link")
check("hard links of one file", rename("a/one", "b/link", EXCHANGE), 0)
check("a hard link", rename("b/link", "a/sub", EXCHANGE), 0)
check("a hard link's names", (read("a/one"), read("a/sub"), read("b/link")), ("one", "one", "TWO"))

check("whiteout", rename("a/one", "b/moved", WHITEOUT), 0)
status = os.stat("a/one")
check("in its place", (stat.S_ISCHR(status.st_mode), status.st_rdev, status.st_size), (True, 0, 0))
check("what moved", read("b/moved"), "one")
check("whiteout over a name", rename("b/moved", "a/one", WHITEOUT | NOREPLACE), "EEXIST")
check("whiteout of a directory", rename("b/two", "c", WHITEOUT), 0)
check("in the directory's place", (stat.S_ISCHR(os.stat("b/two").st_mode), os.stat("b").st_nlink), (True, 2))
check("names", (sorted(os.listdir("a")), sorted(os.listdir("b"))), (["one", "sub"], ["link", "moved", "two"]))
