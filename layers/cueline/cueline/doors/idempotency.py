"""What makes two requests of one caller the same."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping

from cueline.errors import InvalidRequest

HEADER = "idempotency-key"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The header as given; raises InvalidRequest. Header names are lower case."""
    given = headers.get(HEADER)
    if given is not None and not _VISIBLE.fullmatch(given):
        raise InvalidRequest(
            "An Idempotency-Key has 1 to 255 visible ASCII characters.",
            {"Idempotency-Key": "wrong"},
        )
    return given


def digest(*parts: object) -> str:
    """22 characters that stand for these JSON values, and tell nothing of them."""
    told = json.dumps(parts).encode("ascii")
    return base64.urlsafe_b64encode(hashlib.sha256(told).digest())[:22].decode()
