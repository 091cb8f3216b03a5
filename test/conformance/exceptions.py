"""What of the suite does not hold on a filesystem, and why: the reason is printed in the table. A case that passes after all fails
the run, so that nothing stays here that is built.

Keys are the call and the case's words, or these and "root" or "user".
"""

NOATIME = 'reading does not change access times, by design (noatime)'


def listed(reason, *keys):
    return {key: reason for key in keys}


NOT_BUILT_YET = {
    **listed(
        'POSIX ACLs are not built yet',
        ('acl', 'gives back what was set'),
        ('acl', 'the mask shows in the group bits of the mode'),
        ('acl', 'chmod sets the mask and leaves the group'),
        ('acl', 'one that says no more than the mode is the mode'),
        ('acl', 'there is none at first'),
        ('acl', 'removing it leaves the group bits as they are'),
        ('acl', 'it is listed'),
        ('acl', 'lets a named user in'),
        ('acl', 'the mask limits a named user'),
        ('acl', 'a named user with less than others gets less'),
        ('acl', 'lets a named group in'),
        ('acl', 'access tells of it'),
        ('acl', 'a new file takes the default of its directory'),
        ('acl', 'with a default the umask does not bind'),
        ('acl', 'a new directory takes the default as both'),
        ('acl', 'a default binds nobody who uses the directory itself'),
        ('acl', 'a default goes when it is removed'),
        ('acl', 'symlinks and fifos in a directory with a default'),
        ('acl', 'changes ctime alone'),
        ('acl', 'goes with a file through rename'),
        ('acl', 'setting it drops set group id of a group that one is not in'),
    ),
}

CAIRNFS = {
    **NOT_BUILT_YET,
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
