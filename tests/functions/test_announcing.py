"""What becomes of turns is announced: triggers that keep failing pause, and the bus is told."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.memory.background import MemoryBus
from cueline.doors.background_triggers import announcing
from cueline.doors.background_triggers.announcing import announce
from cueline.engine import fork, runs
from cueline.engine.background import Background, Run
from cueline.engine.modes import change_mode
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    Input,
    InputsFailed,
    TurnBegan,
    TurnFailed,
    TurnSuspended,
    event_id,
)
from cueline.log.segment import Segment, Session
from tests.functions.background import agents, background
from tests.functions.test_executions import Desk, desk, failing_once

__all__ = ["agents", "background", "desk"]

Told = tuple[str, dict[str, Any]]


class Stream:
    """Announces what stands in the logs, each segment once unless it is read again."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._read: dict[tuple[str, int], int] = {}

    def segments(self, run: Run) -> list[Segment]:
        return self.desk.segments(run.session, run.incarnation)

    def read(self, run: Run, *, again: bool = False) -> None:
        """Of the run's session all that is new."""
        place = (run.session, run.incarnation)
        known = 0 if again else self._read.get(place, 0)
        for segment in self.segments(run):
            if segment.at >= known:
                announce(self.desk.ports, self.desk.background, *place, segment)
                self._read[place] = segment.end

    @property
    def told(self) -> list[Told]:
        bus = self.desk.background.bus
        assert isinstance(bus, MemoryBus)
        return bus.told

    def of(self, detail_type: str) -> list[dict[str, Any]]:
        return [detail for kind, detail in self.told if kind == detail_type]


@pytest.fixture
def stream(desk: Desk) -> Stream:
    return Stream(desk)


def failed(stream: Stream, times: int = 1, **event: Any) -> Run:
    """The last of so many runs that fail; it is announced."""
    for _ in range(times):
        stream.desk.fail()
        run = stream.desk.run(**event)
        stream.desk.work()
        stream.read(run)
    return run


def succeeded(stream: Stream) -> Run:
    run = stream.desk.run()
    stream.desk.work()
    stream.read(run)
    return run


# --- triggers that keep failing ------------------------------------------------------------------


def test_a_trigger_pauses_itself_when_its_runs_keep_failing(stream: Stream) -> None:
    stream.desk.change(pause_after=3, next_at=5)
    failed(stream, 2)
    assert (stream.desk.trigger().failures, stream.desk.trigger().paused) == (2, "")
    failed(stream)
    paused = stream.desk.trigger()
    assert paused.paused == "3 runs in a row failed; the last: model_unauthorized"
    assert (paused.failures, paused.next_at) == (3, 0)


def test_one_that_goes_well_begins_the_count_anew(stream: Stream) -> None:
    stream.desk.change(pause_after=3)
    failed(stream, 2)
    succeeded(stream)
    assert stream.desk.trigger().failures == 0
    failed(stream, 2)
    assert stream.desk.trigger().paused == ""


def test_what_goes_well_is_written_only_where_something_had_failed(stream: Stream) -> None:
    succeeded(stream)
    assert stream.desk.trigger().version == 0


def test_what_is_paused_stays_so_for_its_first_reason(stream: Stream) -> None:
    stream.desk.change(pause_after=2)
    later = stream.desk.run()
    stream.desk.fail()
    stream.desk.work()
    failed(stream, 2)
    stream.read(later)
    paused = stream.desk.trigger()
    assert (paused.failures, paused.paused[0]) == (3, "2")


def test_some_never_pause(stream: Stream) -> None:
    stream.desk.change(pause_after=0)
    failed(stream, 12)
    assert (stream.desk.trigger().failures, stream.desk.trigger().paused) == (12, "")


def test_what_is_read_again_counts_once(stream: Stream) -> None:
    run = failed(stream)
    for _ in range(20):
        stream.read(run, again=True)
    assert stream.desk.trigger().failures == 1


def test_a_turn_that_had_taken_many_failed_once(stream: Stream) -> None:
    stream.desk.change(policy="coalesce")
    many = [stream.desk.run(session="one") for _ in range(12)]
    stream.desk.fail()
    stream.desk.work()
    stream.read(many[0])
    assert stream.desk.trigger().failures == 1
    assert {one["runId"] for one in stream.of("Run Failed")} == {run.id for run in many}
    assert len({one["id"] for one in stream.of("Run Failed")}) == 12


@pytest.mark.parametrize(
    ("ending", "count"),
    [
        (TurnFailed(turn="t", inputs=(0,), code="c", message="m", retryable=True), 1),
        (InputsFailed(inputs=(0,), code="not_worked_off"), 1),
        (InputsFailed(inputs=(0,), code="disabled"), 1),
        (InputsFailed(inputs=(0,), code="model_timeout", retryable=True), 1),
        (InputsFailed(inputs=(0,), code="expired"), 0),
        (TurnSuspended(turn="t", inputs=(0,), calls=("c",)), 0),
    ],
    ids=lambda one: getattr(one, "code", ""),
)
def test_only_what_fails_counts(stream: Stream, ending: Event, count: int) -> None:
    run = stream.desk.run()
    if isinstance(ending, TurnFailed | TurnSuspended):
        stream.desk.begin(run)
    stream.desk.append(run, ending)
    stream.read(run)
    assert stream.desk.trigger().failures == count


def test_what_has_no_try_left_is_told_as_dead(stream: Stream) -> None:
    run = stream.desk.run()
    spent = InputsFailed(inputs=(run.offset,), code="model_timeout", message="No.", retryable=True)
    stream.desk.append(run, spent)
    stream.read(run)
    [told] = stream.of("Run Failed")
    assert (told["runId"], told["status"], told["error"]["code"]) == (
        *(run.id, "dead", "model_timeout"),
    )


def test_what_is_cancelled_counts_as_neither(stream: Stream) -> None:
    failed(stream)
    for begins in (False, True):
        run = stream.desk.run()
        if begins:
            stream.desk.begin(run)
        runs.cancel(stream.desk.ports, run.session, run.incarnation, run.offset, "trace")
        stream.read(run)
    assert stream.desk.trigger().failures == 1


def test_what_comes_through_another_door_counts_for_nobody(stream: Stream) -> None:
    run = succeeded(stream)
    at = stream.segments(run)[-1].end
    failure = TurnFailed(turn="u", inputs=(at,), code="c", message="m", retryable=False)
    stream.desk.append(run, Input(texts=("hello",)), TurnBegan(turn="u", inputs=(at,)), failure)
    stream.read(run)
    assert stream.desk.trigger().failures == 0
    assert stream.of("Run Failed") == []
    assert stream.of("Turn Finished")[-1]["runs"] == []


def test_a_trigger_that_is_gone_counts_nothing(stream: Stream) -> None:
    stream.desk.fail()
    run = stream.desk.run()
    stream.desk.work()
    stream.desk.background.triggers.remove("t1")
    stream.read(run)
    assert stream.desk.background.triggers.get("t1") is None
    assert len(stream.of("Run Failed")) == 1


def test_it_is_counted_beside_changes_of_others(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.desk.fail()
    run = stream.desk.run()
    stream.desk.work()
    triggers = type(stream.desk.background.triggers)
    replaced = triggers.replace

    def overtaken(self: Any, changed: Any) -> bool:
        monkeypatch.setattr(triggers, "replace", replaced)
        stream.desk.change(description="new")
        return replaced(self, changed)

    monkeypatch.setattr(triggers, "replace", overtaken)
    stream.read(run)
    assert (stream.desk.trigger().failures, stream.desk.trigger().description) == (1, "new")


# --- the bus -------------------------------------------------------------------------------------


def test_a_finished_turn_is_told_with_its_run(stream: Stream) -> None:
    run = succeeded(stream)
    [(kind, detail)] = stream.told
    [answer] = stream.desk.recorded(run)[-1:]
    turn = stream.desk.events(run, Answered)[0].turn
    assert kind == "Turn Finished"
    assert detail == {
        "id": event_id(run.session, run.incarnation, answer.offset),
        "sessionId": run.session,
        "agentKey": "a",
        "time": answer.created_at,
        "turn": turn,
        "status": "succeeded",
        "text": "ok",
        "triggerId": "t1",
        "runId": run.id,
        "runs": [{"triggerId": "t1", "runId": run.id}],
    }


def test_a_failed_run_is_told_beside_its_turn(stream: Stream) -> None:
    run = failed(stream)
    [finished], [lost] = stream.of("Turn Finished"), stream.of("Run Failed")
    assert (finished["status"], lost["status"]) == ("failed", "failed")
    assert lost["error"]["code"] == finished["error"]["code"] == "model_unauthorized"
    assert (lost["triggerId"], lost["runId"], lost["turn"]) == ("t1", run.id, finished["turn"])
    assert lost["id"] != finished["id"]


def test_so_is_one_that_no_turn_has_begun_with(stream: Stream) -> None:
    run = stream.desk.run()
    stream.desk.append(run, InputsFailed(inputs=(run.offset,), code="expired", message="Late."))
    stream.read(run)
    [(kind, detail)] = stream.told
    assert (kind, detail["runId"], detail["error"]["code"]) == ("Run Failed", run.id, "expired")
    assert "turn" not in detail


def test_a_turn_that_waits_for_approval_names_the_calls(stream: Stream) -> None:
    run = stream.desk.run()
    stream.desk.begin(run)
    waits = TurnSuspended(turn="t", inputs=(run.offset,), calls=("c1",), tools=("pay",))
    stream.desk.append(run, waits)
    stream.read(run)
    [detail] = stream.of("Turn Finished")
    assert (detail["status"], detail["calls"], detail["tools"]) == ("waiting", ["c1"], ["pay"])


def test_a_hand_over_to_people_is_told_and_not_the_way_back(stream: Stream) -> None:
    run = stream.desk.run()
    stream.desk.begin(run)
    session = stream.desk.session(run)
    change_mode(stream.desk.ports, session, "manual", "trace")
    change_mode(stream.desk.ports, session, "auto", "trace")
    stream.read(run)
    assert [kind for kind, _ in stream.told] == ["Turn Finished", "Handover Requested"]
    assert stream.of("Turn Finished")[0]["status"] == "cancelled"
    assert stream.of("Handover Requested")[0]["sessionId"] == run.session


def test_a_redriven_run_is_told_under_its_own_id(stream: Stream) -> None:
    run = failed(stream)
    first = stream.desk.events(run, Input)[0]
    stream.desk.append(run, first)
    [*_, again] = stream.desk.recorded(run)
    moved = replace(run, offset=again.offset, earlier=(run.offset,), version=1)
    assert stream.desk.background.runs.replace(moved)
    stream.desk.append(run, TurnBegan(turn="u", inputs=(again.offset,)))
    stream.desk.append(run, Finished(turn="u", inputs=(again.offset,)))
    stream.read(run)
    assert stream.of("Turn Finished")[-1]["runId"] == run.id


def test_a_run_that_nobody_has_noted_has_no_id_yet(stream: Stream) -> None:
    run = stream.desk.run()
    stream.desk.background.runs._rows.clear()  # type: ignore[attr-defined]
    stream.desk.work()
    stream.read(run)
    [detail] = stream.of("Turn Finished")
    assert (detail["triggerId"], detail["runs"]) == ("t1", [{"triggerId": "t1"}])
    assert "runId" not in detail


def test_a_long_text_is_cut_between_characters(stream: Stream) -> None:
    run = stream.desk.run()
    stream.desk.begin(run)
    stream.desk.append(run, Answered(turn="t", inputs=(run.offset,), text="x" + "ü" * 20_000))
    stream.read(run)
    text = stream.of("Turn Finished")[0]["text"]
    assert len(text.encode()) == 10 * 1024 - 1
    assert {*text[1:]} == {"ü"}


def test_who_hears_it_again_knows_it_by_its_id(stream: Stream) -> None:
    run = failed(stream)
    once = list(stream.told)
    stream.read(run, again=True)
    assert stream.told == [*once, *once]


def test_a_fork_tells_nothing_again(stream: Stream) -> None:
    stream.desk.change(policy="enqueue")
    run = failed(stream, session="one")
    waits = stream.desk.run(session="one")
    stream.desk.begin(waits)
    stream.desk.clock.sleep(1)
    told = list(stream.told)
    session = stream.desk.session(run)
    end = stream.segments(run)[-1].end
    copy = fork.fork(
        stream.desk.ports, Session("a", "copy", 0, "c", 0), fork.Source(session, end), "trace"
    )
    stream.read(Run("t1", "none", copy.id, copy.incarnation, 0, 0))
    assert stream.told == told
    assert stream.desk.trigger().failures == 1


def test_of_a_deleted_session_only_that_its_turn_is_over_is_told(stream: Stream) -> None:
    run = stream.desk.run()
    stream.desk.work()
    segments = stream.segments(run)
    stream.desk.delete(run)
    for segment in segments:
        place = (run.session, run.incarnation, segment)
        announce(stream.desk.ports, stream.desk.background, *place)
    assert [(kind, detail["runs"]) for kind, detail in stream.told] == [("Turn Finished", [])]


# --- when something does not answer --------------------------------------------------------------


def test_what_the_bus_does_not_take_comes_again_and_counts_once(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.desk.fail()
    run = stream.desk.run()
    stream.desk.work()
    for _ in range(3):
        failing_once(monkeypatch, MemoryBus, "put")
        with pytest.raises(Unavailable):
            stream.read(run)
    stream.read(run)
    assert stream.desk.trigger().failures == 1
    assert len(stream.of("Run Failed")) == 1


def always(error: Exception) -> Callable[..., Any]:
    def fails(*_: Any) -> Any:
        raise error

    return fails


def test_a_bus_that_is_gone_holds_nothing_up_for_ever(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(MemoryBus, "put", always(Unavailable("Not now.")))
    stream.desk.fail()
    run = stream.desk.run()
    stream.desk.work()
    with pytest.raises(Unavailable):
        stream.read(run)
    stream.desk.clock.sleep(announcing.PATIENCE_MS / 1000 + 1)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        stream.read(run)
    assert {record.message for record in caplog.records} == {"Something is not announced"}
    assert stream.desk.trigger().failures == 1


def test_what_will_never_be_taken_holds_nothing_up(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def put(_: Any, kind: str, detail: Mapping[str, Any]) -> None:
        if kind == "Turn Finished":
            raise ValueError("what a user said")
        told.append(kind)

    monkeypatch.setattr(MemoryBus, "put", put)
    run = failed(stream)
    change_mode(stream.desk.ports, stream.desk.session(run), "manual", "trace")
    stream.read(run)
    assert told == ["Handover Requested"]
    assert stream.desk.trigger().failures == 1
    assert "what a user said" not in caplog.text


@pytest.mark.parametrize("method", ["get", "replace"])
def test_a_count_that_fails_comes_again(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """And is one too few, where it may have been counted."""
    stream.desk.fail()
    run = stream.desk.run()
    stream.desk.work()
    failing_once(monkeypatch, type(stream.desk.background.triggers), method)
    with pytest.raises(Unavailable):
        stream.read(run)
    stream.read(run)
    assert stream.desk.trigger().failures <= 1
    assert len(stream.of("Run Failed")) == 1


def test_the_background_of_others_is_left_alone(stream: Stream, background: Background) -> None:
    stream.desk.add("t2", pause_after=1)
    failed(stream, 2)
    assert stream.desk.trigger("t2").version == 0
