"""The gateway's end of WebSockets: python -m tests.bench.sockets PORT

It takes frames as API Gateway's management API does, at `/@connections/`, and keeps them with the
time at which each came. There are no clients.
"""

import asyncio
import json
import sys
import time

from tests.bench.connection import Connection, serve

FRAMES: list[tuple[float, str, str]] = []
"""When each came (seconds, on the clock that all processes of the machine share), to which
WebSocket, and what it says."""


class Sockets(Connection):
    async def answer(self, _: dict[bytes, bytes], body: bytes) -> None:
        at = time.monotonic()
        method, path, _version = self.request.decode().split(" ")
        if path == "/frames":
            self.whole(json.dumps(FRAMES[json.loads(body)["since"] :]).encode())
            return
        if method != "POST" or not path.startswith("/@connections/"):
            raise RuntimeError(f"nobody should ask for {method} {path}")
        FRAMES.append((at, path.rpartition("/")[2], body.decode()))
        self.whole(b"{}")


if __name__ == "__main__":
    asyncio.run(serve(Sockets, int(sys.argv[1])))
