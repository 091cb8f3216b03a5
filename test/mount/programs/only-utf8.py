"""Takes away from a tree what is not UTF-8: names, and links that say something else.

    only-utf8.py TREE
"""
import os
import shutil
import sys


def is_utf8(name):
    try:
        name.decode()
        return True
    except UnicodeDecodeError:
        return False


for directory, directories, files in os.walk(os.fsencode(sys.argv[1]), topdown=False):
    for name in directories + files:
        path = os.path.join(directory, name)
        is_link = os.path.islink(path)
        if is_utf8(name) and (not is_link or is_utf8(os.readlink(path))):
            continue
        if is_link or not os.path.isdir(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)
