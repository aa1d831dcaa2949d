"""A tool that leaves a trace of each run, whatever becomes of the process that it runs in."""

import os
import time

TAKES = 0.1
"""Seconds before the line is there, and again after that: time to die in."""


def write_down(entry: str, book: str) -> str:
    """Writes an entry into the ledger."""
    time.sleep(TAKES)
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(ledger, f"{book} {entry}\n".encode())
    os.close(ledger)
    time.sleep(TAKES)
    return f"{entry} is in the book."
