"""Secrets that tools send as headers. Their values go into requests and nowhere else.

A secret's name says whose it is: `cueline/tools/<host>/<anything>` is sent to that host alone. So
whoever may configure tools cannot have it sent to a host of their own.
"""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from cueline.adapters.tools.addresses import plain
from cueline.adapters.tools.found import ToolError
from cueline.engine.agent import TOOL_SECRETS
from cueline.errors import unexpected

if TYPE_CHECKING:
    from cueline.adapters.tools.guard import Network

logger = logging.getLogger(__name__)

SECONDS = 300.0
"""A value that was read is used this long."""
MOST = 100
SHORTEST = 8
"""Characters of a secret's part that is hidden: shorter ones are words of any answer."""


class Secrets:
    """Values of secrets by their names, of which only those under `prefix` are a tool's to use.

    `read` brings one from the store. Safe to use from several threads.
    """

    def __init__(
        self,
        read: Callable[[str], str],
        prefix: str = TOOL_SECRETS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._prefix, self._monotonic = read, prefix, monotonic
        self._known: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def headers(self, named: Mapping[str, str], url: str, network: "Network") -> dict[str, str]:
        """From header -> secret's name to header -> value, for a request to `url`.

        Raises ToolError.
        """
        if not named:
            return {}
        address = urlsplit(url)
        host = plain(address.hostname or "")
        if address.scheme != "https" and not network.owns(host, address.port or 80):
            raise ToolError(
                "A secret goes over https only, but for a deployment's own network (TOOL_NETWORK)."
            )
        return {header: self._value(name, host) for header, name in named.items()}

    def _value(self, name: str, host: str) -> str:
        if not name.startswith(f"{self._prefix}{host}/"):
            raise ToolError(
                f"The secret {name!r} is not for {host}: those that are begin with "
                f"{self._prefix}{host}/."
            )
        now = self._monotonic()
        with self._lock:
            until, value = self._known.get(name, (now, ""))
        return value if now < until else self._look(name, now)

    def _look(self, name: str, now: float) -> str:
        try:
            value = self._read(name).strip()
        except (BotoCoreError, ClientError, KeyError) as error:  # KeyError: it is binary
            logger.warning("A tool's secret cannot be read", extra=unexpected(error))
            raise ToolError(
                f"The secret {name!r} cannot be read. Whoever runs this deployment can make it."
            ) from None
        if not value.isascii() or not value.isprintable():
            raise ToolError(f"The secret {name!r} has characters that no header may have.")
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[name] = (now + SECONDS, value)
        return value


def hidden(text: str, values: Iterable[str]) -> str:
    """The text without secrets: some servers answer with what they were sent, or a part of it."""
    forms = {form for value in values for part in _parts(value) for form in _forms(part)}
    # Longer ones first, of which others are parts.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "[secret]")
    return text


def _parts(value: str) -> Iterator[str]:
    """The value, and what a server may take out of it: a token, or a user and a password."""
    if value:
        yield value
    scheme, _, rest = value.partition(" ")
    parts = [rest.strip()]
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest, validate=True).decode()
        except ValueError:
            pass
        else:
            parts += [decoded, *decoded.split(":", 1)]
    yield from (part for part in parts if len(part) >= SHORTEST)


def _forms(part: str) -> Iterator[str]:
    """As it is, as JSON has it, and as a URL has it."""
    escaped = json.dumps(part)[1:-1]
    yield from (part, escaped, escaped.replace("/", "\\/"), quote(part, safe=""))
