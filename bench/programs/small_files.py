"""Makes or reads files of one size in one directory, one after another; prints how long that took.

    small_files.py write|fsync|read DIR COUNT SIZE

`write` and `fsync` make the directory, before the time begins; `fsync` syncs each file after it was written.
"""
import json
import os
import sys
import time

from blocks import blocks

kind, directory = sys.argv[1:3]
count, size = map(int, sys.argv[3:5])
paths = [f"{directory}/file-{index:07}" for index in range(count)]
if kind != "read":
    os.mkdir(directory)
begin = time.perf_counter()
if kind == "read":
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            assert len(file.read(size + 1)) == size, f"{path} has not {size} bytes"
else:
    for path, content in zip(paths, blocks(count * size, size)):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        assert os.write(descriptor, content) == size, "a short write"
        if kind == "fsync":
            os.fsync(descriptor)
        os.close(descriptor)
print(json.dumps({"seconds": time.perf_counter() - begin}))
