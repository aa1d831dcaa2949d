"""Page keys: where a list goes on, in an opaque form that only its own list takes back."""

import base64
import binascii
import json
import re

from cueline.errors import InvalidPageKey

_RANK = re.compile(r"[0-9]{15}#[0-9A-Za-z_-]{1,200}")


def rank(created_at: int, key: str) -> str:
    """Sorts a list by the time of making (ms); the key breaks ties."""
    return f"{created_at:015}#{key}"


def page_key(of: str, last: str) -> str:
    """`of` names the list, `last` is the rank of the last item given out."""
    text = json.dumps([of, last], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def rank_in(given: str | None, of: str) -> str:
    """The rank after which the list goes on: below all ranks without a key.

    Raises InvalidPageKey for everything that `page_key(of, ...)` cannot have made.
    """
    if given is None:
        return "0"
    try:
        found = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidPageKey from None
    match found:
        # Decoders are lenient: only what this list itself would have made comes back in.
        case [str(), str(last)] if _RANK.fullmatch(last) and page_key(of, last) == given:
            return last
    raise InvalidPageKey
