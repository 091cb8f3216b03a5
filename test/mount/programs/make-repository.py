"""Writes a repository's history for `git fast-import`: COMMITS versions of 1,000 files in 20 directories, each changing
100 of them. A commit has some 121 objects: 42 commits make 5,000.

    make-repository.py COMMITS | git fast-import
"""
import random
import sys

FILES, CHANGED = 1_000, 100


def main():
    out = sys.stdout.buffer
    source = random.Random(3)
    words = [b'%x' % source.getrandbits(32) for _ in range(500)]
    texts = {number: [source.choice(words) for _ in range(source.randrange(5, 400))] for number in range(FILES)}
    for commit in range(int(sys.argv[1])):
        message = b'Version %d\n' % commit
        out.write(b'commit refs/heads/main\ncommitter Test <test@example.org> %d +0000\n' % (1_700_000_000 + commit * 3600))
        out.write(b'data %d\n%s' % (len(message), message))
        # Every directory changes in every commit, so that none of its trees is like another.
        changed = range(FILES) if commit == 0 else {*source.sample(range(FILES), CHANGED - 20), *range(commit % 50, FILES, 50)}
        for number in changed:
            texts[number][source.randrange(len(texts[number]))] = b'%d-%d' % (commit, number)
            text = b'\n'.join(texts[number]) + b'\n'
            out.write(b'M 100644 inline part-%02d/file-%03d.txt\ndata %d\n%s\n' % (number // 50, number % 50, len(text), text))
        out.write(b'\n')


main()
