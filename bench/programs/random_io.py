"""Random reads or writes of 4 KiB by fio; prints how many a second there were, in all and in each second of the run, and
for writes how long the fsync at the end took.

    random_io.py read|write FILE SIZE JOBS SECONDS
"""
import collections
import glob
import json
import os
import subprocess
import sys
import tempfile

kind, path = sys.argv[1:3]
size, jobs, seconds = map(int, sys.argv[3:6])
assert os.stat(path).st_size == size, f"{path} has not {size} bytes"
with tempfile.TemporaryDirectory() as folder:
    log = f"{folder}/log"
    arguments = [
        *["fio", "--name=random", f"--filename={path}", f"--rw=rand{kind}", f"--size={size}", "--bs=4k"],
        *["--ioengine=psync", f"--numjobs={jobs}", "--thread", "--group_reporting", "--norandommap"],
        *["--randseed=1", "--allow_file_create=0", "--time_based", f"--runtime={seconds}"],
        *[f"--write_iops_log={log}", "--log_avg_msec=1000", "--output-format=json"],
        # It counts in the time that fio tells, as work does that ends late.
        *(["--end_fsync=1"] if kind == "write" else []),
    ]
    fio = subprocess.run(arguments, stdout=subprocess.PIPE, text=True)
    assert fio.returncode == 0, f"fio ended with {fio.returncode}: {fio.stdout[-500:]}"
    each = collections.Counter()
    for name in glob.glob(f"{log}_iops*.log"):
        with open(name) as lines:
            # The time in milliseconds at the end of an interval, and what there was in it.
            for line in lines:
                ended, count = line.split(",")[:2]
                each[max(0, round(int(ended) / 1000) - 1)] += int(count)
# What comes before it may be warnings.
(job,) = json.loads(fio.stdout[fio.stdout.index("{") :])["jobs"]
assert job["error"] == 0, f"fio met error {job['error']}"
done = job[kind]
ran = done["runtime"] / 1000
working = min(ran, seconds) if kind == "write" else ran
# fio leaves out the last interval, which ends with the run.
before = [each[at] for at in range(seconds - 1)]
each_sec = [*before, max(0, done["total_ios"] - sum(before))]
result = {"seconds": ran, "perSec": done["total_ios"] / working, "eachSec": each_sec}
if kind == "write":
    result["syncSec"] = ran - working
print(json.dumps(result))
