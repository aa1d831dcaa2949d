"""The `openai` client as Cueline uses it: one a process, no retries, and no read past a deadline.

httpx fixes its read timeout when a request starts and counts each read alone, so a server that
drips a byte now and then would hold a turn for ever. Here the timeout is a `Patience`: httpx
carries it as a number, and our own sockets ask it before each read how long it may still take.
"""

import functools
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2
from openai import APIResponse, OpenAI

from cueline.adapters.openai.errors import cut, rejected, translate
from cueline.adapters.openai.event_stream import ServerEvent, malformed, server_events
from cueline.engine.agent import OutputSchema
from cueline.engine.model import Chunk, End

OPENAI = "https://api.openai.com/v1"
CONNECT_SECONDS = 5.0
LARGEST_ERROR_BODY = 256 * 1024
# The provider closes its connections after minutes; a turn's next call reuses them until then.
KEEP_IDLE_SECONDS = 30.0
# How long a finished answer may wait for the last bytes that make its connection reusable.
DRAIN_SECONDS = 0.1
# Keys that say what is asked. A caller's `parameters` say how, and may not name them.
OWNED = frozenset({"model", "input", "messages", "stream", "instructions", "tools"})
_WRITE_AT_ONCE = 64 * 1024


class Patience(float):
    """A read timeout in seconds that shrinks towards the deadline (monotonic clock)."""

    idle: float
    deadline: float
    _lock: threading.Lock
    _settled: bool
    _socket: socket.socket | None

    def __new__(cls, idle: float, deadline: float) -> Self:
        patience = super().__new__(cls, max(0.001, min(idle, deadline - time.monotonic())))
        patience.idle, patience.deadline = idle, deadline
        patience._lock, patience._settled, patience._socket = threading.Lock(), False, None
        return patience

    def left(self) -> float:
        """What the next read may take; `ReadTimeout` once the deadline has passed."""
        left = min(self.idle, self.deadline - time.monotonic())
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline has passed")
        return left

    def wait_on(self, waiting: socket.socket | None) -> None:
        """Remembers what the call waits on, so that `end` can wake it."""
        if not self._settled:
            self._socket = waiting

    def settle(self, seconds: float = 0.0) -> None:
        """The answer is here: what is left ends within `seconds`.

        From now on the connection may serve another call, so `end` must not touch it.
        """
        with self._lock:
            self._settled, self._socket = True, None
        self.deadline = min(self.deadline, time.monotonic() + seconds)

    def end(self) -> None:
        """Ends it now, also a read that another thread waits in."""
        self.deadline = 0.0
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    # The plain call even on TLS: SSLSocket's own would break the reader's state.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if isinstance(timeout, Patience):
            timeout.wait_on(self._inner.get_extra_info("socket"))
            timeout = timeout.left()
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_AT_ONCE):
            left = timeout.left() if isinstance(timeout, Patience) else timeout
            self._inner.write(buffer[start : start + _WRITE_AT_ONCE], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore2.SyncBackend):
    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(*args, **kwargs))


class _Transport(httpx2.HTTPTransport):
    """httpx's own transport on a pool whose sockets know `Patience`."""

    def __init__(self, proxy: str | None) -> None:
        # Not the parent's __init__: it has no argument for the network backend.
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            proxy=httpcore2.Proxy(proxy) if proxy else None,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=KEEP_IDLE_SECONDS,
            network_backend=_Network(),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if response.status_code >= 300 and isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Capped(response.stream)  # the client reads an error body whole
        return response


class _Capped(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._inner:
            yield chunk
            size += len(chunk)
            if size > LARGEST_ERROR_BODY:
                return

    def close(self) -> None:
        self._inner.close()


@functools.lru_cache(maxsize=8)
def shared_client(api_key: str, base_url: str) -> OpenAI:
    """The process's client for this key and server; safe for use from several threads."""
    http = httpx2.Client(
        transport=_Transport(_proxy(base_url)),
        # A redirect would carry the conversation to a server that nobody configured.
        follow_redirects=False,
    )
    # No retries: the engine retries, which knows the deadline and what was shown already.
    client = OpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http)
    weakref.finalize(client, http.close)
    return client


def _proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this server, as httpx would find it."""
    address = urlsplit(base_url)
    if address.hostname is None or address.hostname in {"localhost", "127.0.0.1", "::1"}:
        return None
    if proxy_bypass(address.hostname):
        return None
    proxies = getproxies()
    found = proxies.get(address.scheme) or proxies.get("all")
    return found if found and found.startswith("http") else None


Create = Callable[..., AbstractContextManager[APIResponse[Any]]]
Read = Callable[[Iterator[ServerEvent], Patience], Generator[Chunk, None, End]]


class Answer(Iterator[Chunk]):
    """The chunks of one model call. `close` ends it at once, from any thread."""

    def __init__(
        self, create: Create, read: Read, body: dict[str, Any], patience: Patience, secret: str
    ) -> None:
        self._patience, self._secret = patience, secret
        self._chunks = _chunks(create, read, body, patience)

    def __next__(self) -> Chunk:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except Exception as error:
            # Without its cause: what the client raises holds the request, and so the key.
            raise translate(error, self._secret) from None

    def close(self) -> None:
        self._patience.end()
        # ValueError: another thread waits in it, and its read has just been ended.
        with suppress(ValueError):
            self._chunks.close()


def _chunks(
    create: Create, read: Read, body: dict[str, Any], patience: Patience
) -> Generator[Chunk, None, None]:
    connect = min(CONNECT_SECONDS, patience.left())
    timeout = httpx2.Timeout(connect=connect, read=patience, write=patience, pool=connect)
    # Compression would hold deltas back.
    headers = {"Accept-Encoding": "identity"}
    with ExitStack() as stack:
        stack.callback(patience.settle)
        try:
            response = stack.enter_context(
                create(extra_body=body, timeout=timeout, extra_headers=headers)
            )
        except (ValueError, TypeError, RecursionError):
            raise rejected("The request to the model cannot be written as JSON.") from None
        pieces = response.iter_bytes()
        end = yield from read(_told(pieces), patience)
        patience.settle(DRAIN_SECONDS)
        with suppress(httpx2.HTTPError, httpx2.StreamError):
            for _ in pieces:
                pass  # the connection goes back to the pool only once its body is read
        yield end


def _told(pieces: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events; raises at the end of the bytes, as every whole answer is left before that."""
    seen = size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            yield piece

    for event in server_events(counted()):
        seen += 1
        yield event
    if size and not seen:
        raise malformed("something that is not an event stream", retryable=False)
    raise cut()


def with_parameters(own: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request's body: what the adapter says, and the caller's parameters as they are."""
    taken = sorted(OWNED & set(parameters))
    if taken:
        raise rejected(f"The model parameters may not set {', '.join(taken)}.")
    return {**own, **parameters}


def named_schema(output: OutputSchema) -> dict[str, Any]:
    """The form of an answer, as both APIs have it; strictly only where somebody asked for that.

    A strict schema must keep to rules that most do not, and is refused if it does not.
    """
    described = {"description": output.description} if output.description else {}
    return {
        "name": output.name,
        "schema": output.json_schema,
        "strict": bool(output.strict),
        **described,
    }


def unique_call(call: str, calls: set[str]) -> str:
    """The call's id, or another where the model gave none or one that this answer has already.

    The log finds a call's output by its id, and providers take any id that call and output share.
    """
    if not call or call in calls:
        call = f"call_{uuid.uuid4().hex[:24]}"
    calls.add(call)
    return call
