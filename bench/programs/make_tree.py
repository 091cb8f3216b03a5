"""Makes the tar of a tree like a source tree's, always the same: FILES files, a directory for each ten, whose sizes have a
median of 3 KiB and a mean of about 11, with a few of 500. Prints how many bytes the files have.

    make_tree.py TAR FILES
"""
import io
import json
import math
import random
import sys
import tarfile

MEDIAN, SPREAD, MOST = 3 << 10, math.sqrt(2 * math.log(11 / 3)), 600 << 10
NESTED = 4
WORDS = "assert buffer const describe export function inode journal key length return segment table value write".split()

path, files = sys.argv[1], int(sys.argv[2])
source = random.Random(1)
text = " ".join(source.choice(WORDS) + source.choice(["", "(", ")\n", " =", str(source.random())]) for _ in range(1 << 18))
pool = text.encode()
assert len(pool) > 2 * MOST
directories = max(1, files // 10)
total = 0


def add(tar, name, content=None):
    entry = tarfile.TarInfo(name)
    entry.mtime = 1_700_000_000
    if content is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def add_directory(tar, index, name):
    """With all below it: directory i holds the directories 4i + 1 to 4i + 4."""
    global total
    add(tar, name)
    for file in range(index, files, directories):
        size = min(MOST, round(source.lognormvariate(math.log(MEDIAN), SPREAD)))
        begin = source.randrange(len(pool) - size)
        add(tar, f"{name}/source{file:05}.ts", pool[begin : begin + size])
        total += size
    for below in range(index * NESTED + 1, min(index * NESTED + NESTED + 1, directories)):
        add_directory(tar, below, f"{name}/part{below:04}")


with tarfile.open(path, "w") as tar:
    add_directory(tar, 0, "tree")
print(json.dumps({"bytes": total}))
