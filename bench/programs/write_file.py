"""Writes files of SIZE bytes each in writes of 1 MiB, one after another, with an fsync of each; prints how long that took.

    write_file.py SIZE FILE...
"""
import json
import os
import sys
import time

from blocks import blocks

size, paths = int(sys.argv[1]), sys.argv[2:]
begin = time.perf_counter()
for path in paths:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    for block in blocks(size, 1 << 20):
        assert os.write(descriptor, block) == len(block), "a short write"
    os.fsync(descriptor)
    os.close(descriptor)
print(json.dumps({"seconds": time.perf_counter() - begin}))
