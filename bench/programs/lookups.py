"""Looks names up one after another; prints the mean time of one.

    lookups.py there|missing DIR FIRST COUNT

The names are file-FIRST and on, or the same with another ending, which are missing.
"""
import json
import os
import sys
import time

kind, directory, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ending = "" if kind == "there" else ".missing"
paths = [f"{directory}/file-{index:07}{ending}" for index in range(first, first + count)]
found = 0
begin = time.perf_counter()
for path in paths:
    try:
        os.stat(path)
        found += 1
    except FileNotFoundError:
        pass
seconds = (time.perf_counter() - begin) / count
assert found == (count if kind == "there" else 0), f"{found} of {count} found"
print(json.dumps({"seconds": seconds}))
