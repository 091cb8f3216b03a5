"""Makes the same random sequences of calls on two filesystems and compares all that can be seen.

    differential.py --reference DIR --mount DIR [--seed N] [--sequences N | --seconds S] [--calls 50] [--without CALL,...]
    differential.py --reference DIR --mount DIR --again     compares what sequences have left, after a remount for example

Each sequence has directories of its own. Its calls come from four processes (two of root, two of other users), one after
the other: what one of them sees of what another did is part of what is compared. After each call an observer looks at the whole
tree. The first difference is reduced to as few calls as show it, printed, and the exit status is 1.
"""
import argparse
import json
import os
import shutil
import stat
import sys
import time
import traceback

from calls import SLOTS, Actor, Observer
from sequences import sequence

ACTORS = [(0, 0), (0, 0), (1000, 1000), (1001, 1000)]
KEPT = "kept"
LOOK_INTO_FILES_EACH = 5


class Process:
    """A child that answers requests, each a JSON line, in a directory."""

    def __init__(self, root, make_handler, uid=0, gid=0):
        request_read, self.request_write = os.pipe()
        self.answer_read, answer_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # The ends of other children's pipes too: each is to see the end of its own.
                low, high = sorted((request_read, answer_write))
                os.closerange(3, low)
                os.closerange(low + 1, high)
                os.closerange(high + 1, 4096)
                os.chdir(root)
                os.umask(0o022)
                if uid != 0:
                    os.setgroups([])
                    os.setgid(gid)
                    os.setuid(uid)
                handle = make_handler()
                with os.fdopen(request_read) as requests, os.fdopen(answer_write, "w") as answers:
                    for line in requests:
                        answers.write(json.dumps(handle(json.loads(line))) + "\n")
                        answers.flush()
            except BaseException:
                traceback.print_exc()
                os._exit(70)
            os._exit(0)
        os.close(request_read)
        os.close(answer_write)
        self.answers = os.fdopen(self.answer_read)
        self.requests = os.fdopen(self.request_write, "w")

    def send(self, request):
        self.requests.write(json.dumps(request) + "\n")
        self.requests.flush()

    def answer(self):
        line = self.answers.readline()
        if not line:
            raise SystemExit("a process that makes calls has ended")
        return json.loads(line)

    def end(self):
        self.requests.close()
        self.answers.close()
        os.waitpid(self.pid, 0)


class Side:
    """One of the two filesystems."""

    def __init__(self, root):
        self.root = root
        os.mkdir(root)
        os.chmod(root, 0o777)
        self.actors = [Process(root, lambda: Actor().make, uid, gid) for uid, gid in ACTORS]
        self.observer = Process(root, lambda: Observer().look)

    def end(self):
        for process in [*self.actors, self.observer]:
            process.end()


def both(sides, pick, request):
    for side in sides:
        pick(side).send(request)
    return [pick(side).answer() for side in sides]


def first_difference(roots, calls):
    """Makes the calls on both; None, or what differs first."""
    sides = []
    try:
        for root in roots:
            sides.append(Side(root))
        both(sides, lambda side: side.observer, "contents")
        for index, (actor, call) in enumerate(calls):
            reference, mount = both(sides, lambda side: side.actors[actor], call)
            if reference != mount:
                return {"at": index, "call": call, "reference": short(reference), "mount": short(mount)}
            looks_inside = (index + 1) % LOOK_INTO_FILES_EACH == 0 or index == len(calls) - 1
            what = "contents" if looks_inside else "attributes"
            reference, mount = both(sides, lambda side: side.observer, what)
            difference = differing(reference, mount)
            if difference is not None:
                return {"at": index, "after": call, **difference}
        return None
    finally:
        for side in sides:
            side.end()


def differing(reference, mount):
    """None where nothing does."""
    trees = reference["tree"], mount["tree"]
    for path in sorted({*trees[0], *trees[1]}):
        ours, theirs = (tree.get(path) for tree in reversed(trees))
        if ours != theirs:
            return {"path": path, "reference": theirs, "mount": ours}
    for path, (blocks, has_data) in mount["usage"].items():
        most = reference["usage"][path][0]
        # Nothing is reserved in a bucket, and blocks have no size: never more is stored, and never nothing of something.
        if blocks > most or (has_data and blocks == 0):
            return {"path": path, "reference": f"{most} blocks", "mount": f"{blocks} blocks"}
    return None


def short(answer):
    text = json.dumps(answer)
    return answer if len(text) <= 300 else f"{text[:200]}... ({len(text)} characters)"


class Comparison:
    def __init__(self, options):
        self.options = options
        self.serial = 0

    def roots(self, name):
        return [os.path.join(where, name) for where in (self.options.reference, self.options.mount)]

    def try_calls(self, calls):
        self.serial += 1
        roots = self.roots(f"try-{os.getpid()}-{self.serial}")
        try:
            return first_difference(roots, calls)
        finally:
            for root in roots:
                shutil.rmtree(root, ignore_errors=True)

    def reduced(self, calls):
        """As few calls as still differ: parts are left out, ever smaller ones."""
        found = self.try_calls(calls)
        if found is None:
            return calls, {"note": "it did not happen again"}
        calls = calls[: found["at"] + 1]
        size = max(1, len(calls) // 2)
        while True:
            at = 0
            while at < len(calls):
                fewer = calls[:at] + calls[at + size :]
                difference = self.try_calls(fewer) if fewer else None
                if difference is None:
                    at += size
                else:
                    calls, found = fewer[: difference["at"] + 1], difference
            if size == 1:
                return calls, found
            size //= 2

    def run(self):
        options = self.options
        without = set(filter(None, options.without.split(",")))
        began = time.monotonic()
        done = calls_made = 0
        while done < options.sequences if options.seconds is None else time.monotonic() - began < options.seconds:
            seed = options.seed + done
            calls = [each for each in sequence(seed, options.calls, len(ACTORS), SLOTS) if each[1][0] not in without]
            roots = self.roots(f"{KEPT}-{seed}")
            difference = first_difference(roots, calls)
            done += 1
            calls_made += len(calls)
            if difference is not None:
                self.report(seed, calls, difference)
                return 1
            if done > options.keep:
                for root in self.roots(f"{KEPT}-{options.seed + done - 1 - options.keep}"):
                    shutil.rmtree(root)
        seconds = time.monotonic() - began
        print(json.dumps({"sequences": done, "calls": calls_made, "seconds": round(seconds, 1), "differences": 0}))
        return 0

    def report(self, seed, calls, difference):
        print(f"seed {seed}: {json.dumps(difference)}", flush=True)
        fewest, found = self.reduced(calls)
        print("the fewest calls that differ, by process:")
        for actor, call in fewest:
            print(f"  {actor} {json.dumps(call)}")
        print(f"what differs: {json.dumps(found)}")

    def compare_again(self):
        """What is there on both, without what has changed since."""
        compared = 0
        for name in sorted(os.listdir(self.options.reference)):
            if not name.startswith(KEPT):
                continue
            looks = [Process(root, lambda: Observer().look) for root in self.roots(name)]
            for look in looks:
                look.send("all")
            reference, mount = [look.answer() for look in looks]
            for look in looks:
                look.end()
            difference = differing(reference, mount)
            if difference is not None:
                print(f"{name}: {json.dumps(difference)}")
                return 1
            compared += len(reference["tree"])
        print(json.dumps({"compared": compared, "differences": 0}))
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True, help="an empty directory of a filesystem that is right, ext4 say")
    parser.add_argument("--mount", required=True, help="an empty directory of the one that is tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--seconds", type=float, help="in place of --sequences")
    parser.add_argument("--calls", type=int, default=50, help="in a sequence")
    parser.add_argument("--keep", type=int, default=5, help="what the last so many sequences made is kept, for --again")
    parser.add_argument("--without", default="", help="calls that are left out")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    for where in (options.reference, options.mount):
        if not stat.S_ISDIR(os.stat(where).st_mode):
            parser.error(f"{where} is no directory")
    comparison = Comparison(options)
    sys.exit(comparison.compare_again() if options.again else comparison.run())


if __name__ == "__main__":
    main()
