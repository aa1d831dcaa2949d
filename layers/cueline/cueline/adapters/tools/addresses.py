"""Which addresses a tool may reach: public ones, and those that the deployment names as its own."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Self

Address = IPv4Address | IPv6Address

# From IANA's registries of special-purpose addresses. Written down, since what `ipaddress` calls
# global changes with the version of Python.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; AWS uses it inside
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: metadata, credentials and Lambda's own runtime API
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# All else is loopback, local, multicast, or carries an IPv4 address (::ffff:0:0/96, 64:ff9b::/96).
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols' own: Teredo, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",
    )
)

_NAMED = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?")


def is_public(address: Address) -> bool:
    """Whether everybody on the internet reaches the same thing under it."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


@dataclass(frozen=True, slots=True)
class Own:
    """A part of the deployment's own network: a name, or a range of addresses; one port, or all."""

    name: str = ""
    addresses: IPv4Network | IPv6Network | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `host`, `host:port`, an address with or without a port, or a CIDR block."""
        if "/" in text or (text.count(":") > 1 and not text.startswith("[")):
            # As an interface has it: the bits of its host do not matter.
            return cls(addresses=ip_network(text, strict=False))
        found = _NAMED.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no host, host:port or CIDR block")
        host, port = found["host"].strip("[]"), found["port"]
        try:
            addresses = ip_network(host)
        except ValueError:
            return cls(name=plain(host), port=int(port) if port else None)
        return cls(addresses=addresses, port=int(port) if port else None)

    def has(self, host: str, port: int, address: Address) -> bool:
        if self.port not in {None, port}:
            return False
        if self.addresses is None:
            return plain(host) == self.name
        return address in self.addresses


def plain(host: str) -> str:
    """One spelling for a host's name."""
    return host.lower().removesuffix(".")


def refused(own: Iterable[Own], host: str, port: int, addresses: Sequence[str]) -> bool:
    """Whether any of the addresses that the host has is one that a tool may not reach.

    One is enough: who mixes public and private addresses wants to reach the private ones.
    """
    own = tuple(own)
    for text in addresses:
        address = ip_address(text)
        if getattr(address, "scope_id", None):
            return True  # its meaning depends on an interface of this machine
        if not is_public(address) and not any(one.has(host, port, address) for one in own):
            return True
    return not addresses
