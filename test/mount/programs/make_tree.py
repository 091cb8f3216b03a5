"""Makes a source-like tree: FILES files in DIRECTORIES directories, many small and a few large, always the same.

    make_tree.py FOLDER FILES DIRECTORIES     prints {"files": N, "bytes": B}
"""
import json
import os
import random
import sys


def main() -> None:
    folder, files, directories = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(7)
    block = chance.randbytes(1 << 20)
    paths = [folder]
    for number in range(directories - 1):
        parent = chance.choice(paths[-40:])
        paths.append(f"{parent}/dir{number}")
    for path in paths:
        os.makedirs(path, exist_ok=True)
    total = 0
    for number in range(files):
        size = int(chance.lognormvariate(8.3, 1.3)) % 2_000_000
        at = chance.randrange(len(block))
        data = (block[at:] + block)[:size] if size <= len(block) else (block + block)[:size]
        with open(f"{chance.choice(paths)}/file{number}.go", "wb") as file:
            file.write(data)
        total += len(data)
    print(json.dumps({"files": files, "bytes": total}))


if __name__ == "__main__":
    main()
