"""Items that have nothing to do with a log: agents, customers, API keys, beats, and spending."""

import json

from cueline.adapters.dynamodb.items import Item, beat_sk, key_of, number, text, version_of
from cueline.adapters.page_keys import rank
from cueline.adapters.sizes import agent_to_json, customer_from_json, customer_to_json
from cueline.engine.agent import Agent
from cueline.engine.ports import Customer, Key, Secret, Spend

AGENTS = "agents"
CUSTOMERS = "customers"
KEYS = "keys"


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


# --- beats ---------------------------------------------------------------------------------------


def beat_key(session: str, incarnation: int, turn: str) -> dict[str, Item]:
    return key_of(session, beat_sk(incarnation, turn))


def beats_in(item: Item) -> int:
    return int(item["beats"]["N"])


# --- spending ------------------------------------------------------------------------------------


def spend_key(account: str, day: str) -> dict[str, Item]:
    return key_of(f"spend#{account}", f"D#{day}")


def spend_from_item(item: Item) -> Spend:
    return Spend(int(item["tokens"]["N"]), int(item["cost"]["N"]))


def settled_in(item: Item) -> int:
    """How often something was taken off again."""
    return int(item["settled"]["N"])
