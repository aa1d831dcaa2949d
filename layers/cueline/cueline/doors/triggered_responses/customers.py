"""Customers. `guest` stands for everybody else: nobody can make, change or delete it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from cueline.doors.creation import Creation
from cueline.doors.triggered_responses.errors import wrong
from cueline.doors.triggered_responses.keys import CustomerNotFound, new_id
from cueline.doors.triggered_responses.lists import ListQuery, listing, timestamp
from cueline.doors.triggered_responses.wire import (
    Id,
    TagEdit,
    Tags,
    Text,
    Wire,
    edited,
    parse,
    set_of,
)
from cueline.engine.ports import Customer, Ports
from cueline.engine.sessions import TRIES
from cueline.errors import Conflict, InvalidRequest, Unavailable
from cueline.log.segment import GUEST

MAX_CUSTOMER = 32_000
"""UTF-8 bytes of all that is known of a customer."""


class CreateCustomer(Wire):
    name: Annotated[Text, Field(max_length=500)]
    id: Id | None = None
    metadata: dict[str, str] | None = None
    tags: Tags | None = None


class MetadataEdit(Wire):
    set: dict[str, str] | None = None
    unset: list[str] | None = None


class UpdateCustomer(Wire):
    name: Annotated[Text, Field(max_length=500)] | None = None
    metadata: MetadataEdit | None = None
    tags: TagEdit | None = None


# --- use cases -----------------------------------------------------------------------------------


def create(ports: Ports, asked: Creation) -> dict[str, Any]:
    """A repeat under its Idempotency-Key gives the customer that it made before, as it is now.

    Raises Conflict, IdempotencyKeyReused, Unprocessable.
    """
    given = parse(CreateCustomer, asked.body)
    new = _checked(
        Customer(
            id=given.id or new_id(ports.clock, asked),
            name=given.name,
            created_at=ports.clock.now(),
            metadata=given.metadata or {},
            tags=edited((), given.tags, None),
            mark=asked.mark,
        )
    )
    if new.id == GUEST:
        raise _exists(GUEST)
    if ports.customers.create(new):
        return to_wire(new)
    found = ports.customers.get(new.id)
    if found and asked.made(found.mark, found.version, new.created_at - found.created_at):
        return to_wire(found)  # its client asks again, since it got no answer
    raise _exists(new.id)


def get(ports: Ports, customer: str) -> dict[str, Any]:
    return _GUEST_SHOWN if customer == GUEST else to_wire(_found(ports, customer))


def page(ports: Ports, query: ListQuery) -> Any:
    """The guest first, then all others in the order of making."""
    return listing(
        [*ports.customers.all()], query, lambda c: (c.created_at, c.id), to_wire, [_GUEST_SHOWN]
    )


def update(ports: Ports, customer: str, body: dict[str, Any]) -> dict[str, Any]:
    """What is left out or null stays as it is."""
    given = parse(UpdateCustomer, body)
    _refuse_guest(customer)

    def changed(old: Customer) -> Customer:
        edit = given.metadata or MetadataEdit()
        gone = set_of(edit.unset)
        told = {**old.metadata, **(edit.set or {})}
        return replace(
            old,
            name=old.name if given.name is None else given.name,
            metadata={name: value for name, value in told.items() if name not in gone},
            tags=given.tags.of(old.tags) if given.tags else old.tags,
        )

    return to_wire(_change(ports, customer, changed))


def delete(ports: Ports, customer: str) -> None:
    _refuse_guest(customer)
    if not ports.customers.remove(customer):
        raise CustomerNotFound(customer)


# --- how -----------------------------------------------------------------------------------------


def _change(ports: Ports, customer: str, to: Callable[[Customer], Customer]) -> Customer:
    for _ in range(TRIES):
        old = _found(ports, customer)
        if (new := to(old)) == old:
            return old
        new = _checked(replace(new, version=old.version + 1))
        if ports.customers.replace(new):
            return new
    raise Unavailable("Too many changes to this customer at once; try again.")


def _found(ports: Ports, customer: str) -> Customer:
    if not (found := ports.customers.get(customer)):
        raise CustomerNotFound(customer)
    return found


def _refuse_guest(customer: str) -> None:
    if customer == GUEST:
        raise InvalidRequest("The customer 'guest' is always there, and cannot be changed.")


def _exists(customer: str) -> Conflict:
    return Conflict(f"There is a customer {customer!r} already.")


def _checked(customer: Customer) -> Customer:
    told = json.dumps([customer.name, dict(customer.metadata), customer.tags], ensure_ascii=False)
    if len(told.encode()) > MAX_CUSTOMER:
        raise wrong(["body"], f"With this the customer is larger than {MAX_CUSTOMER // 1000} KB")
    return customer


def to_wire(customer: Customer) -> dict[str, Any]:
    return {
        "id": customer.id,
        "creation_utc": timestamp(customer.created_at),
        "name": customer.name,
        "metadata": dict(customer.metadata),
        "tags": list(customer.tags),
    }


_GUEST_SHOWN = to_wire(Customer(GUEST, "Guest", 0))
