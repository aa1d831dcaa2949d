"""The bus: others are told what has happened."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cueline.adapters.aws import client_config
from cueline.adapters.bus import SOURCE, EventBridgeBus
from cueline.adapters.memory import MemoryBus
from cueline.engine.background import Bus
from cueline.errors import Unavailable
from tests.contract.backends import answer, hooked

NAME = "cueline-bus"
FINISHED = "Turn Finished"
DETAIL = {"sessionId": "support.s1", "turn": "t1", "text": "Grüße", "runId": None}


@dataclass
class Listened:
    bus: Bus
    told: Callable[[], list[tuple[str, dict[str, Any]]]]


@cache
def events() -> Any:
    session = boto3.Session("testing", "testing", region_name="eu-central-1")
    return session.client("events", config=client_config())


def in_memory() -> Listened:
    bus = MemoryBus()
    return Listened(bus, lambda: bus.told)


def on_eventbridge() -> Listened:
    client = events()
    client.create_event_bus(Name=NAME)
    entries: list[dict[str, Any]] = []

    def see(params: dict[str, Any], **_: object) -> None:
        entries.extend(params["Entries"])

    client.meta.events.register_first("provide-client-params.events.PutEvents", see)

    def told() -> list[tuple[str, dict[str, Any]]]:
        client.meta.events.unregister("provide-client-params.events.PutEvents", see)
        assert {(e["EventBusName"], e["Source"]) for e in entries} == {(NAME, SOURCE)}
        return [(entry["DetailType"], json.loads(entry["Detail"])) for entry in entries]

    return Listened(EventBridgeBus(lambda: client, NAME), told)


@pytest.fixture(params=[in_memory, on_eventbridge])
def listened(request: pytest.FixtureRequest) -> Iterator[Listened]:
    with mock_aws():
        yield request.param()


def test_others_are_told_what_has_happened(listened: Listened) -> None:
    listened.bus.put(FINISHED, DETAIL)
    listened.bus.put("Run Failed", {"text": "x" * 10_240})
    assert listened.told() == [(FINISHED, DETAIL), ("Run Failed", {"text": "x" * 10_240})]


# --- EventBridge ---------------------------------------------------------------------------------


def test_without_a_bus_nobody_is_told_and_no_client_is_made() -> None:
    def client() -> Any:
        raise AssertionError

    EventBridgeBus(client, "").put(FINISHED, DETAIL)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}),
        (200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}),
        (200, {"FailedEntryCount": 1, "Entries": [{}]}),
        (500, {"__type": "InternalException"}),
        (400, {"__type": "ThrottlingException"}),
    ],
)
def test_an_event_that_was_not_taken_is_not_taken_for_told(
    status: int, body: dict[str, Any]
) -> None:
    client = events()

    def refuse(**_: object) -> Any:
        return answer(status, **body)

    bus = EventBridgeBus(lambda: client, NAME)
    with (
        hooked(client, "before-send.events.PutEvents", refuse),
        pytest.raises(Unavailable, match="EventBridge") as raised,
    ):
        bus.put(FINISHED, DETAIL)
    assert "Grüße" not in str(raised.value)
