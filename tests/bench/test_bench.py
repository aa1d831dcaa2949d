"""The bench itself: it runs, and counts what a turn is known to need. Its times are not judged."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from local.template import ROOT
from tests.bench.calls import units_of
from tests.bench.report import Row, table

RESULTS = ROOT / ".bench/quick/results.json"


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    """The rows of a short run, by what they are."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        env={**os.environ, "BENCH_QUICK": "1", "PYTHONPATH": "layers/cueline"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "budgets missed" in run.stdout
    return {row["what"]: row for row in json.loads(RESULTS.read_text())["rows"]}


def figure(measured: dict[str, dict[str, Any]], what: str) -> float:
    assert measured[what]["measured"] is not None, measured[what]["note"]
    return float(measured[what]["measured"])


def test_a_plain_turn_is_three_calls_two_of_them_before_the_model(
    measured: dict[str, dict[str, Any]],
) -> None:
    assert figure(measured, "20 messages: calls") == 3
    assert figure(measured, "20 messages: calls before the model") == 2


def test_units_do_not_grow_with_the_session(measured: dict[str, dict[str, Any]]) -> None:
    window = "window of 20 messages"
    for what in ("calls", "write units", "read units"):
        near, far = (f"{window}, {events} events: {what}" for events in ("100", "1,000"))
        assert figure(measured, near) == figure(measured, far)


@pytest.mark.parametrize(
    "what", ["a turn", "a turn with stored guidelines", "a trigger, 0 ms model"]
)
def test_the_agent_speaks_with_one_call_of_the_model(
    measured: dict[str, dict[str, Any]], what: str
) -> None:
    assert figure(measured, f"{what}: calls of the model") == 1


def test_a_worker_looks_begins_tells_that_it_speaks_and_commits(
    measured: dict[str, dict[str, Any]],
) -> None:
    assert figure(measured, "a turn: calls of the worker up to the commit") == 4
    assert figure(measured, "a turn: calls of the worker after it") <= 1
    assert measured["a turn: write units of all"]["met"]


def test_a_list_that_waits_reads_half_a_unit_a_look(measured: dict[str, dict[str, Any]]) -> None:
    units = measured["a list that waits: units"]
    assert 0 < units["measured"] == pytest.approx(units["also"]["calls a second"] / 2)


def test_a_list_that_waits_gets_what_is_appended(measured: dict[str, dict[str, Any]]) -> None:
    median, late = (
        figure(measured, f"a list that waits: from append to answer, {what}")
        for what in ("median", "p95")
    )
    assert 0 < median <= late


def test_a_command_reads_who_sends_it_its_session_and_agent_and_writes_once(
    measured: dict[str, dict[str, Any]],
) -> None:
    assert figure(measured, "send_message: calls") == 5
    assert figure(measured, "send_message with a command_id: calls") == 6


def test_an_event_is_taken_in_with_six_calls_and_more_for_a_session_or_a_key(
    measured: dict[str, dict[str, Any]],
) -> None:
    known, new, keyed = (
        measured[f"an event, {what}: calls"]
        for what in (
            "a session gone on with",
            "a new session",
            "gone on with, with an Idempotency-Key",
        )
    )
    # The trigger, whose session, its newest segment, its agent; then the input and its run.
    assert known["measured"] == 6
    assert new["measured"] == known["measured"] + 3  # made, between two more looks
    assert keyed["measured"] == known["measured"] + 2  # the delivery, and whether it was there
    assert known["also"]["sends"] == new["also"]["sends"] == keyed["also"]["sends"] == 1
    took = measured["an event is taken in: our own time"]
    assert 0 < took["measured"] <= took["also"]["p95 ms"] <= took["also"]["p99 ms"]


def test_a_turn_that_is_heard_writes_no_more_than_one_that_is_not(
    measured: dict[str, dict[str, Any]],
) -> None:
    unheard, heard = (
        figure(measured, f"{who}: calls of the worker") for who in ("not heard", "heard by 1")
    )
    assert unheard < heard <= unheard + 1
    assert measured["heard by 1: write units of the worker"]["met"]
    assert figure(measured, "heard by 1: deltas for one connection") > 0


def test_an_interrupt_is_watched_for_and_felt(measured: dict[str, dict[str, Any]]) -> None:
    watching = measured["heard by 1: watching for interrupts"]
    looks, seconds = (watching["also"][name] for name in ("looks", "seconds"))
    assert 0 < watching["measured"] == pytest.approx(looks / seconds / 2)
    median, late = (
        figure(measured, f"from an interrupt to the last delta, {what}")
        for what in ("median", "p95")
    )
    assert 0 <= median <= late


def test_every_part_of_a_run_has_its_rows(measured: dict[str, dict[str, Any]]) -> None:
    topics = " ".join(row["topic"] for row in measured.values())
    parts = ("DynamoDB", "bare app", "wake-up", "dollars", "Streaming", "busy session")
    doors = (
        "customer's message",
        "guided trigger",
        "list that waits",
        "commands",
        "is heard",
        "Door 4",
    )
    for part in (*parts, *doors):
        assert part in topics


def test_what_is_over_its_budget_is_called_missed() -> None:
    told = "\n".join(table([Row("CPU", "a", 2.0, "ms", 1.0), Row("CPU", "b", 1.0, "ms", 1.0)]))
    assert [line.split()[-1] for line in told.splitlines()[-2:]] == ["MISSED", "met"]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    row = Row("CPU", "a", None, "ms", 1.0, note="no valgrind here")
    assert row.met is None
    assert "not measured" in "\n".join(table([row]))


def test_units_are_those_of_whole_items_and_of_sums() -> None:
    item = {"pk": {"S": "p" * 1022}}  # with its name 1,024 bytes
    larger = {"pk": {"S": "p" * 1023}}
    put = {"operation": "PutItem", "answer": {}}
    assert units_of({**put, "params": {"Item": item}}) == (1, 0)
    assert units_of({**put, "params": {"Item": larger}}) == (2, 0)
    query = {"operation": "Query", "params": {"ConsistentRead": True}}
    assert units_of({**query, "answer": {"Items": [item] * 4}}) == (0, 1)
    assert units_of({**query, "answer": {"Items": [item] * 3 + [larger]}}) == (0, 2)
    assert units_of({**query, "answer": {"Items": []}}) == (0, 1)
