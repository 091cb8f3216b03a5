"""Bytes that no compression makes smaller, and of which no two blocks are the same; from a seed, at the price of a copy."""
import random

_POOL = random.Random(1).randbytes((16 << 20) + 4093)


def blocks(total: int, each: int):
    """Views of `each` bytes, the last one shorter, `total` in all."""
    pool = memoryview(_POOL)
    at = 0
    while at < total:
        begin = at // each * 65521 * 13 % (len(pool) - each)
        yield pool[begin : begin + min(each, total - at)]
        at += each
