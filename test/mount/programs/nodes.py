"""Special files in the current directory, as root: made, used, and (with `again`) as they were. Prints what is wrong."""
import os
import socket
import stat
import sys

NODES = {
    "fifo": (stat.S_IFIFO | 0o640, 0),
    "node_socket": (stat.S_IFSOCK | 0o600, 0),
    "null": (stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "char": (stat.S_IFCHR | 0o600, os.makedev(4095, 1048575)),
    "block": (stat.S_IFBLK | 0o660, os.makedev(259, 65537)),
    "regular": (stat.S_IFREG | 0o4711, 0),
}


def check(what, found, wanted):
    if found != wanted:
        print(f"{what}: {found!r}, not {wanted!r}", flush=True)


if sys.argv[1:] != ["again"]:
    os.umask(0)
    for name, (mode, device) in NODES.items():
        os.mknod(name, mode, device)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen()
for name, (mode, device) in NODES.items():
    status = os.lstat(name)
    found = (oct(status.st_mode), status.st_rdev, status.st_nlink, status.st_size)
    check(name, found, (oct(mode), device, 1, 0))
check("socket", stat.S_ISSOCK(os.stat("socket").st_mode), True)
types = {entry.name: entry.stat().st_mode for entry in os.scandir(".")}
check("listed", {name: types[name] for name in NODES}, {name: mode for name, (mode, _) in NODES.items()})

child = os.fork()
if child == 0:
    with open("fifo", "w") as fifo:
        fifo.write("through")
    if sys.argv[1:] != ["again"]:
        client = socket.socket(socket.AF_UNIX)
        client.connect("socket")
        client.sendall(b"connected")
    os._exit(0)
check("the fifo", open("fifo").read(), "through")
if sys.argv[1:] != ["again"]:
    check("the socket", server.accept()[0].recv(100), b"connected")
os.waitpid(child, 0)
with open("null", "r+b", buffering=0) as null:
    check("the device", (null.write(b"gone"), null.read(1)), (4, b""))
