"""Contacts: the customers of all doors, as the published client reads and writes them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cueline.doors.background_triggers import conversations
from cueline.doors.background_triggers.calls import Call, Reply, Route
from cueline.doors.background_triggers.errors import ContactNotFound
from cueline.doors.background_triggers.event_body import Contact, contact_of, spaced
from cueline.doors.background_triggers.listing import Fields, ListQuery, listed
from cueline.doors.creation import Creation
from cueline.doors.shared import MAX_ECHO
from cueline.doors.strict import invalid, parse, text
from cueline.doors.triggered_responses.keys import is_id
from cueline.engine.ports import Customer, Place, Ports
from cueline.engine.sessions import TRIES
from cueline.errors import Conflict, InvalidRequest, Unavailable
from cueline.log.segment import GUEST
from cueline.log.strict_json import object_of

MAX_CONTACT = 32_000
"""UTF-8 bytes of all that is known of a contact."""

_PLAIN = ("email", "phone", "nick", "preferences", "description")
"""What a customer's metadata has under its own name, for the other doors too."""
_KEPT = "contact"
"""Where a customer's metadata has the rest, as JSON: what is no text, and this door's own."""


def _text(value: str) -> str:
    return text(value) if value else value


Text = Annotated[str, AfterValidator(_text)]
"""May be empty, which takes away what is there."""
Line = Annotated[Text, AfterValidator(spaced)]
"""As it is told of whoever sends an event: the same one is the same contact."""
ShortText = Annotated[str, Field(max_length=500), AfterValidator(_text)]


class ContactFields(BaseModel):
    """Fields that the door does not know are ignored. Null takes away what is there."""

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)

    name: Line | None = None
    email: Line | None = None
    phone: Line | None = None
    nick: ShortText | None = None
    preferences: Text | None = None
    description: Text | None = None
    verified_at: Annotated[int, Field(ge=0, le=2**53)] | None = Field(None, alias="verifiedAt")
    meta: dict[str, Any] | None = None
    fingerprint: ShortText | None = None

    @property
    def changes(self) -> Fields:
        """What was given, as it is on the wire."""
        return self.model_dump(include=self.model_fields_set - {"fingerprint"}, by_alias=True)

    @property
    def id(self) -> str:
        """Of who is meant; empty where that may be anybody. Raises InvalidRequest."""
        contact = self.check()
        if not self.fingerprint:
            return contact.fingerprint if contact.key else ""
        if not is_id(self.fingerprint) or self.fingerprint == GUEST:
            raise invalid({"fingerprint": "must be 1 to 200 printable characters without / % ? #"})
        return self.fingerprint

    def check(self) -> Contact:
        """Raises InvalidRequest where no contact can be so."""
        given = {"name": self.name, "email": self.email, "phone": self.phone}
        return contact_of({name: value or "" for name, value in given.items()})


# --- use cases -----------------------------------------------------------------------------------


def page(call: Call) -> Reply:
    """Newest first unless asked for otherwise. May lag behind what was just made."""
    ports, query = call.ports, ListQuery.of(call)

    def place_of(cursor: str) -> Place | None:
        found = ports.customers.get(cursor) if is_id(cursor) else None
        return found.place if found else None

    shown = map(to_wire, ports.customers.all(query.part(place_of)))
    wanted = (one if query.wants(one["meta"]) else None for one in shown)
    return listed(query, ports.clock, wanted)


def fetch(call: Call) -> Fields:
    return to_wire(_found(call))


def page_of_conversations(call: Call) -> Reply:
    contact = _found(call).id
    return conversations.listing(call, lambda session: session.customer == contact)


def create(call: Call) -> Fields:
    """The same fingerprint is the same contact, and so is the same e-mail address or phone number
    with the same name; a request that comes again finds what it has made.

    Raises Conflict where somebody else made it.
    """
    asked = call.creation
    given = parse(ContactFields, asked.body)
    new = _new(call.ports, given, given.id or _free(call.ports, asked), asked.mark)
    if call.ports.customers.create(new):
        return {"id": new.id}
    found = call.ports.customers.get(new.id)
    if found and asked.made(found.mark, found.version, new.created_at - found.created_at):
        return {"id": found.id}
    raise Conflict(f"There is a contact {new.id!r} already.")


def ensure(call: Call) -> Fields:
    """The contact of this fingerprint: made, or left as it is where it is there."""
    given = parse(ContactFields, call.json)
    if not (contact := given.id):
        raise invalid({"fingerprint": "is required, or else an email or a phone"})
    new = _new(call.ports, given, contact, call.creation.mark)
    call.ports.customers.create(new)  # of many who make the same one, one does
    return {"id": new.id}


def update(call: Call) -> Fields:
    """What is left out stays as it is; `meta` is all new. Raises ContactNotFound."""
    given = parse(ContactFields, call.json)
    for _ in range(TRIES):
        old = _found(call)
        if given.fingerprint not in (None, "", old.id):
            raise invalid({"fingerprint": "cannot be changed"})
        if (new := _updated(old, given, call.ports.clock.now())) is old:
            return {"id": old.id}
        if call.ports.customers.replace(new):
            return {"id": new.id}
    raise Unavailable("Too many changes to this contact at once; try again.")


def delete(call: Call) -> Fields:
    """Its conversations stay. Raises ContactNotFound, also for one that has just been deleted."""
    contact = _id(call)
    if not call.ports.customers.remove(contact):
        raise ContactNotFound(contact)
    return {"id": contact}


# --- as it is kept -------------------------------------------------------------------------------


def to_wire(customer: Customer) -> Fields:
    """A customer of another door has what that says of them."""
    told, kept = customer.metadata, _kept(customer)
    known = {name: told[name] for name in _PLAIN if told.get(name)}
    ours = (*_PLAIN, "name", *([_KEPT] if kept else []))
    shared = {name: value for name, value in told.items() if name not in ours}
    named = customer.name != _nameless(customer.id, told)
    verified = kept.get("verifiedAt")
    return {
        "id": customer.id,
        "fingerprint": customer.id,
        **({"name": customer.name} if named else {}),
        **known,
        **({} if verified is None else {"verifiedAt": verified}),
        "meta": {**shared, **kept.get("meta", {})},
        "createdAt": customer.created_at,
        "updatedAt": max(customer.created_at, kept.get("updatedAt", 0)),
    }


def _kept(customer: Customer) -> Mapping[str, Any]:
    """Empty where this door has not written the customer, or another one has changed that."""
    kept = object_of(customer.metadata.get(_KEPT, "")) or {}
    ours = isinstance(kept.get("updatedAt"), int) and isinstance(kept.get("meta"), dict)
    return kept if ours else {}


def _new(ports: Ports, given: ContactFields, of: str, mark: str) -> Customer:
    """Raises InvalidRequest."""
    now = ports.clock.now()
    made = _updated(Customer(of, of, now, mark=mark), given, now)
    return replace(made, version=0)


def _updated(old: Customer, given: ContactFields, now: int) -> Customer:
    """`old` itself where nothing is to be changed. Raises InvalidRequest."""
    given.check()
    shown = to_wire(old)
    wanted = {**shown, **given.changes}
    wanted = {name: value for name, value in wanted.items() if value not in (None, "")}
    meta: dict[str, Any] = wanted.setdefault("meta", {})
    if wanted == shown:
        return old
    known: dict[str, str] = {name: wanted[name] for name in _PLAIN if name in wanted}
    ours = (*_PLAIN, "name", _KEPT)
    shared = {n: v for n, v in meta.items() if isinstance(v, str) and n not in ours}
    kept = {"updatedAt": now, "meta": {n: v for n, v in meta.items() if n not in shared}}
    if "verifiedAt" in wanted:
        kept["verifiedAt"] = wanted["verifiedAt"]
    return _checked(
        replace(
            old,
            name=wanted.get("name") or _nameless(old.id, known),
            metadata={**shared, **known, _KEPT: json.dumps(kept, ensure_ascii=False)},
            version=old.version + 1,
        )
    )


def _nameless(of: str, told: Mapping[str, str]) -> str:
    """What stands for a name that nobody has said."""
    return told.get("nick") or told.get("email") or told.get("phone") or of


def _checked(customer: Customer) -> Customer:
    told = json.dumps([customer.name, dict(customer.metadata), customer.tags], ensure_ascii=False)
    if len(told.encode()) > MAX_CONTACT:
        raise InvalidRequest(f"With this the contact is larger than {MAX_CONTACT // 1000} KB.")
    return customer


# --- which one -----------------------------------------------------------------------------------


def _free(ports: Ports, asked: Creation) -> str:
    """Of who has nothing but a name: under an Idempotency-Key each repeat comes to the same."""
    return asked.own_key("contact") or ports.clock.id()


def _id(call: Call) -> str:
    given = unquote(call.path["contact_id"])
    if not is_id(given):
        raise ContactNotFound(given[:MAX_ECHO])
    return given


def _found(call: Call) -> Customer:
    contact = _id(call)
    if not (found := call.ports.customers.get(contact)):
        raise ContactNotFound(contact)
    return found


CONTACTS_ROUTES = (
    Route("GET", "/contact/list", page),
    Route("POST", "/contact/create", create),
    Route("POST", "/contact/ensure", ensure),
    Route("GET", "/contact/{contact_id}/fetch", fetch),
    Route("POST", "/contact/{contact_id}/update", update),
    Route("POST", "/contact/{contact_id}/delete", delete),
    Route("GET", "/contact/{contact_id}/conversation/list", page_of_conversations),
)
