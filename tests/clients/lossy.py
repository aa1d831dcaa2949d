"""A network that loses answers, or the connection while the answer is made."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Lossy:
    """Relays to the server; `lose` is how many of the next answers are lost, connection and all.

    With `instead` a gateway says with this status that it got none, and the connection stays.
    With `break_when` the next request's connection breaks, on both sides, once that is true.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.lose = 0
        self.instead: int | None = None
        self.lost: list[int] = []
        """The statuses of the lost answers."""
        self.break_when: Callable[[], object] | None = None
        self.broken = 0


@contextmanager
def losing_answers(url: str) -> Iterator[Lossy]:
    server = urlsplit(url)

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            upstream = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
            upstream.request(self.command, self.path, body, dict(self.headers))
            if condition := lossy.break_when:
                lossy.break_when = None
                deadline = time.monotonic() + 60
                while not condition() and time.monotonic() < deadline:
                    time.sleep(0.05)
                upstream.close()
                lossy.broken += 1
                self.hang_up()
                return
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if lossy.lose:
                lossy.lose -= 1
                lossy.lost.append(answer.status)
                if lossy.instead:
                    self.reply(lossy.instead, "application/json", b'{"message": "Bad gateway"}')
                else:
                    self.hang_up()
                return
            self.reply(answer.status, answer.headers["content-type"], content)

        def reply(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            if status != 204:
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_POST = do_PATCH = do_DELETE = relay  # noqa: N815 - the base class asks for them

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as relay:
        lossy = Lossy(relay.server_port)
        thread = threading.Thread(target=relay.serve_forever, daemon=True)
        thread.start()
        yield lossy
        relay.shutdown()
        thread.join()
