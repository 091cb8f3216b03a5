"""Prints how long the first entry of a directory takes to arrive, from opening the directory on.

    first_entry.py DIR
"""
import json
import os
import sys
import time

begin = time.perf_counter()
with os.scandir(sys.argv[1]) as entries:
    next(entries)
    print(json.dumps({"seconds": time.perf_counter() - begin}))
