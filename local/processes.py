"""Processes of the local stack: each has a log file, and dies with the stack."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

CHILD = Path(__file__).with_name("child.py")
# A proxy that the environment names is for the world outside.
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StartError(Exception):
    """The local stack cannot start; the message says why, and what to do."""


class Process:
    """A command under local/child.py."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        cwd: Path,
        grace: float = 3,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name, self.log, self.grace = name, log, grace
        # -S -E: the wrapper is standard library only, and starts in a few milliseconds.
        wrapper = [sys.executable, "-I", "-S", str(CHILD), str(grace)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*wrapper, *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=cwd,
                pass_fds=pass_fds,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait()

    def stop(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()  # see local/child.py
        try:
            self._process.wait(self.grace + 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_for(self, url: str, seconds: float, also: "Sequence[Process]" = ()) -> None:
        """Until `url` answers with success, which needs the processes of `also` too."""
        deadline = time.monotonic() + seconds
        while not answers(url):
            for ended in (one for one in (self, *also) if one.code is not None):
                raise StartError(
                    f"The {ended.name} ended at once. {ended.log} ends:\n{ended.tail()}"
                )
            if time.monotonic() > deadline:
                raise StartError(
                    f"The {self.name} did not answer at {url} within {seconds:.0f} s. "
                    f"{self.log} ends:\n{self.tail()}"
                )
            time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether `url` answers with a success."""
    try:
        with NO_PROXY.open(url, timeout=150):
            return True
    except (urllib.error.URLError, OSError):
        return False
