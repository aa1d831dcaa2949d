"""Hiding, showing and deleting events through door 1, and what a compaction hides."""

import pytest

from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.sessions import find
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Event,
    EventMarked,
    Finished,
    Input,
    TurnBegan,
    event_id,
)
from tests.functions.conftest import Ask

SESSION = "/v2/agents/a/sessions/s"
EVENTS = f"{SESSION}/events"
SMALLEST = {"name": "A", "tool_configurations": {}, "model": {"name": "m"}}


@pytest.fixture(autouse=True)
def session(ask: Ask) -> None:
    assert ask("POST", "/v2/agents", {**SMALLEST, "key": "a"}).status == 201
    assert ask("POST", "/v2/agents/a/sessions", {"key": "s"}).status == 201


def say(ports: Ports, *events: Event) -> int:
    """Appends to the session; the offset of the first."""
    _, tail = find(ports, "a", "s")
    writer = Writer(ports.log, ports.clock, "a.s", "trace")
    _, written = writer.append(tail.head, lambda *_: events)
    assert written
    return written.at


def talk(ports: Ports, count: int = 1) -> None:
    """Each turn takes three offsets."""
    for _ in range(count):
        at = find(ports, "a", "s")[1].head.at
        say(
            ports,
            Input(texts=(f"question {at // 3}",)),
            TurnBegan(turn=f"t{at}", inputs=(at,)),
            Answered(turn=f"t{at}", inputs=(at,), text=f"answer {at // 3}"),
        )


def at(offset: int) -> str:
    return f"{EVENTS}/{event_id('a.s', 1_750_000_000_000, offset)}"


def offsets(ask: Ask, hidden: bool = False) -> list[int]:
    query = {"limit": "100", "include_hidden": str(hidden).lower()}
    listed = ask("GET", EVENTS, query=query)
    assert listed.status == 200, listed.text
    return [event["offset"] for event in listed.json["events"]]


def test_an_event_is_hidden_and_shown_again(ask: Ask, ports: Ports) -> None:
    talk(ports, 2)
    hidden = ask("POST", f"{at(2)}/hide")
    assert hidden.status == 200
    assert (hidden.json["content"], hidden.json["hide_reason"]) == ("answer 0", "manual")
    assert offsets(ask) == [0, 3, 5]
    assert offsets(ask, hidden=True) == [0, 2, 3, 5]
    assert ask("GET", at(2)).json == hidden.json
    shown = ask("POST", f"{at(2)}/unhide")
    assert shown.status == 200
    assert "hide_reason" not in shown.json
    assert offsets(ask) == [0, 2, 3, 5]
    assert ask("GET", at(2)).json == shown.json


def test_both_may_be_repeated(ask: Ask, ports: Ports) -> None:
    talk(ports)
    for _ in range(2):
        assert ask("POST", f"{at(2)}/hide").json["hide_reason"] == "manual"
    for _ in range(2):
        assert "hide_reason" not in ask("POST", f"{at(2)}/unhide").json
    events = ports.log.read("a.s", 1_750_000_000_000, 2, 99)
    assert [r.event for r in events] == [
        EventMarked(offset=2, mark="hidden"),
        EventMarked(offset=2, mark="shown"),
    ]


def test_a_deleted_event_is_gone_for_everyone(ask: Ask, ports: Ports) -> None:
    talk(ports)
    gone = ask("DELETE", at(2))
    assert (gone.status, gone.text) == (204, "")
    assert offsets(ask, hidden=True) == [0]
    for method, path in (("GET", at(2)), ("POST", f"{at(2)}/hide"), ("POST", f"{at(2)}/unhide")):
        answer = ask(method, path)
        assert (answer.status, answer.json["code"]) == (404, "event_not_found")
    # A client that lost the answer asks again.
    assert ask("DELETE", at(2)).status == 204
    assert "answer 0" not in repr(ports.log.read("a.s", 1_750_000_000_000, -1, 99))


def test_what_is_not_there_is_not_found(ask: Ask, ports: Ports) -> None:
    talk(ports)
    compaction = say(ports, Input(compact=CompactionAsked()), TurnBegan(turn="u", inputs=(3,)))
    say(ports, Finished(turn="u", inputs=(3,)))
    unknown = f"{EVENTS}/aev_unknown"
    for event in (at(1), at(99), at(compaction), unknown):
        for method, path in (
            ("DELETE", event),
            ("POST", f"{event}/hide"),
            ("POST", f"{event}/unhide"),
        ):
            answer = ask(method, path)
            assert (answer.status, answer.json["code"]) == (404, "event_not_found")
    other = at(2).replace("/s/", "/other/")
    assert ask("POST", f"{other}/hide").json["code"] == "session_not_found"


def test_what_a_turn_works_with_is_left_alone(ask: Ask, ports: Ports) -> None:
    talk(ports)
    say(ports, Input(texts=("more",)), TurnBegan(turn="u", inputs=(3,)))
    for method, path in (("POST", f"{at(3)}/hide"), ("DELETE", at(3))):
        answer = ask(method, path)
        assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert ask("POST", f"{at(0)}/hide").status == 200


def test_pages_count_what_is_left(ask: Ask, ports: Ports) -> None:
    talk(ports, 30)
    for turn in range(0, 30, 2):
        ask("POST", f"{at(3 * turn)}/hide")
    seen: list[int] = []
    query = {"limit": "7"}
    while True:
        page = ask("GET", EVENTS, query=query).json
        seen += [event["offset"] for event in page["events"]]
        if not (key := page["metadata"].get("page_key")):
            break
        assert len(page["events"]) == 7
        query["page_key"] = key
    assert seen == [o for n in range(0, 90, 6) for o in (n + 2, n + 3, n + 5)]


# --- compactions ---------------------------------------------------------------------------------


def compact(ports: Ports, up_to: int, kept: tuple[int, ...] = ()) -> int:
    """The offset of the summary."""
    asked = say(ports, Input(compact=CompactionAsked()))
    summary = Compacted(
        turn="c", up_to=up_to, kept=kept, summary="All was said.", turns=2, events=4
    )
    say(ports, TurnBegan(turn="c", inputs=(asked,)), summary)
    say(ports, Finished(turn="c", inputs=(asked,)))
    return asked + 2


def test_a_summary_hides_what_it_stands_for(ask: Ask, ports: Ports) -> None:
    talk(ports, 3)
    summary = compact(ports, up_to=5, kept=(3,))
    assert offsets(ask) == [3, 6, 8, summary]
    assert offsets(ask, hidden=True) == [0, 2, 3, 5, 6, 8, summary]
    assert ask("GET", at(2)).json["hide_reason"] == "compaction"
    assert "hide_reason" not in ask("GET", at(3)).json
    wired = ask("GET", at(summary)).json
    assert wired["type"] == "compaction"
    assert (wired["turns_compacted"], wired["events_compacted"]) == (2, 4)
    assert (wired["summary_text"], wired["summary_key"]) == ("All was said.", wired["id"])


def test_a_newer_summary_hides_the_one_before(ask: Ask, ports: Ports) -> None:
    talk(ports, 2)
    older = compact(ports, up_to=5)
    talk(ports)
    newer = compact(ports, up_to=older)
    assert offsets(ask) == [older + 2, older + 4, newer]
    assert ask("GET", at(older)).json["hide_reason"] == "compaction"


def test_what_somebody_hid_is_hidden_for_that_reason(ask: Ask, ports: Ports) -> None:
    talk(ports, 2)
    ask("POST", f"{at(2)}/hide")
    compact(ports, up_to=5)
    assert ask("GET", at(2)).json["hide_reason"] == "manual"
    assert ask("POST", f"{at(2)}/unhide").json["hide_reason"] == "compaction"


def test_a_summary_stays_what_it_stands_for_is_seen_by_no_model(ask: Ask, ports: Ports) -> None:
    talk(ports, 2)
    summary = compact(ports, up_to=5)
    for method, path in (("DELETE", at(summary)), ("POST", f"{at(summary)}/hide")):
        answer = ask(method, path)
        assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert offsets(ask) == [summary]
