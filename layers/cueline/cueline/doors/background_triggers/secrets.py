"""Secrets of triggers: derived from the deployment's own, so that they are stored nowhere."""

import hashlib
import hmac

from cueline.doors.access import MAX_CREDENTIAL
from cueline.engine.background import BackgroundTrigger
from cueline.errors import Unauthorized

_NOBODY = BackgroundTrigger("", 0, 0)


def secret_of(trigger: BackgroundTrigger, signing: bytes) -> str:
    """Another one with each generation; who sends events shows it.

    And each time that a trigger is made: under its Idempotency-Key it has the id that it had.
    """
    told = f"trigger.{trigger.id}.{trigger.created_at}.{trigger.generation}".encode()
    return hmac.new(signing, told, hashlib.sha256).hexdigest()


def check_secret(
    trigger: BackgroundTrigger | None, authorization: str, signing: bytes
) -> BackgroundTrigger:
    """The trigger, if it is there and takes events from whoever sent this header.

    Raises Unauthorized: for a wrong secret and for no trigger alike, and after the same work.
    """
    scheme, _, token = authorization[: MAX_CREDENTIAL + 8].partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else ""
    wanted = secret_of(trigger or _NOBODY, signing)
    right = hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))
    if trigger and (right or not trigger.authenticate):
        return trigger
    raise Unauthorized(
        "There is no such trigger, or this is not its secret. Send the secret that the trigger is "
        "shown with as `Authorization: Bearer`."
    )
