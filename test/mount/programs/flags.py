"""Immutable and append-only files and directories, in the current directory, as root. Prints what is wrong."""
import errno
import fcntl
import os
import subprocess


def chattr(*arguments):
    return subprocess.run(["chattr", *arguments], capture_output=True, text=True).stderr


def lsattr(path):
    """The letters alone, in order."""
    shown = subprocess.run(["lsattr", "-d", path], capture_output=True, text=True).stdout
    return shown.split()[0].replace("-", "")


def check(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r}, not {wanted!r}")


def error(operation, *arguments):
    """None, or an errno's name."""
    try:
        operation(*arguments)
        return None
    except OSError as error:
        return errno.errorcode[error.errno]


def opening(path, flags):
    os.close(os.open(path, flags))


os.mkdir("d")
for name in ("i", "a", "d/f"):
    with open(name, "w") as file:
        file.write("text")
        file.flush()
check("chattr +i", chattr("+i", "i"), "")
check("chattr +a", chattr("+a", "a"), "")
check("lsattr", (lsattr("i"), lsattr("a"), lsattr("d")), ("i", "a", ""))
check("nodump, noatime", (chattr("+dA", "d/f"), lsattr("d/f")), ("", "dA"))
check("not built", "not supported" in chattr("+c", "d/f"), True)

# The kernel has all of it in its caches.
check("reading", open("i").read(), "text")
for name, appends in (("i", "EPERM"), ("a", None)):
    check(f"{name}: writing", error(opening, name, os.O_WRONLY), "EPERM")
    check(f"{name}: appending", error(opening, name, os.O_WRONLY | os.O_APPEND), appends)
    check(f"{name}: O_TRUNC", error(opening, name, os.O_WRONLY | os.O_APPEND | os.O_TRUNC), "EPERM")
    check(f"{name}: truncate", error(os.truncate, name, 0), "EPERM")
    check(f"{name}: chmod", error(os.chmod, name, 0o600), "EPERM")
    check(f"{name}: touch", error(os.utime, name), appends)
    check(f"{name}: link", error(os.link, name, "x"), "EPERM")
    check(f"{name}: unlink", error(os.unlink, name), "EPERM")
    check(f"{name}: rename", error(os.rename, name, "x"), "EPERM")
    check(f"{name}: rename over it", error(os.rename, "d/f", name), "EPERM")
with open("a", "a") as file:
    file.write("more")
check("what was appended", open("a").read(), "textmore")

log = os.open("a", os.O_WRONLY | os.O_APPEND)
fcntl.fcntl(log, fcntl.F_SETFL, 0)
check("O_APPEND taken away", error(os.pwrite, log, b"over", 0), "EPERM")
check("what is still there", open("a").read(), "textmore")
os.close(log)

check("chattr +i of a directory", chattr("+i", "d"), "")
check("create", error(opening, "d/x", os.O_CREAT | os.O_WRONLY), "EPERM")
check("mkdir", error(os.mkdir, "d/x"), "EPERM")
check("unlink in it", error(os.unlink, "d/f"), "EPERM")
check("rename into it", error(os.rename, "a", "d/a"), "EPERM")
with open("d/f", "w") as file:
    file.write("written")
check("a file in it", open("d/f").read(), "written")
check("append-only", chattr("=a", "d"), "")
check("create then", error(opening, "d/x", os.O_CREAT | os.O_WRONLY), None)
check("unlink then", error(os.unlink, "d/x"), "EPERM")

# Somebody who has it open when it becomes immutable.
check("free", (chattr("-i", "i"), chattr("-a", "a")), ("", ""))
writer = os.open("i", os.O_WRONLY)
check("open before", error(os.write, writer, b"x"), None)
chattr("+i", "i")
check("write", error(os.pwrite, writer, b"y", 0), "EPERM")
check("ftruncate", error(os.ftruncate, writer, 0), "EPERM")
check("fallocate", error(os.posix_fallocate, writer, 0, 100), "EPERM")
chattr("-i", "i")
check("write again", error(os.pwrite, writer, b"z", 0), None)
os.close(writer)
check("what it holds", open("i").read(), "zext")

# Others may not set them.
child = os.fork()
if child == 0:
    os.chown("i", 65534, 65534)
    os.setgid(65534)
    os.setuid(65534)
    check("by its owner", "not permitted" in chattr("+i", "i"), True)
    check("the owner's own", chattr("+d", "i"), "")
    os._exit(0)
os.waitpid(child, 0)
chattr("+i", "a")
