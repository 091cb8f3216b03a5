"""What programs may expect of a directory that ignores case, by the system calls themselves.

    spellings.py FOLDING PLAIN

Both directories are empty, FOLDING folds and PLAIN does not. Prints how many things were as expected, and each that was not.
"""
import ctypes
import errno
import os
import stat
import sys

FOLDING, PLAIN = (os.fsencode(path) for path in sys.argv[1:3])
RENAME_NOREPLACE = 1
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)
right, wrong = 0, []


def expect(what, expected, operation):
    """`expected`: a value, or the name of an errno."""
    global right
    try:
        found = operation()
    except OSError as error:
        found = errno.errorcode[error.errno]
    if found == expected:
        right += 1
    else:
        wrong.append(f'{what}: {found!r}, not {expected!r}')


def at(name, directory=FOLDING):
    return os.path.join(directory, name.encode() if isinstance(name, str) else name)


def create(path, text='', flags=os.O_EXCL):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | flags, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def read(path):
    with open(path) as file:
        return file.read()


def rename_noreplace(source, target):
    if libc.renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE) != 0:
        raise OSError(ctypes.get_errno(), 'renameat2')


def names(directory=FOLDING):
    return sorted(os.fsdecode(name) for name in os.listdir(directory))


def emptied(directory=FOLDING):
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            for inner in os.listdir(path):
                os.unlink(os.path.join(path, inner))
            os.rmdir(path)
        else:
            os.unlink(path)


def exclusive_creation():
    create(at('Name'), 'first')
    expect('O_EXCL by another spelling', 'EEXIST', lambda: create(at('NAME')))
    expect('mkdir by another spelling', 'EEXIST', lambda: os.mkdir(at('name')))
    expect('symlink by another spelling', 'EEXIST', lambda: os.symlink('x', at('nAME')))
    expect('mknod by another spelling', 'EEXIST', lambda: os.mknod(at('NaMe'), 0o644 | stat.S_IFIFO))
    create(at('other'))
    expect('link by another spelling', 'EEXIST', lambda: os.link(at('other'), at('NAMe')))
    expect('RENAME_NOREPLACE onto another spelling', 'EEXIST', lambda: rename_noreplace(at('other'), at('NAME')))
    expect('O_CREAT without O_EXCL opens it', None, lambda: create(at('NAME'), 'again', os.O_TRUNC))
    expect('and keeps its spelling', (['Name', 'other'], 'again'), lambda: (names(), read(at('name'))))


def not_a_directory_and_not_empty():
    create(at('File'))
    os.mkdir(at('Dir'))
    create(at('Dir/inside'))
    expect('a file as a directory', 'ENOTDIR', lambda: os.stat(at('FILE/x')))
    expect('O_DIRECTORY', 'ENOTDIR', lambda: os.open(at('FILE'), os.O_RDONLY | os.O_DIRECTORY))
    expect('rmdir of a file', 'ENOTDIR', lambda: os.rmdir(at('fILE')))
    expect('unlink of a directory', 'EISDIR', lambda: os.unlink(at('DIR')))
    expect('rmdir of what is not empty', 'ENOTEMPTY', lambda: os.rmdir(at('DIR')))
    expect('a directory over a file', 'ENOTDIR', lambda: os.rename(at('dir'), at('FILE')))
    expect('a file over a directory', 'EISDIR', lambda: os.rename(at('file'), at('DIR')))
    os.mkdir(at('Empty'))
    expect('a directory over one that is not empty', 'ENOTEMPTY', lambda: os.rename(at('empty'), at('DIR')))
    expect('a directory over an empty one', None, lambda: os.rename(at('dir'), at('EMPTY')))
    expect('with what is in it, which folds', '', lambda: read(at('eMPTY/INSIDE')))
    expect('a directory into itself', 'EINVAL', lambda: os.rename(at('Empty'), at('EMPTY/inner')))


def hard_links():
    create(at('One'), 'x')
    os.link(at('ONE'), at('Two'))
    os.link(at('two'), at('Outside', PLAIN))
    same = lambda: len({os.stat(path).st_ino for path in [at('one'), at('TWO'), at('Outside', PLAIN)]})
    expect('three names of one file', (1, 3), lambda: (same(), os.stat(at('tWO')).st_nlink))
    expect('a rename onto a name of the same file', None, lambda: os.rename(at('ONE'), at('TWO')))
    expect('does nothing', ['One', 'Two'], names)
    os.unlink(at('ONE'))
    expect('one name less, seen by another', (['Two'], 2), lambda: (names(), os.stat(at('Two')).st_nlink))
    os.unlink(at('TWO'))
    expect('the last one is outside', (1, 'x'), lambda: (os.stat(at('Outside', PLAIN)).st_nlink, read(at('Outside', PLAIN))))


def replacing():
    create(at('Target'), 'old')
    create(at('Source'), 'new')
    os.stat(at('Target'))
    held = os.open(at('target'), os.O_RDONLY)
    expect('onto another spelling of another file', None, lambda: os.rename(at('source'), at('TARGET')))
    expect('replaces it', ('new', 'new', 1), lambda: (read(at('Target')), read(at('tARGET')), len(names())))
    expect('who held the old one has it', b'old', lambda: os.read(held, 10))
    os.close(held)


def spelled_anew():
    # The kernel finds one inode behind both names, and leaves it at that: rename(2) of two names of one file does nothing.
    create(at('a'), 'x')
    expect('mv a A', None, lambda: os.rename(at('a'), at('A')))
    expect('is there by both', ('x', 'x', 1), lambda: (read(at('a')), read(at('A')), len(names())))
    expect('by way of a third name', None, lambda: (os.rename(at('a'), at('b')), os.rename(at('b'), at('A')))[1])
    expect('it is spelled anew', ['A'], names)


def gone_and_made_again():
    os.mkdir(at('Sub'))
    os.stat(at('Sub'))
    os.rmdir(at('SUB'))
    expect('mkdir after rmdir by another spelling', None, lambda: os.mkdir(at('Sub')))
    expect('is a new one', [], lambda: os.listdir(at('sUB')))
    create(at('File'), 'old')
    os.stat(at('File'))
    os.unlink(at('FILE'))
    expect('O_EXCL after unlink by another spelling', None, lambda: create(at('File'), 'new'))
    expect('is the new file', ('new', ['File', 'Sub']), lambda: (read(at('FILE')), names()))


def negative_entries():
    expect('absent', 'ENOENT', lambda: os.stat(at('Later')))
    expect('absent by another spelling', 'ENOENT', lambda: os.stat(at('LATER')))
    create(at('later'))
    expect('there after it was made by a third', True, lambda: all(map(os.path.exists, [at('Later'), at('LATER'), at('later')])))
    os.rename(at('LATER'), at('Away'))
    expect('absent after it was renamed', 'ENOENT', lambda: os.stat(at('LATER')))
    os.rename(at('AWAY'), at('Later', PLAIN))
    expect('exact elsewhere', 'ENOENT', lambda: os.stat(at('LATER', PLAIN)))
    os.rename(at('Later', PLAIN), at('LaTeR'))
    expect('and back', True, lambda: os.path.exists(at('later')))


def symbolic_links():
    create(at('Target'), 'x')
    os.symlink('TARGET', at('Link'))
    expect('the target is kept as it was', 'TARGET', lambda: os.readlink(os.fsdecode(at('LINK'))))
    expect('and is looked up in any case', 'x', lambda: read(at('lINK')))
    expect('O_NOFOLLOW', 'ELOOP', lambda: os.open(at('LINK'), os.O_RDONLY | os.O_NOFOLLOW))
    os.symlink('../' + os.path.basename(os.fsdecode(FOLDING)) + '/tArGeT', at('in', PLAIN))
    expect('from outside', 'x', lambda: read(at('in', PLAIN)))
    expect('unlink takes the link', ['Target'], lambda: (os.unlink(at('LINK')), names())[1])


def between_directories():
    os.mkdir(at('Folds'))
    create(at('Folds/File'), 'x')
    expect('a folding directory moved out', None, lambda: os.rename(at('FOLDS'), at('Moved', PLAIN)))
    expect('folds there', 'x', lambda: read(at('Moved/FILE', PLAIN)))
    expect('by its exact name', 'ENOENT', lambda: os.stat(at('MOVED', PLAIN)))
    os.mkdir(at('exact', PLAIN))
    for name in ['x', 'X']:
        create(at(f'exact/{name}', PLAIN), name)
    expect('a plain directory moved in', None, lambda: os.rename(at('exact', PLAIN), at('Exact')))
    expect('is found in any case', ['X', 'x'], lambda: names(at('EXACT')))
    expect('and is plain', ('x', 'X'), lambda: (read(at('exact/x')), read(at('EXACT/X'))))
    expect('two names that fold alike cannot come in', None, lambda: os.rename(at('Exact/x'), at('In')))
    expect('the second replaces the first', 'X', lambda: (os.rename(at('Exact/X'), at('IN')), read(at('in')))[1])
    expect('and is alone', ['Exact', 'IN'], names)


def not_utf8():
    odd, other = b'G\xfc', b'g\xfc'
    create(at(odd), 'x')
    expect('exact', 'x', lambda: read(at(odd)))
    expect('has no other spelling', 'ENOENT', lambda: os.stat(at(other)))
    create(at(other), 'y')
    expect('two files', ('x', 'y', 2), lambda: (read(at(odd)), read(at(other)), len(names())))


def long_names():
    # Two bytes each; folded three code points of six.
    name = '\u0390' * 127 + 'a'
    spelled = '\u03b9\u0308\u0301' * 42 + 'A'
    create(at(name), 'x')
    expect('255 bytes that fold to more', 'x', lambda: read(at('\u0390' * 127 + 'A')))
    expect('O_EXCL', 'EEXIST', lambda: create(at('\u0390' * 127 + 'A')))
    expect('256 bytes', 'ENAMETOOLONG', lambda: create(at('\u0390' * 128)))
    expect('a spelling of other length', 'ENOENT', lambda: os.stat(at(spelled)))
    create(at('\u0390' * 42 + 'a'), 'y')
    expect('and one that is there', 'y', lambda: read(at(spelled)))


ALL = [exclusive_creation, not_a_directory_and_not_empty, hard_links, replacing, spelled_anew, gone_and_made_again,
       negative_entries, symbolic_links, between_directories, not_utf8, long_names]

if __name__ == '__main__':
    for check in ALL:
        check()
        emptied()
        emptied(PLAIN)
    print(right)
    for line in wrong:
        print(line)
