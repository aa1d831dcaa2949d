"""A process that has imported everything and starts others by forking: in a few milliseconds each.

    python -m tests.reliability.zygote

reads a line of JSON for each order and answers with one. It has no threads. It ends, and all that
it started with it, when its standard input does. Who stops itself is continued after a while.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.reliability.roles import ROLES, SERVERS, warm_up

STALL = 2.5
"""Leases for which a stopped process stands still, and a second more."""


class Zygote:
    def __init__(self) -> None:
        self.alive: dict[int, str] = {}
        """Process id -> role."""
        self.stopped: dict[int, float] = {}
        """Process id -> when it is continued."""
        self._leases: dict[int, int] = {}
        self.killed = self.stalled = 0
        self._watched, self._held = os.pipe()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "start":
                return self._start(order["role"], order["given"], Path(order["log"]))
            case "signal":
                if order["pid"] in self.alive:  # else its number may be somebody else's by now
                    os.kill(order["pid"], order["signal"])
                return {}
        return {
            "alive": self.alive,
            "stopped": list(self.stopped),
            "killed": self.killed,
            "stalled": self.stalled,
        }

    def _start(self, role: str, given: dict[str, Any], log: Path) -> dict[str, Any]:
        listening = _listening() if role in SERVERS else None
        pid = os.fork()
        if pid == 0:
            try:
                self._become(log)
                play: Callable[..., None] = ROLES[role]
                play(given, listening) if listening else play(given)
                sys.stderr.flush()
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)
        self.alive[pid] = role
        self._leases[pid] = given["conditions"]["lease"] if "conditions" in given else 0
        port = listening.getsockname()[1] if listening else 0
        if listening:
            listening.close()
        return {"pid": pid, "port": port}

    def _become(self, log: Path) -> None:
        """What a new process keeps of this one is what has been imported."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.close(self._held)
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(written, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

        def end_with_the_zygote() -> None:
            os.read(self._watched, 1)
            os._exit(0)

        threading.Thread(target=end_with_the_zygote, daemon=True).start()

    def look_after(self) -> None:
        """Notices who ended or stopped, and continues who has stood still long enough."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
                if not pid:
                    break
                if os.WIFSTOPPED(status):
                    self.stalled += 1
                    self.stopped[pid] = time.monotonic() + STALL * self._leases[pid] + 1
                    continue
                self.killed += os.WIFSIGNALED(status)
                self.alive.pop(pid, None)
                self.stopped.pop(pid, None)
        for pid, until in [*self.stopped.items()]:
            if until <= time.monotonic():
                del self.stopped[pid]
                os.kill(pid, signal.SIGCONT)


def _listening() -> socket.socket:
    # With its protocol named, as asyncio sets TCP_NODELAY only then.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.bind(("127.0.0.1", 0))
    made.listen(128)
    return made


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this decides
    warm_up()
    gc.freeze()
    zygote = Zygote()
    orders = b""
    print("{}", flush=True)  # noqa: T201
    while True:
        if select.select([0], [], [], 0.05)[0]:
            if not (read := os.read(0, 65536)):
                break
            *whole, orders = (orders + read).split(b"\n")
            for order in whole:
                print(json.dumps(zygote.obey(json.loads(order))), flush=True)  # noqa: T201
        zygote.look_after()
    for pid in zygote.alive:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
