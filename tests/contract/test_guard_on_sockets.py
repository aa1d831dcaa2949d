"""The guard on real sockets: what is refused, what ends in time. MCP servers are behind it too."""

import asyncio
import datetime
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cueline.adapters.tools import guard
from cueline.adapters.tools.guard import Network, Refused
from tests.remote import Server, remote

SECONDS = 5.0
Fetch = Callable[..., bytes]


@pytest.fixture
def server() -> Iterator[Server]:
    with remote() as server:
        yield server


def fetch(network: Network, url: str, seconds: float = SECONDS, **headers: str) -> bytes:
    with network.client(seconds, headers) as client:
        return client.get(url).content


def fetch_async(network: Network, url: str, seconds: float = SECONDS, **headers: str) -> bytes:
    async def visit() -> bytes:
        async with network.async_client(seconds, headers) as client:
            return (await client.get(url)).content

    return asyncio.run(visit())


@pytest.fixture(params=[fetch, fetch_async], ids=["sync", "async"])
def get(request: pytest.FixtureRequest) -> Fetch:
    found: Fetch = request.param
    return found


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ],
)
def test_this_machine_is_refused_however_it_is_written(
    server: Server, get: Fetch, host: str
) -> None:
    with pytest.raises((Refused, httpx2.ConnectError, httpx2.InvalidURL)):
        get(Network(), f"http://{host}:{server.port}/")
    assert not server.asked


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://10.0.0.1/"])
def test_what_only_this_network_has_is_refused(get: Fetch, url: str) -> None:
    with pytest.raises(Refused, match="not on the public internet"):
        get(Network(), url)


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data", "http://[::1]:1/"])
def test_a_redirect_into_this_network_is_refused(server: Server, get: Fetch, target: str) -> None:
    server.moved_to = target
    with pytest.raises(Refused, match="not on the public internet"):
        get(server.network, server.url + "/moved")


def test_a_redirect_to_a_neighbour_is_refused(server: Server, get: Fetch) -> None:
    """One port of this machine is the deployment's own here; its other ones are not."""
    with remote() as neighbour:
        server.moved_to = neighbour.url
        with pytest.raises(Refused):
            get(server.network, server.url + "/moved")
        assert not neighbour.asked


def test_a_redirect_to_another_origin_is_followed_without_credentials(
    server: Server, get: Fetch
) -> None:
    with remote() as other:
        server.moved_to = other.url + "/echo"
        get(Network.of(["127.0.0.1"]), server.url + "/moved", authorization="x", cookie="x")
        (asked,) = other.asked
    assert not {"authorization", "cookie"} & set(asked[2])
    assert asked[2]["host"] == f"127.0.0.1:{other.port}"


def test_a_redirect_within_an_origin_keeps_credentials(server: Server, get: Fetch) -> None:
    server.moved_to = "/echo"
    get(server.network, server.url + "/moved", authorization="x")
    assert [asked[2]["authorization"] for asked in server.asked] == ["x", "x"]


def test_three_redirects_are_enough(server: Server, get: Fetch) -> None:
    with pytest.raises(Refused, match="more than 3 times"):
        get(server.network, server.url + "/around")
    assert len(server.asked) == 4


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
def test_a_name_that_has_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, get: Fetch, addresses: list[str]
) -> None:
    resolving(monkeypatch, [addresses])
    with pytest.raises(Refused, match=r"tool\.example:80 is not on the public internet"):
        get(Network(), "http://tool.example/")


def test_a_name_is_looked_up_once_and_asked_for_by_name(
    server: Server, monkeypatch: pytest.MonkeyPatch, get: Fetch
) -> None:
    # Nobody is at the second one: were the name looked up again, the connection would fail.
    looked_up = resolving(monkeypatch, [["127.0.0.1"], ["127.0.0.99"]])
    get(server.network, f"http://tool.example:{server.port}/echo")
    assert looked_up == ["tool.example"]
    assert server.asked[0][2]["host"] == f"tool.example:{server.port}"


@pytest.mark.parametrize(("name", "reached"), [("tool.example", True), ("other.example", False)])
def test_a_certificate_has_to_be_the_names(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    get: Fetch,
    name: str,
    reached: bool,
) -> None:
    """Although the connection is made to an address."""
    certificate = self_signed(tmp_path / "certificate.pem", "tool.example")
    server.encrypt(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(guard, "_tls", lambda: trusting)
    resolving(monkeypatch, [["127.0.0.1"]])
    url = f"https://{name}:{server.port}/echo"
    if reached:
        assert get(server.network, url)
    else:
        with pytest.raises(httpx2.ConnectError):
            get(server.network, url)


def self_signed(file: Path, name: str) -> Path:
    """Certificate and key in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, form, plain))
    return file


def resolving(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> list[str]:
    """Names resolve to these, one after the other. Which were asked for."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def answer(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if not str(host).endswith(".example"):
            return resolve(host, port, *more, **options)
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize("path", ["/drip", "/drip_headers"])
def test_a_slow_drip_ends_at_the_deadline(server: Server, get: Fetch, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(httpx2.TimeoutException):
        get(server.network, server.url + path, seconds=0.5)
    assert time.monotonic() - began < 3


def test_time_that_is_over_before_it_begins_is_over(server: Server, get: Fetch) -> None:
    with pytest.raises(httpx2.TimeoutException):
        get(server.network, server.url, seconds=0)
    assert not server.asked


@pytest.mark.parametrize("path", ["/large", "/bomb"])
def test_more_than_a_tool_may_answer_is_refused(server: Server, get: Fetch, path: str) -> None:
    with pytest.raises(Refused, match="more than 1,000,000 bytes"):
        get(server.network, server.url + path)


def test_what_was_compressed_against_our_wish_is_read_all_the_same(
    server: Server, get: Fetch
) -> None:
    assert get(server.network, server.url + "/zipped") == b"hello"
    assert server.asked[0][2]["accept-encoding"] == "identity"


def test_what_cannot_be_unpacked_is_an_error(server: Server, get: Fetch) -> None:
    with pytest.raises(httpx2.DecodingError):
        get(server.network, server.url + "/garbled")
    with pytest.raises(Refused):
        get(server.network, server.url + "/brotli")


def test_no_proxy_of_the_environment_is_asked(
    server: Server, get: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert get(server.network, server.url + "/echo")


@pytest.mark.parametrize(
    "url", ["http://user:pass@127.0.0.1:{port}/", "http://u@127.0.0.1:{port}/"]
)
def test_a_url_with_credentials_is_not_called(server: Server, get: Fetch, url: str) -> None:
    with pytest.raises(Refused, match="Use a header"):
        get(server.network, url.format(port=server.port))
    assert not server.asked
