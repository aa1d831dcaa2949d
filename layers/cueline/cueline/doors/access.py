"""Who may come in: one check for every door, each of which answers in its own shape.

A caller sends a key, `<id>.<secret>`, or an access token that was made for one by
`cueline.doors.oauth`, `token.<id>.<expires at>.<signature>`. A token is stored nowhere. It ends
with the secret that it was made for: the signature is over that secret's hash, under a secret that
only the deployment has, since whoever reads the table must not be able to sign.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cueline.engine.ports import Clock, Key, Keys, Secret
from cueline.errors import Unauthorized

OPEN = "anyone"
"""The caller where access is not checked."""
MOST = 2
"""Secrets that a key may have."""
MAX_CREDENTIAL = 200
"""Characters of a key or a token; what is longer is not even hashed."""

_KEY_ID = re.compile(r"[0-9A-Za-z_-]{1,50}")
_TIME = re.compile(r"[0-9]{1,15}")
# Compared where a key has less than two secrets or is not there, so that time tells neither.
_NONE = Secret("0" * 64, expires_at=1)


@dataclass(frozen=True, slots=True)
class Access:
    """What a check stands on."""

    keys: Keys
    clock: Clock
    signing: Callable[[], bytes]
    """The deployment's secret that signs tokens. Raises Unavailable."""


def caller_of(headers: Mapping[str, str], access: Access | None) -> str:
    """The id of the caller's key; raises Unauthorized.

    The key or token is in `Authorization: Bearer` or in `x-api-key`. Where both are there only the
    first counts: clients that were given a token add a key that they found in their environment.
    Header names are lower case. `access` is None where it is not checked: on loopback only.
    """
    if access is None:
        return OPEN
    scheme, _, token = headers.get("authorization", "")[: MAX_CREDENTIAL + 8].partition(" ")
    bearer = token if scheme.lower() == "bearer" else ""
    given = bearer.strip() or headers.get("x-api-key", "")
    caller = _key_of(given.strip(), access) if len(given) <= MAX_CREDENTIAL else None
    if caller is None:
        raise Unauthorized(
            "Send a valid API key or access token as `Authorization: Bearer`, or a key as "
            "`x-api-key`. Where both are there, the first counts."
        )
    return caller


def payer_of(caller: str) -> str:
    """The key that pays for what `caller` asks for; nobody's where access is not checked."""
    return "" if caller == OPEN else caller


def _key_of(given: str, access: Access) -> str | None:
    match given.split("."):
        case [key_id, secret]:
            return key_id if secret_of(key_id, secret, access) else None
        case ["token", key_id, expires_at, signature]:
            return key_id if _signed(key_id, expires_at, signature, access) else None
    return None


def secret_of(key_id: str, secret: str, access: Access) -> Secret | None:
    """The live secret of this key that `secret` is."""
    digest = hashed(secret)
    return _live(key_id, access, lambda one: hmac.compare_digest(one.sha256, digest))


def new_token(key_id: str, secret: Secret, expires_at: int, access: Access) -> str:
    """Proves until `expires_at` (ms) that its holder had the secret; ends with it."""
    return f"token.{key_id}.{expires_at}.{_signature(key_id, expires_at, secret, access.signing())}"


def _signed(key_id: str, expires_at: str, signature: str, access: Access) -> bool:
    if not _TIME.fullmatch(expires_at) or int(expires_at) <= access.clock.now():
        return False
    signing, given = access.signing(), signature.encode("utf-8", "replace")

    def right(one: Secret) -> bool:
        wanted = _signature(key_id, int(expires_at), one, signing).encode()
        return hmac.compare_digest(wanted, given)

    return _live(key_id, access, right) is not None


def _signature(key_id: str, expires_at: int, secret: Secret, signing: bytes) -> str:
    told = f"{key_id}.{expires_at}.{secret.sha256}".encode()
    return hmac.new(signing, told, hashlib.sha256).hexdigest()


def _live(key_id: str, access: Access, right: Callable[[Secret], bool]) -> Secret | None:
    """The secret of the key that is `right`, unless it has expired; each is tried in any case."""
    key = access.keys.get(key_id) if _KEY_ID.fullmatch(key_id) else None
    if found := _right(key, access.clock.now(), right):
        return found
    # As it is remembered, a key may lack the secret that it has just got.
    key = access.keys.get(key_id, fresh=True) if key else None
    return _right(key, access.clock.now(), right)


def _right(key: Key | None, now: int, right: Callable[[Secret], bool]) -> Secret | None:
    stored = (*(key.secrets if key else ()), _NONE, _NONE)[:MOST]
    found = [one for one in stored if right(one)]
    return next((one for one in found if one.live(now)), None)


def hashed(secret: str) -> str:
    # A secret is random and long, so a fast hash tells nothing of it.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
