"""What a stack has to itself: its port, its state."""

import contextlib
import errno
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path

from local.processes import StartError

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def claim_port(text: str) -> socket.socket:
    """Bound but not listening: until the stack is ready, a caller is refused at once."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, int(text)))
    except (ValueError, OverflowError):
        raise StartError(f"PORT={text} is no port. Choose one: PORT=8801 make run") from None
    except OSError as error:
        why = "another process has it" if error.errno == errno.EADDRINUSE else error.strerror
        raise StartError(
            f"Port {text} cannot be used: {why}. Choose one: PORT=8801 make run"
        ) from None
    listener.set_inheritable(True)
    return listener


def claim_folder(state: Path) -> None:
    """There, and can be written to."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("logs", "tmp"):
            (state / folder).mkdir(exist_ok=True)
        with (state / "lock").open("a+"):
            pass
    except OSError as error:
        raise StartError(
            f"No state can be kept in {state}: {error.strerror}. "
            "Choose another folder: STATE_DIR=.local-2 make run"
        ) from None


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    with (state / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"Cueline already runs with the state in {state}. Stop it first, or run a second "
                "one beside it: STATE_DIR=.local-2 PORT=8801 make run"
            ) from None
        yield
