"""Writes that are durable when they return, in the current directory: by O_SYNC, O_DSYNC and RWF_DSYNC, through the page cache
and past it. Nothing is synced otherwise. Prints the files' names; each then holds 8192 bytes of the first letter of its name."""
import mmap
import os

BYTES = 8192


def write(name, flags, how=0):
    fd = os.open(name, os.O_CREAT | os.O_RDWR | flags, 0o644)
    # Memory that begins with a page, as O_DIRECT wants it.
    page = mmap.mmap(-1, BYTES)
    page.write(name[0].encode() * BYTES)
    assert os.pwritev(fd, [page], 0, how) == BYTES
    print(name, flush=True)


write("sync", os.O_SYNC)
write("dsync", os.O_DSYNC)
write("rwf", 0, os.RWF_DSYNC)
write("rwf_sync", 0, os.RWF_SYNC)
write("Sync_direct", os.O_SYNC | os.O_DIRECT)
write("Dsync_direct", os.O_DSYNC | os.O_DIRECT)
write("Rwf_direct", os.O_DIRECT, os.RWF_DSYNC)
