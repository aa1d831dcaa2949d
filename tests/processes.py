"""The processes of this machine, as `ps` lists them."""

import subprocess
from typing import NamedTuple


class Row(NamedTuple):
    pid: int
    parent: int
    command: str


def listed() -> list[Row]:
    """All that there are now."""
    output = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(None, 2) for line in output.splitlines())
    return [Row(int(pid), int(parent), command) for pid, parent, command in rows]


def below(root: int, processes: list[Row]) -> dict[int, str]:
    """Those that this one started, and that they started: id and command.

    A child's number may be the smaller one: numbers begin again at the machine's highest.
    """
    found: dict[int, str] = {}
    parents = {root}
    while parents:
        children = {one.pid: one.command for one in processes if one.parent in parents}
        parents = children.keys() - found.keys()
        found |= children
    return found
