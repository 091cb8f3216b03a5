"""Prints what a tree is, one line an entry: path, then NAME=VALUE fields, separated by tabs.

    manifest.py TREE [--xattrs]

Every byte (sha256), mode, time, owner, link and target; names as bytes, those that are not UTF-8 escaped. `links` names
the group of hard links by its first path. With --xattrs extended attributes too, which not every copy has. Sorted by path, so that two manifests compare line by line.
"""
import hashlib
import os
import stat
import sys

TYPES = {stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'symlink', stat.S_IFIFO: 'fifo',
         stat.S_IFCHR: 'character', stat.S_IFBLK: 'block', stat.S_IFSOCK: 'socket'}


def escape(name):
    return ''.join(c if c.isprintable() and c not in '\\' else c.encode('unicode_escape').decode()
                   for c in name.decode('utf-8', 'surrogateescape'))


def sha256(path):
    digest = hashlib.sha256()
    with open(path, 'rb', buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def xattrs(path):
    names = sorted(os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    return ' '.join(f'{escape(name)}:{os.getxattr(path, name, follow_symlinks=False).hex()}' for name in names)


def paths(root):
    yield root
    for directory, directories, files in os.walk(root, onerror=fail):
        for name in directories + files:
            yield os.path.join(directory, name)


def fail(error):
    raise error


def main():
    root = os.fsencode(sys.argv[1])
    groups = {}
    out = open(sys.stdout.fileno(), 'w', encoding='utf-8', closefd=False)
    for path in sorted(paths(root)):
        st = os.lstat(path)
        kind = stat.S_IFMT(st.st_mode)
        name = escape(os.path.relpath(path, root))
        fields = {
            'type': TYPES[kind], 'mode': format(stat.S_IMODE(st.st_mode), '04o'), 'uid': st.st_uid, 'gid': st.st_gid,
            'nlink': st.st_nlink, 'mtime': st.st_mtime_ns, 'atime': st.st_atime_ns, 'ctime': st.st_ctime_ns,
            'ino': st.st_ino, 'size': st.st_size, 'blocks': st.st_blocks,
        }
        if kind == stat.S_IFLNK:
            fields['target'] = escape(os.readlink(path))
        elif kind == stat.S_IFREG:
            fields['sha256'] = sha256(path)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            fields['rdev'] = st.st_rdev
        if kind != stat.S_IFDIR and st.st_nlink > 1:
            fields['links'] = groups.setdefault(st.st_ino, name)
        if '--xattrs' in sys.argv[2:]:
            fields['xattrs'] = xattrs(path)
        out.write('\t'.join([name] + [f'{key}={value}' for key, value in fields.items()]) + '\n')
    out.flush()


main()
