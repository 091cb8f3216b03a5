"""Reads files of SIZE bytes each in reads of 1 MiB, all at once with a thread each; prints how long that took.

    read_files.py SIZE FILE...
"""
import json
import os
import sys
import threading
import time

size, paths = int(sys.argv[1]), sys.argv[2:]
seen = []


def read(path):
    buffer = bytearray(1 << 20)
    descriptor = os.open(path, os.O_RDONLY)
    total = 0
    while count := os.readv(descriptor, [buffer]):
        total += count
    os.close(descriptor)
    seen.append(total)


threads = [threading.Thread(target=read, args=(path,)) for path in paths]
begin = time.perf_counter()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
seconds = time.perf_counter() - begin
assert seen == [size] * len(paths), f"{seen} bytes in place of {size} each"
print(json.dumps({"seconds": seconds}))
