"""Calls and request units of plain turns: counted in the process, sized from the items."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from cueline.adapters.dynamodb.items import segment_to_item
from tests.bench.histories import needed, segments, summary, turns_of
from tests.bench.model import QUESTION, deltas
from tests.bench.report import Row
from tests.bench.talks import Talk
from tests.contract.backends import size_of

WRITE_UNIT, READ_UNIT = 1024, 4096
"""Bytes. A strongly consistent query is charged for the sum of its items."""


@dataclass(frozen=True)
class Counted:
    """What one turn, or whatever else, asked of AWS."""

    dynamodb: tuple[str, ...]
    before_model: int
    """DynamoDB calls before the first call of the model."""
    sqs: int
    written: int
    """Write request units."""
    read: float
    """Read request units."""


def count(calls: Sequence[Mapping[str, Any]]) -> Counted:
    ours = [call for call in calls if call["service"] == "dynamodb"]
    asked = next((n for n, call in enumerate(calls) if call["service"] == "model"), len(calls))
    units = [units_of(call) for call in ours]
    return Counted(
        dynamodb=tuple(call["operation"] for call in ours),
        before_model=sum(call["service"] == "dynamodb" for call in calls[:asked]),
        sqs=sum(call["service"] == "sqs" for call in calls),
        written=sum(written for written, _ in units),
        read=sum(read for _, read in units),
    )


def units_of(call: Mapping[str, Any]) -> tuple[int, float]:
    """Write and read request units, as DynamoDB's documentation counts them."""
    params, answer = call["params"], call["answer"]
    match call["operation"]:
        case "Query":
            return 0, _read(answer.get("Items", []), params)
        case "GetItem":
            return 0, _read([answer["Item"]] if answer.get("Item") else [], params)
        case "PutItem":  # a failed condition is charged too, for the larger of the two
            return max(_written(params["Item"]), _written(answer.get("Item"))), 0
        case "UpdateItem" | "DeleteItem":  # of beats and META, which are below a unit
            return 1, 0
        case "TransactWriteItems":
            puts = [each["Put"]["Item"] for each in params["TransactItems"] if "Put" in each]
            others = len(params["TransactItems"]) - len(puts)
            return 2 * (sum(map(_written, puts)) + others), 0
    raise ValueError(f"The bench does not know what {call['operation']} costs.")


def _written(item: Mapping[str, Any] | None) -> int:
    return ceil(size_of(item) / WRITE_UNIT) if item else 1


def _read(items: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> float:
    units = max(1, ceil(sum(map(size_of, items)) / READ_UNIT))
    return units if params.get("ConsistentRead") else units / 2


def counted(talk: Talk) -> Counted:
    """One turn, by a process that knows the agent."""
    talk.take(1)
    talk.prepare(1)
    with talk.server.noting() as calls:
        talk.take(1)
    return count(calls)


def made(topic: str, what: str, found: Counted, most: int | None = None) -> Row:
    """How many calls of DynamoDB, which, and what all that needs."""
    names = ", ".join(f"{n} {name}" for name, n in Counter(found.dynamodb).items())
    figures = {"WRU": found.written, "RRU": found.read, "sends": found.sqs}
    return Row(topic, what, len(found.dynamodb), "", most, names, figures)


def rows(talks: Mapping[str, Talk], windows: Mapping[str, int]) -> Iterator[Row]:
    """`talks` by what they are; `windows` has the bytes of the window of each server."""
    for what, talk in talks.items():
        found = counted(talk)
        topic = "DynamoDB in a plain turn"
        names = ", ".join(f"{n} {name}" for name, n in Counter(found.dynamodb).items())
        yield Row(topic, f"{what}: calls", len(found.dynamodb), "", 3, names)
        yield Row(topic, f"{what}: calls before the model", found.before_model, "", 2)
        before = [*segments(talk.model, turns_of(talk.events))]
        before += [summary(before)] if talk.compacted else []
        past = [segment_to_item(f"{talk.model}.{'0' * 12}", 0, one) for one in needed(before)]
        window = min(sum(map(size_of, past)), windows[talk.server.name])
        answer = "".join(deltas(talk.model))
        most = ceil(len(QUESTION) / 1024) + ceil(len(answer) / 1024) + 2
        yield Row(topic, f"{what}: write units", found.written, "WRU", most)
        note = f"a window of {window / 1024:.0f} KB"
        yield Row(
            topic, f"{what}: read units", found.read, "RRU", 1 + ceil(window / READ_UNIT), note
        )
