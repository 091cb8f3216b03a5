"""Commits to a git repository, one commit after the other, until the mount is gone.

    committer.py write REPOSITORY LOG   prints {"begun": N} when a call fails; each acknowledged commit goes to LOG
    committer.py check REPOSITORY LOG   prints {"found": N, "problems": [...]}

Commit N changes a few of ten files; every tenth is followed by a repack. git syncs all it writes, but never the directory
it renames a branch's file in: so the directory is fsynced before a commit counts as acknowledged and its number and hash
go to LOG (outside the mount). `check` wants a clean `git fsck`, every logged commit in the branch, and a branch of
commits 1..N in order.
"""
import json
import os
import random
import subprocess
import sys

SETTINGS = {'core.fsync': 'all', 'core.fsyncMethod': 'fsync', 'gc.auto': '0', 'safe.directory': '*',
            'user.name': 'Test', 'user.email': 'test@example.org', 'init.defaultBranch': 'main'}
ENV = {'PATH': os.environ['PATH'], 'GIT_CONFIG_NOSYSTEM': '1', 'GIT_CONFIG_GLOBAL': '/dev/null', 'LC_ALL': 'C.UTF-8',
       'GIT_CONFIG_COUNT': str(len(SETTINGS))}
for index, (key, value) in enumerate(SETTINGS.items()):
    ENV[f'GIT_CONFIG_KEY_{index}'], ENV[f'GIT_CONFIG_VALUE_{index}'] = key, value


class GitError(Exception):
    pass


def git(repository, *arguments):
    ended = subprocess.run(['git', '-C', repository, *arguments], env=ENV, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise GitError(f'git {" ".join(arguments)}: {ended.returncode}: {ended.stderr}{ended.stdout}')
    return ended.stdout


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def branch(repository):
    """Numbers and hashes of all commits, oldest first."""
    if not git(repository, 'for-each-ref', 'refs/heads/main'):
        return []
    return [line.split() for line in git(repository, 'log', '--reverse', '--format=%s %H', 'main').splitlines()]


def commit(repository, number):
    source = random.Random(number)
    for name in source.sample(range(10), 3):
        with open(os.path.join(repository, f'file-{name}'), 'w', encoding='ascii') as file:
            file.write(f'{number}\n' + source.randbytes(source.randrange(3000)).hex())
    git(repository, 'add', '--all')
    git(repository, 'commit', '-q', '-m', str(number))
    if number % 10 == 0:
        git(repository, 'repack', '-a', '-d', '-q')
    sync_directory(os.path.join(repository, '.git'))
    return git(repository, 'rev-parse', 'HEAD').strip()


def write(repository, log_path):
    # What whoever finds a repository after a crash does.
    for directory, _, names in os.walk(os.path.join(repository, '.git')):
        for name in names:
            if name.endswith('.lock'):
                os.unlink(os.path.join(directory, name))
    git('.', 'init', '-q', repository)
    number = len(branch(repository))
    if number > 0:
        git(repository, 'reset', '-q', '--hard', 'main')
    with open(log_path, 'a', encoding='ascii', buffering=1) as log:
        try:
            while True:
                number += 1
                log.write(f'{number} {commit(repository, number)}\n')
        except (OSError, GitError) as error:
            print(json.dumps({'begun': number, 'error': str(error)}), flush=True)


def check(repository, log_path):
    problems = []
    found = []
    try:
        git(repository, 'fsck', '--full', '--strict', '--no-dangling')
        found = branch(repository)
    except GitError as error:
        problems.append(str(error))
    numbers = [int(number) for number, _ in found]
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append(f'the branch has commits {numbers}')
    hashes = {sha for _, sha in found}
    with open(log_path, encoding='ascii') as log:
        for line in log:
            number, sha = line.split()
            if sha not in hashes:
                problems.append(f'commit {number} was acknowledged, but is gone: {sha}')
    print(json.dumps({'found': len(found), 'problems': problems}))


{'write': write, 'check': check}[sys.argv[1]](*sys.argv[2:])
