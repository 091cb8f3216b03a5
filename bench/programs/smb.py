"""Opens and makes files over SMB by names of another case, on one connection; prints the seconds of each, as JSON.

    smb.py SMB.CONF SHARE ENTRIES OPERATIONS FIRST

The share holds file-0000000 to file-(ENTRIES - 1). No name is used twice by runs with different FIRSTs. What is made is
removed at the end.
"""
import json
import sys
import time

from samba import NTSTATUSError, credentials
from samba.samba3 import libsmb_samba_internal as libsmb
from samba.samba3 import param

NOT_FOUND = 0xC0000034
READ, READ_WRITE = 0x120089, 0x12019F
OPEN, CREATE = 1, 2
SHARE_ALL = 7

configuration, share = sys.argv[1:3]
entries, operations, first = map(int, sys.argv[3:6])
settings = param.get_context()
settings.load(configuration)
nobody = credentials.Credentials()
nobody.set_anonymous()
connection = libsmb.Conn("127.0.0.1", share, lp=settings, creds=nobody)


def opened(name, disposition, access):
    handle = connection.create(name, DesiredAccess=access, ShareAccess=SHARE_ALL, CreateDisposition=disposition)
    connection.close(handle)


def missing(name):
    try:
        opened(name, OPEN, READ)
    except NTSTATUSError as error:
        if error.args[0] == NOT_FOUND:
            return
        raise
    raise AssertionError(f"{name} is there")


def timed(operation):
    seconds = []
    for index in range(operations):
        begin = time.perf_counter()
        operation(index)
        seconds.append(time.perf_counter() - begin)
    return seconds


def there(index):
    """Spread over the directory."""
    return (first + index) * 7919 % entries


print(
    json.dumps(
        {
            "create": timed(lambda index: opened(f"New-{first + index:07}.TXT", CREATE, READ_WRITE)),
            "open": timed(lambda index: opened(f"FILE-{there(index):07}", OPEN, READ)),
            "openExact": timed(lambda index: opened(f"file-{there(index):07}", OPEN, READ)),
            "openMissing": timed(lambda index: missing(f"None-{first + index:07}")),
        }
    )
)
for index in range(operations):
    connection.unlink(f"New-{first + index:07}.TXT")
