"""Which headers the edge hands on."""

from collections.abc import Sequence
from typing import Final

HOP_BY_HOP: Final = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
# Only the gateway may say these, here as on AWS.
GATEWAYS_OWN: Final = {"x-amzn-request-context", "x-amzn-lambda-context", "x-forwarded-for"}


def forwarded(headers: Sequence[tuple[bytes, bytes]], drop: set[str]) -> list[tuple[bytes, bytes]]:
    """Headers for the other side: without those of this connection alone."""
    named = {
        name.strip().lower()
        for key, value in headers
        if key.lower() == b"connection"
        for name in value.decode("latin-1").split(",")
    }
    drop = drop | HOP_BY_HOP | named
    return [(key, value) for key, value in headers if key.decode("latin-1").lower() not in drop]
