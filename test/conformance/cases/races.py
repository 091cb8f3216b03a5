"""Several processes at once: what POSIX says is atomic, and what must come out right in the end."""
import fcntl
import os
from errno import *

import calls
from calls import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from suite import *

PROCESSES = 4
ROUNDS = 40


def at_once(function, *arguments):
    """Runs it in several processes, each with its number. All must end well."""
    pids = [forked(function, number, *arguments) for number in range(PROCESSES)]
    equal([status_of(pid) for pid in pids], [0] * PROCESSES, 'what the processes ended with')


def beside(work, look):
    """Runs `look` again and again until another process has done `work`."""
    pid = forked(work)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        look()
        if ended:
            equal(os.waitstatus_to_exitcode(status), 0)
            return


def winners(attempt):
    """How many of the processes get through `attempt` in each round; the others must meet EEXIST."""
    os.mkdir('won')

    def try_all(number):
        for turn in range(ROUNDS):
            failure = errno_of(attempt, f'x{turn}', number)
            that(failure in (0, EEXIST), f'it fails with {name_of(failure)}')
            if failure == 0:
                make(f'won/{turn}-{number}')

    at_once(try_all)
    return [sum(name.startswith(f'{turn}-') for name in os.listdir('won')) for turn in range(ROUNDS)]


@case
def O_EXCL_has_one_winner():
    equal(winners(lambda name, _: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))), [1] * ROUNDS)


@case
def mkdir_has_one_winner():
    equal(winners(lambda name, _: os.mkdir(name)), [1] * ROUNDS)


@case
def link_has_one_winner():
    make('f')
    equal(winners(lambda name, _: os.link('f', name)), [1] * ROUNDS)
    equal(os.lstat('f').st_nlink, ROUNDS + 1)


@case
def rename_with_NOREPLACE_has_one_winner():
    def attempt(name, number):
        own = f'own-{number}'
        if not os.path.exists(own):
            make(own)
        renameat2(AT_FDCWD, own, AT_FDCWD, name, RENAME_NOREPLACE)

    equal(winners(attempt), [1] * ROUNDS)


@case
def a_name_that_is_renamed_over_is_always_there_and_whole():
    contents = [letter * 5000 for letter in (b'a', b'b')]
    make('f', contents[0])

    def replace():
        for turn in range(ROUNDS):
            make('new', contents[turn % 2])
            os.rename('new', 'f')

    beside(replace, lambda: that(read('f') in contents, 'it is neither the old nor the new one'))


@case
def names_that_are_exchanged_are_always_there():
    make('f', b'one')
    make('g', b'two')

    def exchange():
        for _ in range(ROUNDS):
            renameat2(AT_FDCWD, 'f', AT_FDCWD, 'g', RENAME_EXCHANGE)

    beside(exchange, lambda: that(read('f') in (b'one', b'two'), 'it is none of them'))


@case
def a_directory_that_moves_is_always_under_one_name():
    os.makedirs('a/d')
    os.mkdir('b')
    make('a/d/f', b'text')

    def move():
        for turn in range(ROUNDS):
            os.rename(*('a/d', 'b/d') if turn % 2 == 0 else ('b/d', 'a/d'))

    with opened('a/d') as fd:
        beside(move, lambda: equal(os.stat('f', dir_fd=fd).st_size, 4))


@case
def directories_are_never_moved_into_each_other():
    os.mkdir('a')
    os.mkdir('b')

    def move(number):
        one, other = ('a', 'b') if number % 2 == 0 else ('b', 'a')
        for _ in range(ROUNDS):
            failure = errno_of(os.rename, one, f'{other}/{one}')
            that(failure in (0, ENOENT, EINVAL, ENOTEMPTY), f'it fails with {name_of(failure)}')
            errno_of(os.rename, f'{other}/{one}', one)

    at_once(move)
    reached = [name for _, folders, _ in os.walk('.') for name in folders]
    equal(sorted(reached), ['a', 'b'], 'the directories that are reached')


@case
def names_of_many_makers_are_all_there():
    os.mkdir('d')

    def fill(number):
        for turn in range(ROUNDS):
            make(f'd/{number}-{turn}', b'%d' % turn)

    at_once(fill)
    equal(len(os.listdir('d')), PROCESSES * ROUNDS)
    equal({read(f'd/{number}-7') for number in range(PROCESSES)}, {b'7'})


@case
def makers_and_removers_leave_nothing_behind():
    os.mkdir('d')

    def come_and_go(number):
        for turn in range(ROUNDS):
            os.mkdir(f'd/{number}')
            make(f'd/{number}/f')
            os.rename(f'd/{number}/f', f'd/{number}-f')
            os.rmdir(f'd/{number}')
            os.unlink(f'd/{number}-f')

    at_once(come_and_go)
    equal((os.listdir('d'), os.lstat('d').st_nlink), ([], 2))
    os.rmdir('d')


@case
def names_of_one_file_that_come_and_go_are_counted():
    make('f')

    def come_and_go(number):
        for turn in range(ROUNDS):
            os.link('f', f'g{number}')
            if turn < ROUNDS - 1:
                os.unlink(f'g{number}')

    at_once(come_and_go)
    equal(os.lstat('f').st_nlink, 1 + PROCESSES)


@case
def a_counter_under_a_lock_counts():
    make('f', b'0')

    def count(_):
        for _ in range(ROUNDS):
            with opened('f', os.O_RDWR) as fd:
                fcntl.lockf(fd, fcntl.LOCK_EX)
                number = int(os.read(fd, 20))
                os.pwrite(fd, b'%d' % (number + 1), 0)

    at_once(count)
    equal(read('f'), b'%d' % (PROCESSES * ROUNDS))


@case
def writers_of_different_bytes_of_a_page_disturb_nobody():
    make('f', bytes(PROCESSES * 10))

    def write(number):
        with opened('f', os.O_WRONLY) as fd:
            for turn in range(ROUNDS):
                os.pwrite(fd, bytes([turn]) * 10, number * 10)

    at_once(write)
    equal(read('f'), bytes([ROUNDS - 1]) * PROCESSES * 10)


@case
def a_reader_of_a_file_that_grows_sees_no_zeros():
    make('f')

    def grow():
        with opened('f', os.O_WRONLY | os.O_APPEND) as fd:
            for _ in range(ROUNDS * 3):
                os.write(fd, b'x' * 777)

    beside(grow, lambda: that(not read('f').strip(b'x'), 'there are bytes that nobody wrote'))


@case
def times_that_were_asked_for_during_a_change_are_not_shown_after_it():
    make('f', bytes(20_000))
    fd = os.open('f', os.O_RDWR)
    changes_of_it = {
        'write': lambda turn: os.pwrite(fd, b'x', turn),
        'truncate': lambda turn: os.truncate('f', 20_000 - turn),
        'punch': lambda turn: calls.fallocate(fd, 3, 4096, 4096),
        'chmod': lambda turn: os.chmod('f', 0o600 + turn),
        'utime': lambda turn: os.utime('f', (turn, turn)),
        'setxattr': lambda turn: os.setxattr('f', 'user.test', b'%d' % turn),
    }
    for what, change in changes_of_it.items():

        def work():
            for turn in range(ROUNDS):
                change(turn)

        beside(work, lambda: os.stat('f'))
        shown, asked = (
            calls.statx(AT_FDCWD, 'f', how, calls.STATX_BASIC_STATS) for how in (0, calls.AT_STATX_FORCE_SYNC)
        )
        equal((shown.mtime, shown.ctime), (asked.mtime, asked.ctime), f'mtime and ctime after {what}')


@case
def what_is_removed_and_made_again_is_never_another_s():
    def come_and_go(number):
        for turn in range(ROUNDS):
            with opened('f', os.O_CREAT | os.O_RDWR | os.O_APPEND) as fd:
                os.write(fd, b'x')
                that(os.fstat(fd).st_size >= 1, 'what was written is gone')
            errno_of(os.unlink, 'f')

    at_once(come_and_go)
    equal([name for name in names() if name == 'f'], [])


@case
def temporary_files_get_their_names_once():
    def name_it(name, _):
        fd = os.open('.', os.O_TMPFILE | os.O_RDWR)
        calls.linkat(AT_FDCWD, f'/proc/self/fd/{fd}', AT_FDCWD, name, calls.AT_SYMLINK_FOLLOW)

    equal(winners(name_it), [1] * ROUNDS)
