"""What of the suite does not hold on a filesystem, and why: the reason is printed in the table. A case that passes after all fails
the run, so that nothing stays here that is built.

Keys are the call and the case's words, or these and "root" or "user".
"""

import os
import re

NOATIME = 'reading does not change access times, by design (noatime)'


def listed(reason, *keys):
    return {key: reason for key in keys}


def before_kernel(release, reason, *keys):
    """Of kernels that lack something of FUSE."""
    running = tuple(int(part) for part in re.findall(r'\d+', os.uname().release)[:2])
    return listed(f'{reason}: this kernel is {os.uname().release}', *keys) if running < release else {}


OLD_KERNEL = {
    **before_kernel(
        (6, 2),
        'the kernel knows O_TMPFILE of FUSE from 6.2 on',
        ('races', 'temporary files get their names once'),
        ('tmpfile', 'makes a file without a name'),
        ('tmpfile', 'it is written and read'),
        ('tmpfile', 'linkat gives it a name'),
        ('tmpfile', 'linkat with AT EMPTY PATH gives it a name'),
        ('tmpfile', 'linkat onto what is there is EEXIST'),
        ('tmpfile', 'with O EXCL it never gets a name'),
        ('tmpfile', 'to write alone works'),
        ('tmpfile', 'takes umask from the mode'),
        ('tmpfile', 'changes no time of the directory'),
        ('tmpfile', 'in a directory with set group id it takes the group'),
        ('tmpfile', 'a named one gets more names and loses them'),
        ('tmpfile', 'a hundred at once have inodes of their own'),
        ('tmpfile', 'its place is free when it is closed'),
    ),
    **before_kernel(
        (6, 6),
        'the kernel asks FUSE for birth times from 6.6 on',
        ('statx', 'knows when a file was made'),
        ('statx', 'the birth time never changes'),
        ('statx', 'a file made later is born later'),
    ),
}

CAIRNFS = {
    **OLD_KERNEL,
    **listed(
        NOATIME,
        ('times', 'reading changes atime where it is older than mtime'),
        ('times', 'listing changes atime where it is older than mtime'),
    ),
    **listed(
        'statfs counts no inodes: a bucket has room for any number',
        ('statfs', 'a file is taken from what files there may be'),
    ),
}

TMPFS = {
    **listed(
        'tmpfs has no FALLOC_FL_ZERO_RANGE',
        ('fallocate', 'ZERO RANGE leaves zeros'),
        ('fallocate', 'ZERO RANGE makes a file longer unless KEEP SIZE'),
        ('fallocate', 'changes mtime and ctime'),
    ),
    **listed(
        'tmpfs takes any size that a number can have',
        ('fallocate', 'beyond the largest size is EFBIG'),
        ('truncate', 'the largest size of all is EFBIG'),
        ('write', 'pwrite at the largest offset is EFBIG or EINVAL'),
    ),
}

REASONS = {'cairnfs': CAIRNFS, 'tmpfs': TMPFS, 'ext4': {}}
