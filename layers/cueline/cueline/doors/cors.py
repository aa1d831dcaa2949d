"""Which web pages may call the doors: one answer to browsers, for every door."""

from collections.abc import Set
from dataclasses import dataclass

_METHODS = "GET, POST, PATCH, PUT, DELETE"
_HEADERS = (
    "authorization, content-type, customer-id, idempotency-key, request-timeout, "
    "request-timeout-millis, x-api-key, x-fern-language, x-fern-runtime, x-fern-runtime-version, "
    "x-source"
)
_EXPOSED = "x-request-id, retry-after"
_SECONDS = "7200"  # the longest that Chromium remembers a preflight


@dataclass(frozen=True, slots=True)
class Cors:
    """Origins are compared as they are, such as `https://example.com:8443`.

    Credentials are never allowed: a key is sent by the page itself, not by its browser.
    """

    origins: Set[str] = frozenset()

    def headers(self, origin: str | None) -> dict[str, str]:
        """Of any answer, to a request that came with this `Origin`."""
        if not self.origins:
            return {}
        if origin is None or origin not in self.origins:
            return {"vary": "origin"}
        return {
            "vary": "origin",
            "access-control-allow-origin": origin,
            "access-control-expose-headers": _EXPOSED,
        }

    def preflight(self, origin: str | None) -> dict[str, str]:
        """Of the answer to a browser that asks before it sends."""
        if origin not in self.origins:
            return self.headers(origin)
        return {
            **self.headers(origin),
            "access-control-allow-methods": _METHODS,
            "access-control-allow-headers": _HEADERS,
            "access-control-max-age": _SECONDS,
        }
