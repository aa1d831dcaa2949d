"""Which addresses tools may reach, and what a redirect may do."""

import socket
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import httpcore2
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.adapters.tools.addresses import Own, is_public, refused
from cueline.adapters.tools.connections import Backend, Deadline
from cueline.adapters.tools.guard import Network, Refused, _redirected
from cueline.settings import Settings

PUBLIC = "93.184.216.34"


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",  # metadata of virtual machines
        "169.254.170.2",  # credentials of containers
        "169.254.100.1",  # Lambda's runtime API
        "172.31.255.255",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:93.184.216.34",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",  # metadata of virtual machines
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_means_something_only_here_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "172.32.0.1", "2606:4700::1111"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses())
def test_no_address_that_python_calls_special_is_public(
    address: IPv4Address | IPv6Address,
) -> None:
    special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    assert not (special and is_public(address))


@given(st.ip_addresses(v=4), st.sampled_from(["::", "::ffff:0:0", "64:ff9b::"]))
def test_no_address_that_carries_another_one_is_public(inner: IPv4Address, prefix: str) -> None:
    assert not is_public(IPv6Address(int(IPv6Address(prefix)) + int(inner)))
    assert not is_public(IPv6Address((0x2002 << 112) + (int(inner) << 80)))


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=4))
def test_one_address_that_is_not_public_is_enough_to_refuse_a_host(addresses: list[str]) -> None:
    private = [one for one in addresses if not is_public(ip_address(one))]
    assert refused((), "host", 443, addresses) == bool(private)
    assert refused((), "host", 443, [*addresses, "10.0.0.1"])


def test_a_host_without_addresses_and_one_of_an_interface_are_refused() -> None:
    assert refused((), "host", 443, [])
    assert refused((Own.parse("fe80::/10"),), "host", 443, ["fe80::1%eth0"])


# --- a deployment's own network ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "host", "port", "address", "reached"),
    [
        ("api.internal", "api.internal", 80, "10.0.0.1", True),
        ("api.internal", "API.internal.", 80, "10.0.0.1", True),
        ("api.internal", "other.internal", 80, "10.0.0.1", False),
        ("api.internal", "x.api.internal", 80, "10.0.0.1", False),
        ("api.internal:8080", "api.internal", 8080, "10.0.0.1", True),
        ("api.internal:8080", "api.internal", 80, "10.0.0.1", False),
        ("10.0.0.0/16", "anything", 80, "10.0.3.4", True),
        ("10.0.0.0/16", "anything", 80, "10.1.0.1", False),
        ("10.0.0.1/16", "anything", 80, "10.0.3.4", True),
        ("10.0.0.0/16", "anything", 80, "::ffff:10.0.3.4", False),
        ("127.0.0.1:9000", "localhost", 9000, "127.0.0.1", True),
        ("127.0.0.1:9000", "localhost", 9001, "127.0.0.1", False),
        ("fd00::/8", "anything", 80, "fd00::1", True),
        ("::1", "localhost", 80, "::1", True),
        ("[::1]:9000", "localhost", 9000, "::1", True),
        ("[::1]:9000", "localhost", 80, "::1", False),
    ],
)
def test_tools_reach_what_a_deployment_names_as_its_own(
    own: str, host: str, port: int, address: str, reached: bool
) -> None:
    assert refused((Own.parse(own),), host, port, [address]) is not reached
    if reached:
        Network.of([own]).check(host, port, [address])
    else:
        with pytest.raises(Refused, match="TOOL_NETWORK") as error:
            Network.of([own]).check(host, port, [address])
        assert address not in str(error.value)


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "10.0.0.1/0", "http://a", "a b", "a:port", "a,,b", "*"]
)
def test_a_network_that_cannot_be_meant_is_refused_by_name(network: str) -> None:
    given = {"table_name": "t", "wake_ups_url": "u", "tool_network": network}
    with pytest.raises(ValueError, match="TOOL_NETWORK"):
        Settings.model_validate(given)


def test_every_network_that_settings_take_can_be_used() -> None:
    parts = "api.internal, api.internal:8080,10.0.0.0/16,::1,[::1]:80,127.0.0.1:80,fd00::1/8,x_y"
    given = {"table_name": "t", "wake_ups_url": "u", "tool_network": parts}
    assert len(Network.of(Settings.model_validate(given).tool_network).own) == 8


# --- connections ---------------------------------------------------------------------------------


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that resolves to something else a moment later is not asked a second time."""
    looked_up, connected = [], []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        address = PUBLIC if len(looked_up) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(self: object, host: str, port: int, *_: Any, **__: Any) -> None:
        connected.append((host, port))
        raise httpcore2.ConnectError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", connect)
    backend = Backend(Network().check, Deadline(time.monotonic() + 5))
    with pytest.raises(httpcore2.ConnectError):
        backend.connect_tcp("tool.example", 443)
    assert looked_up == ["tool.example"]
    assert connected == [(PUBLIC, 443)]


def test_a_deadline_shortens_every_wait_and_then_ends_it() -> None:
    assert 4 < Deadline(time.monotonic() + 5).left() <= 5
    assert Deadline(time.monotonic() + 5).left(1.0) == 1.0
    with pytest.raises(httpcore2.TimeoutException):
        Deadline(time.monotonic()).left(1.0)


# --- redirects -----------------------------------------------------------------------------------


def redirected(
    method: str, url: str, status: int, location: str
) -> tuple[str, str, dict[str, str], bytes]:
    headers = {"authorization": "Bearer x", "x-api-key": "x", "accept": "text/plain"}
    request = httpx2.Request(method, url, headers=headers, json={"a": 1})
    response = httpx2.Response(status, headers={"location": location})
    following = _redirected(request, response)
    assert following is not None
    return (
        following.method,
        str(following.url),
        dict(following.headers),
        b"".join(following.stream),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "location", ["https://other.example/x", "https://a.example:8443/x", "//other.example/x"]
)
def test_a_redirect_to_another_origin_takes_no_credentials_along(location: str) -> None:
    headers = redirected("POST", "https://a.example/", 307, location)[2]
    assert not {"authorization", "x-api-key"} & set(headers)
    assert headers["accept"] == "text/plain"
    assert headers["host"] in {"other.example", "a.example:8443"}


def test_a_redirect_within_an_origin_keeps_them() -> None:
    _, url, headers, body = redirected("POST", "https://a.example/x?y=1", 308, "/z")
    assert url == "https://a.example/z"
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer x", "x")
    assert body == b'{"a":1}'


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("PUT", 302, "PUT"),
        ("PUT", 303, "GET"),
        ("DELETE", 307, "DELETE"),
        ("POST", 308, "POST"),
    ],
)
def test_a_redirect_changes_the_method_as_in_browsers(method: str, status: int, then: str) -> None:
    got, _, headers, body = redirected(method, "https://a.example/", status, "/x")
    assert got == then
    assert bool(body) == ("content-length" in headers) == (then != "GET")


@pytest.mark.parametrize("location", ["http://a.example/", "ftp://a.example/", "file:///etc/hosts"])
def test_a_redirect_never_leaves_encryption(location: str) -> None:
    with pytest.raises(Refused, match="not encrypted"):
        redirected("GET", "https://a.example/", 302, location)
