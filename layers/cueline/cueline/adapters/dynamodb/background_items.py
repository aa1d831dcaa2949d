"""Items of background triggers, in the one table; `items` has all others.

| entity   | pk                   | sk       | list     | rank              |
|----------|----------------------|----------|----------|-------------------|
| trigger  | trigger#<id>         | TRIGGER  | triggers | <created_at>#<id> |
| run      | trigger#<id>         | X#<run>  |          |                   |
| kept     | kept#<id>#<key>      | KEPT     |          |                   |
| delivery | delivery#<id>#<key>  | DELIVERY |          |                   |

`<id>` is a trigger's; a run's own sorts by time. `<key>` is a digest of whom a session is kept for,
or of what names a delivery. Both expire at `expires_at`, in ms: the table removes them later.

| access pattern                         | index     | condition                               |
|----------------------------------------|-----------|-----------------------------------------|
| trigger, run, when a delivery came     | table     | Get                                     |
| change one                             | table     | Put where it has the version before     |
| a trigger's runs, newest first         | table     | sk in X#, below X#<before>, backwards   |
| take a run down                        | table     | Put where the key is free               |
| claim a kept session, or a delivery    | table     | Put where the key is free or has        |
|                                        |           | expired; else its answer has the item   |
| all triggers                           | ListIndex | list                                    |
"""

from cueline.adapters.dynamodb.items import Item, key_of, number, sk_of, text, version_of
from cueline.adapters.page_keys import rank
from cueline.adapters.trigger_texts import (
    DELIVERED,
    checked,
    is_name,
    trigger_from_json,
    trigger_to_json,
)
from cueline.engine.background import BackgroundTrigger, Kept, Run

TRIGGERS = "triggers"
FIRST_RUN = "X#"
AFTER_RUNS = "X$"

_LINGERS = 600
"""Seconds that the table leaves what has expired: clocks differ."""


# --- triggers ------------------------------------------------------------------------------------


def trigger_key(trigger: str) -> dict[str, Item] | None:
    """None for what anybody may have sent, and no trigger's id can be."""
    return key_of(f"trigger#{trigger}", "TRIGGER") if is_name(trigger) else None


def trigger_to_item(trigger: BackgroundTrigger, attempt: str) -> dict[str, Item]:
    """Raises InvalidRequest, TooLarge."""
    return {
        **key_of(f"trigger#{checked(trigger.id)}", "TRIGGER"),
        "list": text(TRIGGERS),
        "rank": text(rank(trigger.created_at, trigger.id)),
        "trigger": text(trigger_to_json(trigger)),
        "created_at": number(trigger.created_at),
        "version": number(trigger.version),
        "attempt": text(attempt),
    }


def trigger_from_item(item: Item) -> BackgroundTrigger:
    return trigger_from_json(
        item["trigger"]["S"],
        item["pk"]["S"].removeprefix("trigger#"),
        int(item["created_at"]["N"]),
        version_of(item),
    )


# --- runs ----------------------------------------------------------------------------------------


def runs_pk(trigger: str) -> str:
    return f"trigger#{trigger}"


def run_key(trigger: str, run: str) -> dict[str, Item] | None:
    """None for what anybody may have sent, and no run's id can be."""
    there = is_name(trigger) and is_name(run)
    return key_of(runs_pk(trigger), f"{FIRST_RUN}{run}") if there else None


def run_to_item(run: Run, attempt: str) -> dict[str, Item]:
    item: dict[str, Item] = {
        **key_of(runs_pk(checked(run.trigger)), f"{FIRST_RUN}{checked(run.id)}"),
        "session": text(run.session),
        "incarnation": number(run.incarnation),
        "offset": number(run.offset),
        "created_at": number(run.created_at),
        "version": number(run.version),
        "attempt": text(attempt),
    }
    if run.earlier:
        item["earlier"] = text(",".join(map(str, run.earlier)))
    return item


def run_from_item(item: Item) -> Run:
    earlier = item["earlier"]["S"].split(",") if "earlier" in item else ()
    return Run(
        trigger=item["pk"]["S"].removeprefix("trigger#"),
        id=sk_of(item).removeprefix(FIRST_RUN),
        session=item["session"]["S"],
        incarnation=int(item["incarnation"]["N"]),
        offset=int(item["offset"]["N"]),
        created_at=int(item["created_at"]["N"]),
        earlier=tuple(map(int, earlier)),
        version=version_of(item),
    )


# --- kept sessions, and deliveries ---------------------------------------------------------------


def kept_to_item(kept: Kept) -> dict[str, Item]:
    return {
        **key_of(f"kept#{checked(kept.trigger)}#{kept.key}", "KEPT"),
        "session_key": text(kept.session_key),
        **_until(kept.until),
    }


def delivery_key(trigger: str, key: str) -> dict[str, Item]:
    return key_of(f"delivery#{checked(trigger)}#{key}", "DELIVERY")


def delivery_to_item(
    trigger: str, key: str, body: str, session_key: str, now: int
) -> dict[str, Item]:
    return {
        **delivery_key(trigger, key),
        "body": text(body),
        "session_key": text(session_key),
        **_until(now + DELIVERED),
    }


def session_key_in(item: Item) -> str:
    return str(item["session_key"]["S"])


def body_in(item: Item) -> str:
    return str(item["body"]["S"])


def until_in(item: Item) -> int:
    return int(item["expires_at"]["N"])


def _until(when: int) -> dict[str, Item]:
    return {"expires_at": number(when), "ttl": number(-(-when // 1000) + _LINGERS)}
