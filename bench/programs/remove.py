"""Runs `rm -rfv DIR`, and prints how long it took, and how fast the first and the last of N files went.

    remove.py DIR N
"""
import json
import os
import subprocess
import sys
import time

directory, entries = sys.argv[1], int(sys.argv[2])
part = max(1, min(10_000, entries // 4))
begin = time.perf_counter()
rm = subprocess.Popen(["rm", "-rfv", directory], stdout=subprocess.PIPE)
# What rm writes at a time is some dozens of lines.
counts, times = [], []
while chunk := os.read(rm.stdout.fileno(), 1 << 16):
    counts.append((counts[-1] if counts else 0) + chunk.count(b"\n"))
    times.append(time.perf_counter())
assert rm.wait() == 0, f"rm ended with {rm.returncode}"
end = time.perf_counter()
# With the directory itself.
assert counts[-1] == entries + 1, f"{counts[-1]} lines in place of {entries + 1}"


def rate(first: int, last: int) -> float:
    return (counts[last] - counts[first]) / (times[last] - times[first])


result = {"seconds": end - begin}
early = next(index for index, count in enumerate(counts) if count >= part)
late = next(index for index, count in enumerate(counts) if count > entries - part)
# Of few files rm writes too seldom.
if early > 0 and late < len(counts) - 1:
    result |= {"firstPerSec": rate(0, early), "lastPerSec": rate(late, len(counts) - 1)}
print(json.dumps(result))
