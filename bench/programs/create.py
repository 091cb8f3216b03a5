"""Makes a directory and N empty files in it; prints how long that took, and how fast the first and the last were made, and
each ten thousand.

    create.py DIR N
"""
import json
import os
import sys
import time

directory, entries = sys.argv[1], int(sys.argv[2])
part = max(1, min(10_000, entries // 4))
os.mkdir(directory)
times = [time.perf_counter()]
for index in range(entries):
    os.close(os.open(f"{directory}/file-{index:07}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    if (index + 1) % part == 0:
        times.append(time.perf_counter())
rates = [part / (end - begin) for begin, end in zip(times, times[1:])]
print(
    json.dumps(
        {
            "seconds": time.perf_counter() - times[0],
            "firstPerSec": rates[0],
            "lastPerSec": rates[-1],
            "partsPerSec": rates,
        }
    )
)
