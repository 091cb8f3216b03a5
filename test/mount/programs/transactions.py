"""Transactions on an SQLite database, each of which follows from its number alone.

    transactions.py write DATABASE JOURNAL_MODE COUNT [LOG [SYNCHRONOUS]]
        COUNT more, at synchronous=FULL unless told; the number of each, once committed, goes to LOG
    transactions.py check DATABASE
        prints how many there are; fails unless all is as it must be

`check` repeats the transactions in a database in memory and compares every row, besides PRAGMA integrity_check.
"""
import random
import sqlite3
import sys

SCHEMA = '''CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, number INTEGER, body BLOB, changed INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS item_by_number ON item (number, id);
CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER);'''


def transact(db, number):
    source = random.Random(number)
    db.execute('BEGIN IMMEDIATE')
    for _ in range(3):
        db.execute('INSERT INTO item (number, body) VALUES (?, ?)', (number, source.randbytes(source.randrange(2000))))
    db.execute('UPDATE item SET changed = changed + 1, body = ? WHERE id = ?',
               (source.randbytes(500), source.randrange(1, 3 * number + 1)))
    db.execute('DELETE FROM item WHERE id = ?', (source.randrange(1, 3 * number + 1),))
    db.execute('INSERT OR REPLACE INTO progress VALUES (1, ?)', (number,))
    db.execute('COMMIT')


def progress(db):
    row = db.execute('SELECT number FROM progress').fetchone()
    return row[0] if row else 0


def rows(db):
    return db.execute('SELECT id, number, body, changed FROM item ORDER BY id').fetchall()


def write(path, mode, count, log=None, synchronous='FULL'):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    got = db.execute(f'PRAGMA journal_mode={mode}').fetchone()[0]
    if got.upper() != mode.upper():
        sys.exit(f'journal_mode is {got}, not {mode}')
    db.execute(f'PRAGMA synchronous={synchronous}')
    db.executescript(SCHEMA)
    done = open(log, 'a', buffering=1) if log else None
    first = progress(db) + 1
    for number in range(first, first + int(count)):
        transact(db, number)
        if done:
            done.write(f'{number}\n')
    db.close()


def check(path):
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    told = [row[0] for row in db.execute('PRAGMA integrity_check')]
    if told != ['ok']:
        sys.exit('\n'.join(told))
    db.execute('BEGIN')
    tables = db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    number, found = (progress(db), rows(db)) if tables == 2 else (0, [])
    db.execute('COMMIT')
    model = sqlite3.connect(':memory:', isolation_level=None)
    model.executescript(SCHEMA)
    for one in range(1, number + 1):
        transact(model, one)
    if rows(model) != found:
        sys.exit(f'rows differ from those that {number} transactions leave')
    print(number)


{'write': write, 'check': check}[sys.argv[1]](*sys.argv[2:])
