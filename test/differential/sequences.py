"""Random sequences of calls. The same seed is the same sequence, whatever the machine."""
import fcntl
import os
import random
import stat

NAMES = ["a", "b", "c", "d"]
DIRECTORIES = [".", "x", "y", "x/z"]
SIZES = [0, 1, 10, 100, 4095, 4096, 4097, 10_000, 65_536, 200_000]
MODES = [0o600, 0o644, 0o666, 0o700, 0o755, 0o777, 0o2755, 0o4755, 0o1777, 0o000]
XATTRS = ["user.one", "user.two", "trusted.three", "security.four", "user." + "n" * 200]
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
UIDS = [0, 1000, 1001]


def acl(chance):
    """Mostly one that is valid."""
    user_obj, user, group_obj, group, mask, other, nobody = 1, 2, 4, 8, 16, 32, 2**32 - 1
    entries = [[user_obj, chance.randrange(8), nobody]]
    named = chance.random() < 0.7
    if named:
        entries.append([user, chance.randrange(8), chance.choice(UIDS)])
    entries.append([group_obj, chance.randrange(8), nobody])
    if chance.random() < 0.3:
        entries.append([group, chance.randrange(8), 1000])
        named = True
    if named != (chance.random() < 0.05):
        entries.append([mask, chance.randrange(8), nobody])
    return [*entries, [other, chance.randrange(8), nobody]]


def path(chance):
    """Mostly one of a few, so that calls meet each other."""
    if chance.random() < 0.05:
        return chance.choice(["missing/a", "a/b", "l/a", "x/", "x/.", "x/..", "a/", "n" * 255, "n" * 256, ""])
    if chance.random() < 0.1:
        return chance.choice(["l", "x/l"])
    directory = chance.choice(DIRECTORIES)
    if chance.random() < 0.25:
        return directory if directory != "." else chance.choice(NAMES)
    name = chance.choice(NAMES)
    return name if directory == "." else f"{directory}/{name}"


def offset(chance):
    return chance.choice(SIZES) + chance.choice([0, 0, 0, 1, 500, 1_000_000])


def flags(chance):
    how = chance.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR])
    for flag, odds in ((os.O_CREAT, 0.6), (os.O_EXCL, 0.1), (os.O_TRUNC, 0.2), (os.O_APPEND, 0.15)):
        if chance.random() < odds:
            how |= flag
    for flag in (os.O_NOFOLLOW, os.O_DIRECTORY, os.O_SYNC):
        if chance.random() < 0.05:
            how |= flag
    return how


def of_slot(chance, slots):
    slot = chance.randrange(slots)
    length = chance.choice(SIZES)
    return chance.choice(
        [
            lambda: ["close", slot],
            lambda: ["read", slot, length],
            lambda: ["pread", slot, length, offset(chance)],
            lambda: ["write", slot, chance.randrange(256), length],
            lambda: ["write", slot, chance.randrange(256), length],
            lambda: ["pwrite", slot, chance.randrange(256), length, offset(chance)],
            lambda: ["pwrite", slot, chance.randrange(256), length, offset(chance)],
            lambda: ["lseek", slot, offset(chance), chance.choice([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END])],
            lambda: ["ftruncate", slot, offset(chance)],
            lambda: ["fstat", slot],
            lambda: ["fchmod", slot, chance.choice(MODES)],
            lambda: ["fsync", slot],
            lambda: ["fallocate", slot, chance.choice([0, KEEP_SIZE]), offset(chance), max(1, length)],
            lambda: ["fallocate", slot, PUNCH_HOLE | KEEP_SIZE, offset(chance), max(1, length)],
            lambda: ["fallocate", slot, chance.choice([ZERO_RANGE, ZERO_RANGE | KEEP_SIZE]), offset(chance), max(1, length)],
            lambda: ["copy", slot, chance.randrange(slots), length, offset(chance), offset(chance)],
            lambda: ["mapped", slot, chance.randrange(256), chance.choice(SIZES), length],
            lambda: ["link_open", slot, path(chance)],
            lambda: ["flock", slot, chance.choice([fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN])],
            lambda: ["lock", slot, chance.choice([fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN]), offset(chance), length],
        ]
    )()


def of_names(chance):
    return chance.choice(
        [
            lambda: ["mkdir", path(chance), chance.choice(MODES)],
            lambda: ["mkdir", chance.choice(DIRECTORIES[1:]), 0o777],
            lambda: ["rmdir", path(chance)],
            lambda: ["unlink", path(chance)],
            lambda: ["unlink", path(chance)],
            lambda: ["link", path(chance), path(chance)],
            lambda: ["symlink", chance.choice(["a", "x", "x/a", "missing", "l", "../a", "t" * 200]), chance.choice(["l", "x/l", "c"])],
            lambda: ["readlink", chance.choice(["l", "x/l", path(chance)])],
            lambda: ["rename", path(chance), path(chance), 0],
            lambda: ["rename", path(chance), path(chance), 0],
            lambda: ["rename", path(chance), path(chance), chance.choice([1, 2, 2, 4, 3, 8])],
            lambda: ["mknod", path(chance), chance.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR]) | 0o644, 0x103],
            lambda: ["listdir", path(chance)],
        ]
    )()


def of_inodes(chance):
    name = chance.choice(XATTRS)
    return chance.choice(
        [
            lambda: ["stat", path(chance)],
            lambda: ["lstat", path(chance)],
            lambda: ["access", path(chance), chance.choice([os.R_OK, os.W_OK, os.X_OK, os.F_OK])],
            lambda: ["truncate", path(chance), offset(chance)],
            lambda: ["chmod", path(chance), chance.choice(MODES)],
            lambda: ["chmod", path(chance), 0o777],
            # Not of neither: docs/SEMANTICS.md.
            lambda: ["chown", path(chance), chance.choice(UIDS), chance.choice([-1, *UIDS])],
            lambda: ["chown", path(chance), -1, chance.choice(UIDS)],
            lambda: ["utime", path(chance), chance.randrange(10**9), chance.randrange(10**9)],
            lambda: ["touch", path(chance)],
            lambda: ["setxattr", path(chance), name, chance.choice([0, 1, 50, 1500]), chance.randrange(256), chance.choice([0, 0, 1, 2])],
            lambda: ["getxattr", path(chance), name],
            lambda: ["listxattr", path(chance)],
            lambda: ["removexattr", path(chance), name],
            lambda: ["setacl", path(chance), chance.choice(["access", "access", "default"]), acl(chance)],
            lambda: ["getacl", path(chance), chance.choice(["access", "default"])],
            lambda: ["removexattr", path(chance), f"system.posix_acl_{chance.choice(['access', 'default'])}"],
        ]
    )()


def sequence(seed, calls, actors, slots):
    """Pairs of an actor and a call. The first ones make something to work with."""
    chance = random.Random(seed)
    made = [[0, ["mkdir", "x", 0o777]], [0, ["chmod", "x", 0o777]]]
    while len(made) < calls:
        actor = chance.randrange(actors)
        kind = chance.random()
        if kind < 0.2:
            call = ["open", chance.randrange(slots), path(chance), flags(chance), chance.choice(MODES)]
            if chance.random() < 0.07:
                call = ["tmpfile", chance.randrange(slots), chance.choice(DIRECTORIES), 0o644]
        elif kind < 0.55:
            call = of_slot(chance, slots)
        elif kind < 0.8:
            call = of_names(chance)
        else:
            call = of_inodes(chance)
        made.append([actor, call])
    return made
