"""Checks what a crash left of unpacker.py's work; prints one line of JSON: {"last": N, "problems": [...]}.

    verify_unpacked.py FOLDER SEED LOG

The names must be those of files 1..N in their order, N no less than the last one logged; every logged file has its
bytes; every other one a prefix of its bytes; one renamed over another the whole of its own bytes, or it still is the old.
"""
import hashlib
import json
import os
import sys

from unpacker import content, path_of


def main() -> None:
    folder, seed, log_path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    problems = []
    found = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    logged = {}
    if os.path.exists(log_path):
        with open(log_path) as lines:
            for line in lines:
                number, path, digest = line.split()
                logged[int(number)] = (path, digest)
    last = max((int(path[-6:]) for path in found if not path.endswith(".new")), default=0)
    for number in range(1, last + 1):
        data = found.pop(path_of(number), None)
        if data is None:
            problems.append(f"file {number} is missing, {last} is there")
            continue
        wanted = content(seed, number)
        if number % 70 == 0:
            if number != last and data != wanted:
                problems.append(f"file {number} was renamed into place, but has {len(data)} of {len(wanted)} bytes")
            if number == last and data not in (wanted, b"old", b""):
                problems.append(f"file {number} is neither old nor new")
        elif wanted[:len(data)] != data:
            problems.append(f"file {number} has wrong bytes")
        if number in logged and hashlib.sha256(data).hexdigest() != logged[number][1]:
            problems.append(f"file {number} was fsynced, but has {len(data)} of {len(wanted)} bytes")
    for number in logged:
        if number > last:
            problems.append(f"file {number} was fsynced, but is gone")
    for path in found:
        if path != path_of(last) + ".new":
            problems.append(f"{path} should not be there")
    print(json.dumps({"last": last, "problems": problems}))


if __name__ == "__main__":
    main()
