"""A server that tools call, well-behaved or not."""

import gzip
import json
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cueline.adapters.tools.guard import LARGEST_BODY, Network


class Server:
    """Answers as its paths say, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                # Callers that hang up in the middle are what some tests are about.
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((self.command, self.path, headers, body))
                name = self.path.split("?")[0].split("/")[1]
                getattr(server, name, server.echo)(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.network = Network.of([f"127.0.0.1:{self.port}"])
        self.moved_to = ""
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def encrypt(self, certificate: Path) -> None:
        """From the next connection on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @staticmethod
    def send(
        to: BaseHTTPRequestHandler, body: bytes, kind: str = "", status: int = 200, **more: str
    ) -> None:
        to.send_response(status)
        for name, value in more.items():
            to.send_header(name.replace("_", "-"), value)
        if kind:
            to.send_header("content-type", kind)
        to.send_header("content-length", str(len(body)))
        to.end_headers()
        to.wfile.write(body)

    def echo(self, to: BaseHTTPRequestHandler) -> None:
        command, path, headers, body = self.asked[-1]
        said = {"method": command, "path": path, "key": headers.get("x-key"), "body": body.decode()}
        self.send(to, json.dumps(said).encode(), "application/json; charset=utf-8")

    def fail(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"no such city", "text/plain", 404)

    def image(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"\x89PNG", "image/png")

    def nothing(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"", status=204)

    def moved(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"", status=307, location=self.moved_to)

    def around(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"", status=302, location="/around")

    def large(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"x" * (LARGEST_BODY + 1), "text/plain")

    def zipped(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, gzip.compress(b"hello"), "text/plain", content_encoding="gzip")

    def bomb(self, to: BaseHTTPRequestHandler) -> None:
        packed = zlib.compress(bytes(200_000_000), 9)
        self.send(to, packed, "text/plain", content_encoding="deflate")

    def garbled(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"no gzip", "text/plain", content_encoding="gzip")

    def brotli(self, to: BaseHTTPRequestHandler) -> None:
        self.send(to, b"x", "text/plain", content_encoding="br")

    def drip(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("content-type", "text/plain")
        to.end_headers()
        self._slowly(to)

    def drip_headers(self, to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        self._slowly(to)

    @staticmethod
    def _slowly(to: BaseHTTPRequestHandler) -> None:
        for _ in range(200):
            to.wfile.write(b"x")
            to.wfile.flush()
            time.sleep(0.05)


@contextmanager
def remote() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()
