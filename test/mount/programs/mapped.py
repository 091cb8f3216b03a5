"""Changes every page of a mapped file `mapped` in the current directory, and syncs nothing. Arguments: how many pages, and a folder
in which it makes `changed` and waits for `stop`."""
import mmap
import os
import sys
import time

pages, folder = int(sys.argv[1]), sys.argv[2]
fd = os.open("mapped", os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, pages * 4096)
mapped = mmap.mmap(fd, pages * 4096)
for page in range(pages):
    mapped[page * 4096] = 65
open(f"{folder}/changed", "w").close()
while not os.path.exists(f"{folder}/stop"):
    time.sleep(0.05)
os._exit(0)
