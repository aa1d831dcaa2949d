"""A request that makes something, told from a repeat of one that has made it already.

What is made keeps a mark of the request. With an Idempotency-Key that answers every repeat, as
long as it is there; without one only what is probably the client's own retry. Making it is the
lock, and nothing else is kept: so requests that name different keys are never compared, not even
under one Idempotency-Key.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cueline.doors.idempotency import digest
from cueline.errors import IdempotencyKeyReused

RETRY_MS = 60_000
"""The published clients repeat within seconds what was lost, and lose it after a minute at most."""


@dataclass(frozen=True, slots=True)
class Creation:
    """`key` is the Idempotency-Key; it stands for one creation in each list, by each caller."""

    caller: str
    key: str | None
    body: Mapping[str, Any]

    @property
    def mark(self) -> str:
        """To be kept with what is made; tells nothing of the request."""
        return f"{self._maker}.{self._asked}"

    def own_key(self, prefix: str) -> str | None:
        """The key of what is made under an Idempotency-Key and has no key of its own.

        Each repeat comes to the same, so that making it is the lock; not from the name, which is
        part of the body and may differ.
        """
        return None if self.key is None else _key(prefix, self._maker)

    def own_keys(self, prefix: str, now: int) -> Sequence[str]:
        """The key under which to make it, and those under which a retry may have made it before.

        Without an Idempotency-Key they are of the request and of the minute of `now`, and of the
        one before: what has been made there is to be asked whether it was `made` by this one.
        """
        if own := self.own_key(prefix):
            return [own]
        minute = now // RETRY_MS
        return [_key(prefix, self.mark, at) for at in (minute, minute - 1)]

    def made(self, mark: str, version: int, age: int) -> bool:
        """Whether this request made what has `mark`; raises IdempotencyKeyReused. `age` is in ms.

        Without an Idempotency-Key it did where the same caller asked the same just before, and
        nobody has changed it since.
        """
        maker, _, asked = mark.partition(".")
        if maker != self._maker:
            return False
        if self.key is None:
            return asked == self._asked and version == 0 and age < RETRY_MS
        if asked != self._asked:
            raise IdempotencyKeyReused
        return True

    @property
    def _maker(self) -> str:
        return digest(self.caller, self.key)

    @property
    def _asked(self) -> str:
        return digest(json.dumps(self.body, sort_keys=True))


def _key(prefix: str, *parts: object) -> str:
    told = ".".join(map(str, parts))
    return f"{prefix}_{hashlib.sha256(told.encode()).hexdigest()[:32]}"
