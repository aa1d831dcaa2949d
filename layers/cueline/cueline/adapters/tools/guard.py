"""HTTP clients that whoever configures a tool, or answers it, cannot turn against this network.

A host is resolved once, all its addresses are checked, and the connection goes to one of those: a
name that resolves differently a moment later changes nothing. TLS still asks for the name.
Redirects are followed here, each under the same rules. A client is made for one call: it ends at
one deadline, however slowly bytes drip, and no cookie or connection goes over to another call.
"""

import codecs
import functools
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self, cast

import httpcore2
import httpx2

from cueline.adapters.tools.addresses import Own, plain, refused
from cueline.adapters.tools.connections import AsyncBackend, Backend, Deadline, Refused

__all__ = ["LARGEST_BODY", "Network", "Refused"]

LARGEST_BODY = 1_000_000
"""Bytes of an answer, before and after decompression."""
MOST_REDIRECTS = 3
CONNECT_SECONDS = 5.0
"""For each of a host's addresses."""
# What a redirect to another origin takes along; all else may tell who asks, or prove it.
_HARMLESS = frozenset({"accept", "accept-encoding", "content-length", "content-type", "user-agent"})

_TEXT = frozenset({"utf-8", "ascii", "iso8859-1", "utf-16", "utf-16-be", "utf-16-le"})
"""As Python calls them."""


@dataclass(frozen=True, slots=True)
class Network:
    """Where tools may connect to: all public addresses, and what the deployment calls its own."""

    own: tuple[Own, ...] = ()

    @classmethod
    def of(cls, own: Iterable[str]) -> Self:
        """From the parts of `TOOL_NETWORK`."""
        return cls(tuple(map(Own.parse, own)))

    def client(self, seconds: float, headers: Mapping[str, str] | None = None) -> httpx2.Client:
        """For one call, which has `seconds` from now on. Raises Refused beside httpx's errors."""
        transport = _Transport(self, Deadline(time.monotonic() + seconds))
        return httpx2.Client(transport=transport, **_options(seconds, headers))

    def async_client(
        self, seconds: float, headers: Mapping[str, str] | None = None
    ) -> httpx2.AsyncClient:
        """As `client`."""
        transport = _AsyncTransport(self, Deadline(time.monotonic() + seconds))
        return httpx2.AsyncClient(transport=transport, **_options(seconds, headers))

    def owns(self, host: str, port: int) -> bool:
        """Whether the deployment has named this very host, not only what it may resolve to."""
        try:
            address = ip_address(host)
        except ValueError:
            return any(one.name == plain(host) and one.port in {None, port} for one in self.own)
        return any(one.has(host, port, address) for one in self.own)

    def check(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Raises Refused unless every address may be connected to."""
        if refused(self.own, host, port, addresses):
            raise Refused(
                f"{host}:{port} is not on the public internet. Tools reach a deployment's own "
                "network only where its TOOL_NETWORK names it."
            )


def _options(seconds: float, headers: Mapping[str, str] | None) -> dict[str, Any]:
    all_headers = httpx2.Headers({"user-agent": "cueline"})
    all_headers.update(headers)
    return {
        "headers": all_headers,
        "timeout": httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
        # A proxy would resolve names by itself, and a .netrc is not this agent's.
        "trust_env": False,
    }


@functools.cache
def _tls() -> ssl.SSLContext:
    # Reading all authorities takes longer than a handshake.
    return httpx2.create_ssl_context()


class _Transport(httpx2.HTTPTransport):
    """httpx's own transport on guarded connections; follows redirects by itself."""

    def __init__(self, network: Network, deadline: Deadline) -> None:
        # Not the parent's __init__: it has no argument for the network backend.
        backend = Backend(network.check, deadline)
        self._pool = httpcore2.ConnectionPool(ssl_context=_tls(), network_backend=backend)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        for _ in range(MOST_REDIRECTS + 1):
            response = super().handle_request(_checked(request))
            body = cast("httpx2.SyncByteStream", response.stream)
            try:
                following = _redirected(request, response)
                if following is None:
                    response.stream = _Metered(body, _Meter(response))
                    return response
            except BaseException:
                body.close()
                raise
            body.close()
            request = following
        raise Refused(f"The server redirects more than {MOST_REDIRECTS} times.")


class _AsyncTransport(httpx2.AsyncHTTPTransport):
    """As _Transport."""

    def __init__(self, network: Network, deadline: Deadline) -> None:
        backend = AsyncBackend(network.check, deadline)
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=_tls(), network_backend=backend)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for _ in range(MOST_REDIRECTS + 1):
            response = await super().handle_async_request(_checked(request))
            body = cast("httpx2.AsyncByteStream", response.stream)
            try:
                following = _redirected(request, response)
                if following is None:
                    response.stream = _AsyncMetered(body, _Meter(response))
                    return response
            except BaseException:
                await body.aclose()
                raise
            await body.aclose()
            request = following
        raise Refused(f"The server redirects more than {MOST_REDIRECTS} times.")


# --- requests ------------------------------------------------------------------------------------


def _checked(request: httpx2.Request) -> httpx2.Request:
    if request.url.scheme not in {"http", "https"}:
        raise Refused("Only http and https URLs are called.")
    if request.url.userinfo:
        raise Refused("A URL with a user name or password is not called. Use a header.")
    # Not compressed, so that an answer is as large as it looks.
    request.headers["accept-encoding"] = "identity"
    return request


def _redirected(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | None:
    """The request that follows a redirect; None where the response is none."""
    if not response.has_redirect_location:
        return None
    try:
        url = request.url.join(response.headers["location"])
    except httpx2.InvalidURL:
        raise Refused("The server redirects to something that is no URL.") from None
    if request.url.scheme == "https" and url.scheme != "https":
        raise Refused("The server redirects from https to something that is not encrypted.")
    method, stream = request.method, request.stream
    headers = dict(request.headers)
    if url.origin != request.url.origin:
        headers = {name: value for name, value in headers.items() if name in _HARMLESS}
    headers["host"] = url.netloc.decode("ascii")
    # As browsers do it.
    seen = response.status_code == 303 and method != "HEAD"
    if seen or (response.status_code in {301, 302} and method == "POST"):
        of_body = ("content-", "transfer-")
        headers = {name: one for name, one in headers.items() if not name.startswith(of_body)}
        return httpx2.Request("GET", url, headers=headers, extensions=request.extensions)
    return httpx2.Request(
        method, url, headers=headers, stream=stream, extensions=request.extensions
    )


# --- answers -------------------------------------------------------------------------------------


class _Meter:
    """Counts and unpacks the body of one answer; no more than what is allowed is ever unpacked."""

    def __init__(self, response: httpx2.Response) -> None:
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "deflate"}:
            raise Refused("The answer is compressed in a way that was not asked for.")
        self._unpack = None if encoding == "identity" else zlib.decompressobj(wbits=47)
        self._packed = self._size = 0
        _name_text_only(response)

    def pass_on(self, chunk: bytes) -> bytes:
        self._packed += len(chunk)
        if self._unpack:
            try:
                chunk = self._unpack.decompress(chunk, LARGEST_BODY + 1 - self._size)
            except zlib.error:
                raise httpx2.DecodingError("The answer cannot be decompressed.") from None
        self._size += len(chunk)
        if max(self._packed, self._size) > LARGEST_BODY:
            raise Refused(f"The answer has more than {LARGEST_BODY:,} bytes. Ask for less.")
        return chunk


def _name_text_only(response: httpx2.Response) -> None:
    """Any other encoding is read as UTF-8: Python's include compression, and slow ones."""
    try:
        known = codecs.lookup(response.charset_encoding or "utf-8").name in _TEXT
    except (LookupError, ValueError):
        known = False
    if not known:
        response.headers["content-type"] = response.headers["content-type"].partition(";")[0]


class _Metered(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, meter: _Meter) -> None:
        self._inner, self._meter = inner, meter

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            yield self._meter.pass_on(chunk)

    def close(self) -> None:
        self._inner.close()


class _AsyncMetered(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, meter: _Meter) -> None:
        self._inner, self._meter = inner, meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield self._meter.pass_on(chunk)

    async def aclose(self) -> None:
        await self._inner.aclose()
