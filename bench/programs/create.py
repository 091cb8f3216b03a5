"""Makes a directory and N empty files in it; prints how long that took, and how fast the first and the last were made.

    create.py DIR N
"""
import json
import os
import sys
import time

directory, entries = sys.argv[1], int(sys.argv[2])
part = max(1, min(10_000, entries // 4))
os.mkdir(directory)
begin = time.perf_counter()
times = [begin]
for index in range(entries):
    os.close(os.open(f"{directory}/file-{index:07}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    if index + 1 in (part, entries - part, entries):
        times.append(time.perf_counter())
print(
    json.dumps(
        {
            "seconds": times[-1] - begin,
            "firstPerSec": part / (times[1] - begin),
            "lastPerSec": part / (times[-1] - times[-2]),
        }
    )
)
