"""What somebody sends to a trigger: of any method and content type, in the body or in the query."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cueline.doors.background_triggers.errors import ContentTooLarge
from cueline.doors.body import MAX_TEXT_CHARACTERS, has_controls, object_in
from cueline.doors.idempotency import HEADER, digest
from cueline.doors.strict import invalid
from cueline.errors import InvalidRequest

MAX_EVENT = 256 * 1024
"""Bytes of a body."""
DELIVERY_HEADERS = (HEADER, "webhook-id", "svix-id", "x-github-delivery")
"""What senders name a delivery by, however often they repeat it; the first that is there counts."""
NOTHING = "(an event without a body)"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"[\t\xa0\u2007\u202f]")
"""What people paste, and mean a space by."""
_LONGEST = {"name": 500, "email": 254, "phone": 50}


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom an event is about, or who sent it: so says its sender, and nobody has checked it."""

    name: str = ""
    email: str = ""
    phone: str = ""

    @property
    def key(self) -> str:
        """What tells this one from others; a name alone does not."""
        return self.email or self.phone

    @property
    def fingerprint(self) -> str:
        """A UUID; of another name it is another one."""
        known = {"email": self.email, "name": self.name, "phone": self.phone}
        told = digest("contact", {name: value for name, value in known.items() if value})
        return str(UUID(bytes=hashlib.sha256(told.encode()).digest()[:16], version=5))


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event, from wherever it came."""

    text: str = ""
    body: str = ""
    """All that was sent, as text."""
    session: str = ""
    """Those that name the same one are told to the same session."""
    contact: Contact = Contact()
    key: str = ""
    """A digest: those that have the same one are one event, sent again. Empty for none."""
    digest: str = ""
    """Of what came with the key."""

    def texts(self, default: str) -> tuple[str, ...]:
        """What the agent is told, `default` being the trigger's own text.

        Raises ContentTooLarge.
        """
        told = _readable(self.body).strip()
        if default:
            texts = (default, *((f"The event's body: {told}",) if told else ()))
        else:
            texts = (_readable(self.text).strip() or told or NOTHING,)
        if sum(map(len, texts)) > MAX_TEXT_CHARACTERS:
            raise ContentTooLarge(f"The text is longer than {MAX_TEXT_CHARACTERS:,} characters.")
        return texts


def delivered(
    trigger: str,
    method: str,
    query: Mapping[str, Sequence[str]],
    headers: Mapping[str, str],
    raw: bytes,
) -> Delivered:
    """The event in a request; header names are lower case.

    What is in the query counts before what is in the body. Raises InvalidRequest, ContentTooLarge.
    """
    if len(raw) > MAX_EVENT:
        raise ContentTooLarge(f"The event is larger than {MAX_EVENT // 1024} KB.")
    given = _object(raw)
    fields = given or {}
    asked = {name: values[-1] for name, values in query.items() if values}
    person = fields.get("contact")
    inside = person if isinstance(person, dict) else {}
    contact = {}
    for name in _LONGEST:
        forms = (f"contact.{name}", f"contact[{name}]", f"contact_{name}")
        values = (*(asked.get(form) for form in forms), inside.get(name))
        contact[name] = next(filter(None, map(_word, values)), "")
    key = delivery_key(trigger, headers)
    return Delivered(
        text=_word(asked.get("text")) or _word(fields.get("text")),
        body="" if given == {} else raw.decode("utf-8", "replace"),
        session=_word(asked.get("session")) or _word(fields.get("session")),
        contact=contact_of(contact),
        key=key,
        digest=_digest(method, query, raw) if key else "",
    )


def delivery_key(trigger: str, headers: Mapping[str, str]) -> str:
    """Empty where the sender gives none; raises InvalidRequest."""
    name = next((name for name in DELIVERY_HEADERS if name in headers), None)
    if name is None:
        return ""
    if not _KEY.fullmatch(headers[name]):
        raise InvalidRequest(f"The header {name} must have 1 to 255 visible ASCII characters.")
    return digest("delivery", trigger, name, headers[name])


def spaced(text: str) -> str:
    """With a space for each tab and each space that does not break, as contacts have it."""
    return _SPACE.sub(" ", text)


def contact_of(given: Mapping[str, str]) -> Contact:
    """Raises InvalidRequest for what no contact can have."""
    told = {name: spaced(given.get(name, "")) for name in _LONGEST}
    wrong = {
        f"contact.{name}": f"must be up to {longest} characters, without control characters"
        for name, longest in _LONGEST.items()
        if len(told[name]) > longest or _NO_NAME.search(told[name])
    }
    if told["email"] and not _EMAIL.fullmatch(told["email"]):
        wrong["contact.email"] = "must be an e-mail address"
    if wrong:
        raise invalid(wrong)
    return Contact(**told)


def _object(raw: bytes) -> dict[str, Any] | None:
    """None is what is no JSON object: text, and that whole."""
    try:
        return object_in(raw)
    except InvalidRequest:
        return None


def _word(value: Any) -> str:
    """What is neither text nor a number was not meant for us."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _readable(text: str) -> str:
    return _CONTROL.sub("\ufffd", text) if has_controls(text) or not text.isascii() else text


def _digest(method: str, query: Mapping[str, Sequence[str]], raw: bytes) -> str:
    told = {name: list(values) for name, values in sorted(query.items())}
    return digest(method, told, hashlib.sha256(raw).hexdigest())
