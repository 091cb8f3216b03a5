#!/usr/bin/env python3
"""Runs cairnfs's conformance suite in a directory of any filesystem: what man pages and POSIX say of its system calls.

    runner.py DIR                          as root: all cases, as root and as the user 1000
    runner.py DIR --call open --case EXCL  those of open whose words have EXCL in them

Each case has an empty directory of its own below DIR, which is removed, and runs in a process of its own with a time limit. At
the end stands a table of what was run, and why what did not apply did not. Ends with 1 where a case failed.

Must stay true: nothing is left out in silence. What cannot hold on a filesystem is listed in exceptions.py with the reason, runs
all the same, and fails where it passes: then the list is wrong.
"""
import argparse
import collections
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import time
import traceback

import exceptions
from calls import AT_FDCWD, AT_STATX_FORCE_SYNC, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, drop_flags, statx
from suite import CASES, GID, ROOT, UID, USER, Difference, NotApplicable, name_of

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_SECONDS = 30
KEPT_BYTES_MAX = 8 << 20
KEPT_PATH_MAX = 2000


def load(calls):
    """All cases, or those of some calls."""
    known = sorted(name[:-3] for name in os.listdir(f'{HERE}/cases') if name.endswith('.py'))
    for call in calls:
        if call not in known:
            sys.exit(f'runner.py: no cases of {call}: there are {" ".join(known)}')
    for call in calls or known:
        importlib.import_module(f'cases.{call}')


def run(case, user, folder):
    """Runs one case in a child. Returns its result, and why."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer = judged(case, user, folder)
        except BaseException:
            answer = ['failed', ' | '.join(traceback.format_exc().splitlines()[-8:])]
        os.write(writing, json.dumps(answer).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # It has done so itself.
    text = b''
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            break
        if not (part := os.read(reading, 65536)):
            break
        text += part
        # What the case has started may hold the pipe open.
        if text.endswith(b']'):
            break
    os.close(reading)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    _, status = os.waitpid(pid, 0)
    if text:
        return json.loads(text)
    if time.monotonic() >= deadline:
        return ['failed', f'has not ended after {LIMIT_SECONDS} s']
    return ['failed', f'ended by signal {os.WTERMSIG(status)}' if os.WIFSIGNALED(status) else 'ended without an answer']


def judged(case, user, folder):
    os.setpgid(0, 0)
    os.umask(0o022)
    # A kill of the runner ends the case, and no signal of the terminal's does.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.chdir(folder)
    os.setgroups([])
    if user == USER:
        os.setresgid(GID, GID, GID)
        os.setresuid(UID, UID, UID)
    try:
        case.function()
    except Difference as difference:
        return ['failed', str(difference)]
    except NotApplicable as reason:
        return ['not applicable', str(reason)]
    except OSError as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if '/cases/' in frame.filename]
        where = f', line {frames[-1].lineno}: {frames[-1].line}' if frames else ''
        return ['failed', f'{name_of(error.errno)}{where}']
    return ['passed', '']


def excused(case, user, result, why, reasons):
    """With what is listed of this filesystem."""
    reason = reasons.get((case.call, case.words)) or reasons.get((case.call, case.words, user))
    if reason is None:
        return result, why
    if result == 'passed':
        return 'failed', f'passes, though it is listed in exceptions.py: {reason}'
    return 'not applicable', reason


# What cases call their files. They are not looked for by listing: from that the kernel would learn their attributes anew.
USUAL_NAMES = ['.', 'f', 'g', 'd', 'a', 'b', 'target']


def cached_wrongly(folder, ignored=()):
    """Where the kernel shows other attributes than it gets when it asks the filesystem anew, what they are; else None."""
    for name in USUAL_NAMES:
        try:
            shown, asked = (attributes(f'{folder}/{name}', how) for how in (0, AT_STATX_FORCE_SYNC))
        except OSError:
            continue  # This case has none.
        wrong = [field for field in shown if shown[field] != asked[field] and field not in ignored]
        if wrong:
            told = [f'{field} {shown[field]}, and is {asked[field]}' for field in wrong]
            return f'afterwards {name} is shown with {"; with ".join(told)}'
    return None


def attributes(path, flags):
    told = statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | flags, STATX_BASIC_STATS)
    fields = ('ino', 'mode', 'nlink', 'uid', 'gid', 'size', 'blocks', 'mtime', 'ctime')
    return {field: getattr(told, field) for field in fields}


def keep(folder):
    """Leaves what the case has made, but for files that would take long to read, and directories that no path reaches."""
    for path, _, files in os.walk(folder):
        if len(path) > KEPT_PATH_MAX:
            remove(folder)
            return
        for each in (os.path.join(path, name) for name in files):
            if os.lstat(each).st_size > KEPT_BYTES_MAX:
                os.unlink(each)


def remove(folder):
    try:
        shutil.rmtree(folder)
    except OSError:
        # Immutable, append-only.
        drop_flags(folder)
        shutil.rmtree(folder)


def table(results):
    """Lines: the calls, then the reasons, then what failed."""
    calls = collections.defaultdict(collections.Counter)
    reasons = collections.defaultdict(list)
    for each in results:
        counts = calls[each['call']]
        counts[each['result']] += 1
        counts['run'] += 1
        if each['result'] == 'not applicable':
            reasons[each['why']].append(each)
    titles = ['run', 'passed', 'failed', 'not applicable']
    lines = [f'{"call":24}' + ''.join(f'{title:>16}' for title in titles)]
    total = collections.Counter()
    for call, counts in calls.items():
        lines.append(f'{call:24}' + ''.join(f'{counts[title]:16}' for title in titles))
        total += counts
    lines.append(f'{"all":24}' + ''.join(f'{total[title]:16}' for title in titles))
    for reason, each in reasons.items():
        lines += ['', f'not applicable, {reason}:', *(f'    {describe(one)}' for one in each)]
    failed = [each for each in results if each['result'] == 'failed']
    if failed:
        lines += ['', 'failed:', *(f'    {describe(each)}: {each["why"]}' for each in failed)]
    return lines


def describe(result):
    return f'{result["call"]}: {result["case"]} (as {result["user"]})'


def main():
    head, _, rest = __doc__.partition('\n\n')
    parser = argparse.ArgumentParser(
        prog='runner.py', description=head, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', metavar='DIR', help='an existing directory of the filesystem')
    parser.add_argument('--call', action='append', default=[], help='only cases of this call, or these')
    parser.add_argument('--case', default='', metavar='WORDS', help='only cases with these words')
    parser.add_argument('--user', choices=[ROOT, USER], help='only as root, or only as the user')
    parser.add_argument('--on', choices=sorted(exceptions.REASONS), help="whose exceptions apply (exceptions.py)")
    parser.add_argument('--json', action='store_true', help='a line of JSON for each case, and no table')
    parser.add_argument('--keep', action='store_true', help='leave the directories of the cases as these left them')
    parser.add_argument('--list', action='store_true', help='say which cases there are, and run none')
    options = parser.parse_args()
    load(options.call)
    runs = [
        (case, user)
        for case in CASES
        if options.case in case.words
        for user in case.who
        if options.user in (None, user)
    ]
    if options.list:
        for case, user in runs:
            print(describe({'call': case.call, 'case': case.words, 'user': user}))
        return
    if os.geteuid() != 0:
        sys.exit('runner.py: must run as root, to run cases as users')
    reasons = exceptions.REASONS.get(options.on, {})
    known = {(case.call, case.words) for case in CASES}
    if not options.call and (unknown := [key for key in reasons if key[:2] not in known]):
        sys.exit(f'runner.py: exceptions.py lists what is no case: {unknown}')

    top = os.path.join(os.path.abspath(options.folder), f'conformance-{os.getpid()}')
    os.mkdir(top)
    os.chmod(top, 0o755)
    gc.freeze()
    results = []
    started = time.monotonic()
    try:
        for number, (case, user) in enumerate(runs):
            folder = f'{top}/{number}'
            os.mkdir(folder, 0o755)
            if user == USER:
                os.chown(folder, UID, GID)
            began = time.monotonic()
            result, why = excused(case, user, *run(case, user, folder), reasons)
            # Of an answer that overtakes a rename the kernel keeps the older ctime.
            ignored = ('ctime',) if case.call == 'races' else ()
            if result == 'passed' and (difference := cached_wrongly(folder, ignored)):
                result, why = 'failed', difference
            took = round((time.monotonic() - began) * 1000)
            (keep if options.keep else remove)(folder)
            results.append(
                {'call': case.call, 'case': case.words, 'user': user, 'result': result, 'why': why, 'ms': took}
            )
            if options.json:
                print(json.dumps(results[-1]), flush=True)
            elif result == 'failed':
                print(f'failed: {describe(results[-1])}: {why}', flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(top, ignore_errors=True)
    if not options.json:
        print('\n'.join(['', *table(results), '', f'{len(known)} cases, {time.monotonic() - started:.1f} s']))
    sys.exit(any(each['result'] == 'failed' for each in results))


if __name__ == '__main__':
    main()
