"""Prints how long the first byte of a file takes, from its opening on, once its directory has been listed.

    first_byte.py DIR NAME
"""
import json
import os
import sys
import time

directory, name = sys.argv[1:3]
assert name in os.listdir(directory)
begin = time.perf_counter()
descriptor = os.open(f"{directory}/{name}", os.O_RDONLY)
assert len(os.read(descriptor, 1)) == 1
print(json.dumps({"seconds": time.perf_counter() - begin}))
