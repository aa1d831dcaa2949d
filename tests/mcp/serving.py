"""An MCP server that nobody here wrote: `mcp-server-time` behind `mcp-proxy`, both from PyPI."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local.claims import HOST, free_port
from local.processes import Process
from local.template import ROOT
from tests.processes import listed

PYTHON = ROOT / ".envs/mcp/bin/python"
START_SECONDS = 30


@contextmanager
def time_server() -> Iterator[str]:
    """The URL of its streamable HTTP endpoint, while it is served on loopback.

    Its tools are `get_current_time` and `convert_time`.
    """
    if not PYTHON.exists():
        raise FileNotFoundError(f"{PYTHON} is not there: run `make environments`")
    port = str(free_port())
    proxy = [str(PYTHON), "-m", "mcp_proxy", "--host", HOST, "--port", port]
    server = [str(PYTHON), "-m", "mcp_server_time", "--local-timezone", "UTC"]
    with tempfile.TemporaryDirectory() as folder:
        process = Process(
            "MCP server",
            [*proxy, "--", *server],
            log=Path(folder) / "mcp.log",
            environment={"PATH": os.environ["PATH"]},
            cwd=Path(folder),
        )
        children: list[int] = []
        try:
            process.wait_for(f"http://{HOST}:{port}/status", START_SECONDS)
            children = _with(f"--port {port} -- ")
            yield f"http://{HOST}:{port}/mcp"
        finally:
            process.stop()
            # The proxy gives its server a session of its own, where the group's end misses it.
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)


def _with(part: str) -> list[int]:
    """The children of processes whose command has `part` in it."""
    processes = listed()
    parents = {one.pid for one in processes if part in one.command}
    return [one.pid for one in processes if one.parent in parents]
