"""Who may come in: one check for every door, each of which answers in its own shape."""

import hashlib
import hmac
from collections.abc import Mapping

from cueline.engine.ports import Key, Keys
from cueline.errors import Unauthorized

OPEN = "anyone"
"""The caller where access is not checked."""


def new_key(key_id: str, name: str, secret: str) -> tuple[Key, str]:
    """The key to store, and the text that its holder sends; nobody can be told that again."""
    return Key(key_id, _hash(secret), name), f"{key_id}.{secret}"


def caller_of(headers: Mapping[str, str], keys: Keys | None) -> str:
    """The id of the key in `x-api-key` or `Authorization: Bearer`; raises Unauthorized.

    Header names are lower case. `keys` is None where access is not checked: on loopback only.
    """
    if keys is None:
        return OPEN
    bearer = headers.get("authorization", "")
    given = headers.get("x-api-key") or (bearer[7:] if bearer[:7].lower() == "bearer " else "")
    key_id, _, secret = given.strip().partition(".")
    stored = keys.get(key_id) if key_id and len(given) <= 200 else None
    # An unknown id costs the same comparison, so that time does not tell which ids exist.
    expected = stored.secret_sha256 if stored else "0" * 64
    right = hmac.compare_digest(_hash(secret), expected)
    if not stored or not right:
        raise Unauthorized("Send a valid API key as `x-api-key` or as `Authorization: Bearer`.")
    return stored.id


def _hash(secret: str) -> str:
    # A secret is random and long, so a fast hash tells nothing of it.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
