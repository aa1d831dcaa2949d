"""A function's start, without the garbage collector: modules, models and clients are made then,
and none of it is garbage, then or later. To look through it again and again is up to a tenth of it.

Whoever makes them imports this first.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

gc.disable()


@contextmanager
def nothing_collected() -> Iterator[None]:
    """While what is inside is made. What there is by then is never looked through again."""
    gc.disable()
    try:
        yield
    finally:
        imported()


def imported() -> None:
    gc.freeze()
    gc.enable()
