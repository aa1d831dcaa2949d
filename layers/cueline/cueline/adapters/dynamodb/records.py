"""Items that are no part of a log: agents, customers, API keys, connections, beats, the keys of
inputs, and spending."""

import json
import re
from typing import cast

from cueline.adapters.dynamodb.items import (
    FIRST_CONNECTION,
    Item,
    beat_sk,
    incarnation_of,
    key_of,
    keyed_sk,
    number,
    sk_of,
    text,
    version_of,
)
from cueline.adapters.page_keys import rank
from cueline.adapters.sizes import agent_to_json, customer_from_json, customer_to_json
from cueline.engine.agent import Agent
from cueline.engine.listeners import Connection, Grant
from cueline.engine.ports import Customer, Key, Secret, Spend
from cueline.log.segment import Keyed

AGENTS = "agents"
CUSTOMERS = "customers"
KEYS = "keys"

_CONNECTION = r"([0-9A-Za-z_-]{1,200}\.[0-9A-Za-z_-]{1,200})\.([0-9a-z]{1,100})"
_LINGERS = 600
"""Seconds that the items of a connection which has expired are left to whoever reads them."""


# --- agents --------------------------------------------------------------------------------------


def agent_key(key: str) -> dict[str, Item]:
    return key_of(key, "AGENT")


def agent_to_item(agent: Agent, attempt: str) -> dict[str, Item]:
    """Raises TooLarge."""
    return {
        **agent_key(agent.key),
        "list": text(AGENTS),
        "rank": text(rank(agent.created_at, agent.key)),
        "agent": text(agent_to_json(agent)),
        "version": number(agent.version),
        "attempt": text(attempt),
    }


def agent_from_item(item: Item) -> Agent:
    return Agent.model_validate_json(item["agent"]["S"])


# --- customers -----------------------------------------------------------------------------------


def customer_key(of: str) -> dict[str, Item]:
    return key_of(f"customer#{of}", "CUSTOMER")


def customer_to_item(customer: Customer, attempt: str) -> dict[str, Item]:
    """Raises TooLarge."""
    return {
        **customer_key(customer.id),
        "list": text(CUSTOMERS),
        "rank": text(rank(customer.created_at, customer.id)),
        "customer": text(customer_to_json(customer)),
        "created_at": number(customer.created_at),
        "version": number(customer.version),
        "attempt": text(attempt),
    }


def customer_from_item(item: Item) -> Customer:
    return customer_from_json(
        item["customer"]["S"],
        item["pk"]["S"].removeprefix("customer#"),
        int(item["created_at"]["N"]),
        version_of(item),
    )


# --- API keys ------------------------------------------------------------------------------------


def api_key_key(key_id: str) -> dict[str, Item]:
    return key_of(f"key#{key_id}", "KEY")


def api_key_to_item(key: Key, attempt: str) -> dict[str, Item]:
    return {
        **api_key_key(key.id),
        "list": text(KEYS),
        "rank": text(rank(key.created_at, key.id)),
        "name": text(key.name),
        "secrets": secrets_attribute(key),
        "created_at": number(key.created_at),
        "attempt": text(attempt),
    }


def secrets_attribute(key: Key) -> Item:
    return text(json.dumps([[one.sha256, one.expires_at] for one in key.secrets]))


def api_key_from_item(item: Item) -> Key:
    return Key(
        id=item["pk"]["S"].removeprefix("key#"),
        name=item["name"]["S"],
        secrets=tuple(Secret(*one) for one in json.loads(item["secrets"]["S"])),
        created_at=int(item["created_at"]["N"]),
    )


# --- connections ---------------------------------------------------------------------------------


def connection_key(connection: str) -> dict[str, Item] | None:
    """None for what anybody may have sent, and no connection's id can be."""
    found = re.fullmatch(_CONNECTION, connection)
    return key_of(found[1], f"{FIRST_CONNECTION}{found[2]}") if found else None


def connection_to_item(
    key: dict[str, Item], connection: Connection, ticket: str
) -> dict[str, Item]:
    item: dict[str, Item] = {
        **key,
        "incarnation": number(connection.incarnation),
        "caller": text(connection.caller),
        "grants": text(",".join(connection.grants)),
        "created_at": number(connection.created_at),
        "expires_at": number(connection.expires_at),
        "ticket": text(ticket),
        "ttl": connection_ttl(connection.expires_at),
    }
    if connection.opened_at:
        item["opened_at"] = number(connection.opened_at)
    if connection.gateway:
        item["gateway"] = text(connection.gateway)
    if connection.opening:
        item["opening"] = text(connection.opening)
    if connection.after is not None:
        item["after"] = number(connection.after)
    if connection.closing:
        item["closing"] = {"BOOL": True}
    if connection.told:
        item["told"] = {"BOOL": True}
    return item


def connection_from_item(item: Item) -> Connection:
    session = str(item["pk"]["S"])
    grants = item["grants"]["S"].split(",") if item["grants"]["S"] else ()
    return Connection(
        id=f"{session}.{sk_of(item).removeprefix(FIRST_CONNECTION)}",
        session=session,
        incarnation=incarnation_of(item),
        caller=item["caller"]["S"],
        grants=tuple(cast("Grant", grant) for grant in grants),
        created_at=int(item["created_at"]["N"]),
        expires_at=int(item["expires_at"]["N"]),
        opened_at=int(item["opened_at"]["N"]) if "opened_at" in item else 0,
        gateway=item["gateway"]["S"] if "gateway" in item else "",
        opening=item["opening"]["S"] if "opening" in item else "",
        after=int(item["after"]["N"]) if "after" in item else None,
        told="told" in item,
        closing="closing" in item,
    )


def connection_ttl(expires_at: int) -> Item:
    return number(-(-expires_at // 1000) + _LINGERS)


def socket_key(gateway: str) -> dict[str, Item]:
    return key_of(f"socket#{gateway}", "SOCKET")


def socket_to_item(gateway: str, connection: str, expires_at: int) -> dict[str, Item]:
    ttl = connection_ttl(expires_at)
    return {**socket_key(gateway), "connection": text(connection), "ttl": ttl}


def connection_in(item: Item) -> str:
    """The id of the connection that the WebSocket is."""
    return str(item["connection"]["S"])


# --- beats ---------------------------------------------------------------------------------------


def beat_key(session: str, incarnation: int, turn: str) -> dict[str, Item]:
    return key_of(session, beat_sk(incarnation, turn))


def beats_in(item: Item) -> int:
    return int(item["beats"]["N"])


# --- the keys of inputs --------------------------------------------------------------------------


def keyed_to_item(
    session: str, incarnation: int, keyed: Keyed, attempt: str, until: int
) -> dict[str, Item]:
    """`attempt` is that of its segment, where it has one. It expires at `until`, in seconds."""
    return {
        **key_of(session, keyed_sk(incarnation, keyed.key)),
        "body": text(keyed.body),
        "offset": number(keyed.offset),
        "attempt": text(attempt),
        "ttl": number(until),
    }


def keyed_from_item(item: Item) -> Keyed:
    return Keyed(sk_of(item).split("#")[2], item["body"]["S"], int(item["offset"]["N"]))


# --- spending ------------------------------------------------------------------------------------


def spend_key(account: str, day: str) -> dict[str, Item]:
    return key_of(f"spend#{account}", f"D#{day}")


def spend_from_item(item: Item) -> Spend:
    return Spend(int(item["tokens"]["N"]), int(item["cost"]["N"]))


def settled_in(item: Item) -> int:
    """How often something was taken off again."""
    return int(item["settled"]["N"])
