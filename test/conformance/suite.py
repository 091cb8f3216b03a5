"""What the cases of the conformance suite are made of: how one is registered, what it may check, and who it runs as.

A case is a function of a file in cases/, which is named after the call; its own name, with blanks for underscores, is what it
promises. It runs in a process of its own, in an empty directory of its own that belongs to whom it runs as, with umask 022.
It may change of its process whatever it likes, and must not reach outside its directory.

    @case
    def makes_an_empty_directory(): ...        # runs twice: as root and as a user
    @case(USER)
    def without_write_permission_is_EACCES(): ...

Must stay true: a case says what man pages and POSIX say, so that it holds on a local filesystem too: what fails there is wrong.
"""
import contextlib
import json
import os
import stat
import time

ROOT, USER = 'root', 'user'
"""Who a case runs as: root, with all capabilities; or a user with neither capabilities nor further groups."""
UID = GID = 1000
OTHER = 1001
"""A second user and group, for `acting_as`."""

CASES = []


class Case:
    def __init__(self, call, words, function, who):
        self.call, self.words, self.function, self.who = call, words, function, who


class Difference(Exception):
    """What was expected, and what came."""


class NotApplicable(Exception):
    """Why the case says nothing here."""


def case(*who):
    """Registers the function below as a case, for root and the user unless told."""
    if who and callable(who[0]):
        return case()(who[0])

    def register(function):
        add(function.__module__.rpartition('.')[2], function.__name__.replace('_', ' '), function, who)
        return function

    return register


def add(call, words, function, who=()):
    """Registers a case that is made from a table."""
    if any(each.call == call and each.words == words for each in CASES):
        raise ValueError(f'two cases of {call}: {words}')
    CASES.append(Case(call, words, function, who or (ROOT, USER)))


# Checks.


def that(condition, what):
    if not condition:
        raise Difference(what)


def equal(actual, expected, what='the value'):
    if actual != expected:
        raise Difference(f'{what} is {show(actual)}, expected {show(expected)}')


def show(value):
    text = repr(value)
    return text if len(text) < 200 else f'{text[:100]}...{text[-60:]} ({len(text)} characters)'


def errno_of(call, *arguments, **named):
    """The errno that the call fails with; 0 where it does not."""
    try:
        call(*arguments, **named)
    except OSError as error:
        return error.errno
    return 0


def fails(expected, call, *arguments, **named):
    """The call must fail with this errno, or with one of these."""
    allowed = expected if isinstance(expected, tuple) else (expected,)
    got = errno_of(call, *arguments, **named)
    if got not in allowed:
        wanted = ' or '.join(map(name_of, allowed))
        raise Difference(f'{"it succeeds" if got == 0 else "it fails with " + name_of(got)}, expected {wanted}')


def name_of(number):
    import errno

    return errno.errorcode.get(number, f'errno {number}')


# Files.


def make(path, data=b'', mode=0o644):
    """A new file with these bytes and exactly this mode."""
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
    return path


def read(path):
    with open(path, 'rb', buffering=0) as file:
        return file.readall()


def mkdir(path, mode=0o755):
    """A new directory with exactly this mode."""
    os.mkdir(path)
    os.chmod(path, mode)
    return path


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY, mode=0o644, **named):
    fd = os.open(path, flags, mode, **named)
    try:
        yield fd
    finally:
        os.close(fd)


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def names(path='.'):
    return sorted(os.listdir(path))


# Time.

CLOCK_REALTIME_COARSE = 5


def tick():
    """Waits until a change gets other times than one just made. Kernels keep times by a clock that ticks every few ms."""
    clock = CLOCK_REALTIME_COARSE
    # Two: between the first reading and the change that went before it the clock may have ticked.
    for _ in range(2):
        before = time.clock_gettime_ns(clock)
        while time.clock_gettime_ns(clock) == before:
            time.sleep(0.0005)


def changes(path, operation):
    """Which times of `path` the operation changes: some of "amc". None may go back."""
    before = os.lstat(path)
    tick()
    operation()
    after = os.lstat(path)
    changed = ''
    for letter in 'amc':
        field = f'st_{letter}time_ns'
        earlier, later = getattr(before, field), getattr(after, field)
        that(later >= earlier, f'{field} goes back from {earlier} to {later}')
        if later != earlier:
            changed += letter
    return changed


def changes_at_most_atime(path, operation):
    """Like `changes`, without the access time: where the operation reads, whether that changes depends on the mount."""
    return changes(path, operation).replace('a', '')


# Users and processes.


@contextlib.contextmanager
def acting_as(uid=UID, gid=None, groups=()):
    """As another user, in a case of root's: the effective one, which is whom filesystems look at. Without capabilities."""
    os.setgroups(list(groups))
    os.setegid(uid if gid is None else gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def forked(function, *arguments):
    """Runs it in a process of its own, which ends with 0, or with 1 where it failed. Returns its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid):
    """Waits for its end."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_child(function, *arguments):
    """Runs it in a process of its own, and returns what it returned, as JSON can carry it. Its OSErrors and differences are
    raised here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        answer = {}
        try:
            answer['value'] = function(*arguments)
        except OSError as error:
            answer['errno'] = error.errno
        except BaseException as error:
            answer['difference'] = f'{type(error).__name__}: {error}'
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, 'rb') as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    that(text, 'a child process ended without an answer')
    answer = json.loads(text)
    if 'errno' in answer:
        raise OSError(answer['errno'], os.strerror(answer['errno']))
    if 'difference' in answer:
        raise Difference(answer['difference'])
    return answer['value']
