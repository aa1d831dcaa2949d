"""Runs of a trigger over REST: listed, fetched, cancelled, and redriven."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cueline.adapters.memory import MemoryWakeUps
from cueline.doors.background_triggers import intake
from cueline.doors.background_triggers.event_body import Delivered
from cueline.doors.background_triggers.executions import EXECUTION_ROUTES
from cueline.doors.background_triggers.intake import Taken
from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.background import Background, BackgroundTrigger, Run
from cueline.engine.marks import mark_event
from cueline.engine.model import End, TextDelta
from cueline.engine.modes import change_mode
from cueline.engine.ports import Ports
from cueline.engine.turn import Limits
from cueline.engine.worker import Worker
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    Input,
    InputsWithdrawn,
    ModelCalled,
    Recorded,
    TurnBegan,
    TurnSuspended,
)
from cueline.log.segment import Segment, Session
from tests.clock import FakeClock
from tests.functions.background import agents, ask4, background, refused
from tests.functions.conftest import Ask
from tests.models import ScriptedModel
from tests.models import refused as refused_key

__all__ = ["agents", "ask4", "background", "desk"]

LEASE = 30
EXECUTIONS = "/api/v1/integration/trigger/t1/execution"


@dataclass
class Desk:
    """A trigger of an agent, and a worker that does what it starts when it is told to."""

    ports: Ports
    background: Background
    clock: FakeClock
    model: ScriptedModel = field(default_factory=ScriptedModel)

    def add(self, name: str = "t1", **fields: Any) -> BackgroundTrigger:
        now = self.clock.now()
        given = {"agent_key": "a", "name": "T", "tries": 1, **fields}
        made = BackgroundTrigger(name, now, now, **given)
        assert self.background.triggers.create(made)
        return made

    def trigger(self, name: str = "t1") -> BackgroundTrigger:
        found = self.background.triggers.get(name)
        assert found
        return found

    def change(self, name: str = "t1", **fields: Any) -> None:
        before = self.trigger(name)
        changed = replace(before, version=before.version + 1, **fields)
        assert self.background.triggers.replace(changed)

    def take(self, text: str = "do it", name: str = "t1", **fields: Any) -> Taken:
        event = Delivered(text=text, **fields)
        self.clock.sleep(0.001)
        return intake.take(self.ports, self.background, self.trigger(name), event, LEASE, "trace")

    def run(self, text: str = "do it", name: str = "t1", **fields: Any) -> Run:
        """Of a new event, which waits for the worker."""
        found = self.take(text, name, **fields).run
        assert found
        return found

    def work(self, seconds: float = 0) -> None:
        """All that is due after so many seconds."""
        self.clock.sleep(seconds)
        worker = Worker(self.ports, lambda: self.model, Limits(lease=LEASE))
        queue = self.ports.wake_ups
        assert isinstance(queue, MemoryWakeUps)
        for _ in range(20):
            for wake_up in queue.drain():
                worker.handle(wake_up, 100.0, "worker")

    def fail(self, times: int = 1) -> None:
        """Turns that are to fail with what will not pass."""
        self.model.scripts += [(refused_key(),) for _ in range(times)]

    def append(self, run: Run, *events: Any) -> None:
        writer = Writer(self.ports.log, self.clock, run.session, "other")
        writer.append(self.ports.log.tail(run.session).head, lambda *_: events)

    def begin(self, run: Run) -> None:
        """Somebody is at work on it."""
        self.append(run, TurnBegan(turn="t", inputs=(run.offset,)))

    def recorded(self, run: Run) -> list[Recorded]:
        return list(self.ports.log.read(run.session, run.incarnation, -1, 10_000))

    def events(self, run: Run, kind: type) -> list[Any]:
        return [one.event for one in self.recorded(run) if isinstance(one.event, kind)]

    def segments(self, session: str, incarnation: int) -> list[Segment]:
        found: list[Segment] = []
        at = 0
        while segment := self.ports.log.segment(session, incarnation, at):
            found.append(segment)
            at = segment.end
        return found

    def session(self, run: Run) -> Session:
        found = self.ports.log.tail(run.session).session
        assert found
        return found

    def delete(self, run: Run) -> None:
        agent_key, session_key = run.session.split(".")
        sessions.delete(self.ports, agent_key, session_key, "trace")


@pytest.fixture
def desk(ports: Ports, background: Background, clock: FakeClock, agents: None) -> Desk:
    made = Desk(ports, background, clock)
    made.add()
    return made


def shown(ask4: Ask, run: Run | str) -> dict[str, Any]:
    name = run if isinstance(run, str) else run.id
    answer = ask4("GET", f"{EXECUTIONS}/{name}/fetch")
    assert answer.status == 200, answer.text
    return dict(answer.json)


def done(ask4: Ask, run: Run, what: str, **more: Any) -> None:
    answer = ask4("POST", f"{EXECUTIONS}/{run.id}/{what}", {}, **more)
    assert (answer.status, answer.json) == (200, {"id": run.id}), answer.text


def not_done(ask4: Ask, run: Run, what: str) -> str:
    return refused(ask4("POST", f"{EXECUTIONS}/{run.id}/{what}", {}), 409, "CONFLICT")


def stored(desk: Desk, run: Run) -> Run:
    found = desk.background.runs.get(run.trigger, run.id)
    assert found
    return found


# --- shown ---------------------------------------------------------------------------------------


def test_a_run_is_shown_from_its_event_to_its_answer(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    waits = shown(ask4, run)
    assert waits == {
        "id": run.id,
        "triggerId": "t1",
        "conversationId": run.session,
        "status": "queued",
        "attempts": 0,
        "redrives": 0,
        "createdAt": run.created_at,
        "startedAt": None,
        "completedAt": None,
        "cost": 0.0,
        "tokens": 0,
        "outcome": "",
        "error": None,
    }
    desk.work(1)
    over = shown(ask4, run)
    assert (over["status"], over["attempts"], over["outcome"]) == ("succeeded", 1, "ok")
    assert over["startedAt"] == over["completedAt"] == run.created_at + 1000
    assert over["tokens"] > 0


def test_its_cost_is_in_dollars(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.begin(run)
    desk.append(run, ModelCalled(turn="t", input_tokens=7, output_tokens=5, cost=1_250_000))
    running = shown(ask4, run)
    assert (running["status"], running["cost"], running["tokens"]) == ("running", 0.00125, 12)


def test_a_failure_is_told_with_its_code(ask4: Ask, desk: Desk) -> None:
    desk.fail()
    run = desk.run()
    desk.work()
    failed = shown(ask4, run)
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "model_unauthorized"
    assert failed["error"]["retryable"] is False
    assert failed["completedAt"]


def test_runs_are_listed_newest_first_page_by_page(ask4: Ask, desk: Desk) -> None:
    runs = [desk.run(f"event {n}", session="one") for n in range(5)]
    desk.add("t2")
    desk.run(name="t2")
    pages: list[list[str]] = []
    query = {"take": "2"}
    while True:
        answer = ask4("GET", f"{EXECUTIONS}/list", query=query)
        assert answer.status == 200, answer.text
        if not answer.json["items"]:
            assert "cursor" not in answer.json
            break
        pages.append([one["id"] for one in answer.json["items"]])
        query["cursor"] = answer.json["cursor"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [name for page in pages for name in page] == [run.id for run in reversed(runs)]


def test_a_list_has_what_a_fetch_has(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.work()
    [one] = ask4("GET", f"{EXECUTIONS}/list", query={"take": "many"}).json["items"]
    assert one == shown(ask4, run)


def test_all_of_them_are_streamed_as_lines(ask4: Ask, desk: Desk) -> None:
    for n in range(3):
        desk.run(f"event {n}")
    answer = ask4("GET", f"{EXECUTIONS}/list", headers={"accept": "application/jsonl"})
    assert answer.headers["content-type"] == "application/jsonl"
    assert len(answer.text.splitlines()) == 3


@pytest.mark.parametrize("query", [{"order": "asc"}, {"cursor": "no cursor"}])
def test_a_wrong_query_is_refused(ask4: Ask, desk: Desk, query: dict[str, str]) -> None:
    refused(ask4("GET", f"{EXECUTIONS}/list", query=query), 400, "BAD_REQUEST")


def test_with_its_conversation_goes_what_became_of_a_run(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.work()
    desk.delete(run)
    gone = shown(ask4, run)
    assert (gone["status"], gone["outcome"], gone["error"]) == ("deleted", "", None)
    for what in ("cancel", "redrive"):
        assert "was deleted" in not_done(ask4, run, what)


def test_a_session_made_anew_under_the_key_is_another_one(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.delete(run)
    desk.clock.sleep(1)
    agent_key, session_key = run.session.split(".")
    sessions.create(desk.ports, Session(agent_key, session_key, 0, "new", 0), "trace")
    assert shown(ask4, run)["status"] == "deleted"
    assert "was deleted" in not_done(ask4, run, "redrive")
    assert "was deleted" in not_done(ask4, run, "cancel")


@pytest.mark.parametrize("route", EXECUTION_ROUTES, ids=lambda r: r.path.rpartition("/")[2])
def test_what_is_not_there_is_not_found(ask4: Ask, desk: Desk, route: Any) -> None:
    def asked(trigger: str, run: str) -> str:
        path = route.path.format(trigger_id=trigger, execution_id=run)
        return refused(ask4(route.method, f"/api/v1{path}", {}), 404, "NOT_FOUND")

    run = desk.run()
    assert "trigger" in asked("t2", run.id)
    desk.add("schedule.a.daily")
    assert "trigger" in asked("schedule.a.daily", run.id)
    desk.add("t2")
    if "{execution_id}" in route.path:
        for name in (run.id, "%20", "x" * 5000):
            assert "execution" in asked("t2", name)


# --- cancelled -----------------------------------------------------------------------------------


def test_a_run_that_waits_is_withdrawn(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    done(ask4, run, "cancel")
    desk.work()
    over = shown(ask4, run)
    assert (over["status"], over["error"]) == ("cancelled", None)
    assert desk.model.asked == []


def test_a_running_one_ends_with_its_turn(ask4: Ask, desk: Desk) -> None:
    run, later = desk.run(session="one"), desk.run(session="one")
    desk.begin(run)
    done(ask4, run, "cancel")
    assert shown(ask4, run)["status"] == "cancelled"
    desk.work()
    assert shown(ask4, later)["status"] == "succeeded"


def test_who_did_not_hear_that_it_is_cancelled_may_ask_again(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    for _ in range(3):
        done(ask4, run, "cancel")
    assert len(desk.events(run, InputsWithdrawn)) == 1


def test_what_is_over_cannot_be_cancelled(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.work()
    assert "succeeded" in not_done(ask4, run, "cancel")


# --- redriven ------------------------------------------------------------------------------------


def test_a_failed_run_is_done_once_its_cause_is_mended(ask4: Ask, desk: Desk) -> None:
    desk.fail()
    run = desk.run("the poison")
    desk.work()
    done(ask4, run, "redrive")
    again = shown(ask4, run)
    assert (again["status"], again["redrives"], again["error"]) == ("queued", 1, None)
    desk.work()
    over = shown(ask4, run)
    assert (over["status"], over["attempts"], over["outcome"]) == ("succeeded", 1, "ok")
    first, second = desk.events(run, Input)
    assert first.texts == second.texts == ("the poison",)
    assert [one["id"] for one in ask4("GET", f"{EXECUTIONS}/list").json["items"]] == [run.id]


def test_who_did_not_hear_that_it_is_redriven_may_ask_again(ask4: Ask, desk: Desk) -> None:
    desk.fail()
    run = desk.run()
    desk.work()
    for _ in range(3):
        done(ask4, run, "redrive")
    assert len(desk.events(run, Input)) == 2


def test_under_a_key_it_is_redriven_once_whatever_has_become_of_it(ask4: Ask, desk: Desk) -> None:
    desk.fail(3)
    run = desk.run()
    desk.work()
    for _ in range(2):
        done(ask4, run, "redrive", headers={"Idempotency-Key": "k"})
        desk.work()
    assert len(desk.events(run, Input)) == 2
    done(ask4, run, "redrive", headers={"Idempotency-Key": "k2"})
    desk.work()
    assert (shown(ask4, run)["status"], shown(ask4, run)["redrives"]) == ("failed", 2)
    assert stored(desk, run).offset > max(stored(desk, run).earlier)


def test_who_dies_before_the_run_is_written_leaves_nothing_done_twice(
    ask4: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.fail()
    run = desk.run()
    desk.work()
    failing_once(monkeypatch, type(desk.background.runs), "replace")
    refused(ask4("POST", f"{EXECUTIONS}/{run.id}/redrive", {}), 503, "SERVICE_UNAVAILABLE")
    assert shown(ask4, run)["status"] == "failed"
    desk.work()
    done(ask4, run, "redrive")
    assert len(desk.events(run, Input)) == 2
    assert shown(ask4, run)["status"] == "succeeded"


def test_of_two_who_redrive_at_once_both_hear_that_it_is_done(
    ask4: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.fail()
    run = desk.run()
    desk.work()
    runs = type(desk.background.runs)
    replaced = runs.replace

    def overtaken(self: Any, changed: Run) -> bool:
        monkeypatch.setattr(runs, "replace", replaced)
        done(ask4, run, "redrive")
        return replaced(self, changed)

    monkeypatch.setattr(runs, "replace", overtaken)
    done(ask4, run, "redrive")
    assert len(desk.events(run, Input)) == 2
    assert (stored(desk, run).version, len(stored(desk, run).earlier)) == (1, 1)


def test_what_is_not_over_is_not_redriven(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    assert "not over" in not_done(ask4, run, "redrive")
    desk.begin(run)
    assert "not over" in not_done(ask4, run, "redrive")
    desk.append(run, TurnSuspended(turn="t", inputs=(run.offset,), calls=("c",)))
    assert shown(ask4, run)["status"] == "waiting"
    assert "not over" in not_done(ask4, run, "redrive")


def test_what_was_cancelled_or_went_well_may_be_done_again(ask4: Ask, desk: Desk) -> None:
    cancelled, answered = desk.run(), desk.run()
    done(ask4, cancelled, "cancel")
    desk.work()
    for run in (cancelled, answered):
        done(ask4, run, "redrive")
    desk.work()
    assert [len(desk.events(run, Answered)) for run in (cancelled, answered)] == [1, 2]
    assert shown(ask4, cancelled)["status"] == "succeeded"


def test_what_was_erased_or_left_to_people_is_not_said_again(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.work()
    mark_event(desk.ports, desk.session(run), run.offset, "erased", "trace")
    assert "send the event again" in not_done(ask4, run, "redrive")
    kept = desk.run(session="people")
    change_mode(desk.ports, desk.session(kept), "manual", "trace")
    theirs = desk.run(session="people")
    assert shown(ask4, theirs)["status"] == "succeeded"
    assert "left to people" in not_done(ask4, theirs, "redrive")


def test_a_redriven_run_may_be_cancelled(ask4: Ask, desk: Desk) -> None:
    desk.fail()
    run = desk.run()
    desk.work()
    done(ask4, run, "redrive")
    done(ask4, run, "cancel")
    assert shown(ask4, run)["status"] == "cancelled"


def test_the_places_that_a_run_had_are_not_kept_for_ever(ask4: Ask, desk: Desk) -> None:
    run = desk.run()
    desk.model.scripts = [(TextDelta("x"), End("stop"))] * 200
    desk.work()
    for _ in range(103):
        done(ask4, run, "redrive")
        desk.work()
    assert len(stored(desk, run).earlier) == 100


def failing_once(monkeypatch: pytest.MonkeyPatch, port: type, name: str) -> None:
    """The port's next call of this name is Unavailable."""
    call: Callable[..., Any] = getattr(port, name)

    def fails(*_: Any) -> Any:
        monkeypatch.setattr(port, name, call)
        raise Unavailable("Not now.")

    monkeypatch.setattr(port, name, fails)
