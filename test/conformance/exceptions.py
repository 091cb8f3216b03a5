"""What of the suite does not hold on a filesystem, and why: the reason is printed in the table. A case that passes after all fails
the run, so that nothing stays here that is built.

Keys are the call and the case's words, or these and "root" or "user".
"""

NOATIME = 'reading does not change access times, by design (noatime)'


def listed(reason, *keys):
    return {key: reason for key in keys}


CAIRNFS = {
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
