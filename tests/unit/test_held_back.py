"""What is held back stands aside until it is ready, and holds nobody up."""

from contextlib import nullcontext

import pytest

from cueline.engine.accept import Accepted, Arrival, accept
from cueline.engine.append import Writer
from cueline.engine.ports import WakeUp
from cueline.errors import TooManyPending, TurnRunning
from cueline.log.events import (
    Input,
    TurnAbandoned,
    TurnBegan,
    TurnPostponed,
)
from cueline.log.state import MAX_PENDING, State, Turn, Waiting, next_batch, offsets, steering
from cueline.log.triggers import FollowUp
from tests.unit.test_runs import PATIENT, Office, append, begun_by_hand
from tests.unit.test_triggers import of
from tests.unit.test_turns import LEASE, SESSION


@pytest.fixture
def office() -> Office:
    return Office()


def in_seconds(office: Office, seconds: int) -> int:
    return office.clock.now() + 1000 * seconds


# --- who passes whom -----------------------------------------------------------------------------


def waiting(*inputs: tuple[str, int]) -> State:
    """Of a policy, and ready at a time."""
    return State(
        pending=tuple(
            Waiting(offset, policy, not_before=ready)  # type: ignore[arg-type]
            for offset, (policy, ready) in enumerate(inputs)
        )
    )


@pytest.mark.parametrize(
    ("inputs", "taken"),
    [
        ([("enqueue", 9)], ()),
        ([("enqueue", 9), ("enqueue", 0)], (1,)),
        ([("enqueue", 5), ("enqueue", 0)], (0,)),
        ([("silent", 0), ("enqueue", 9), ("silent", 0), ("enqueue", 0)], (0, 2, 3)),
        ([("enqueue", 9), ("interrupt", 0)], (1,)),
        ([("enqueue", 0), ("enqueue", 9), ("interrupt", 0)], (0, 2)),
        ([("coalesce", 5), ("coalesce", 9), ("coalesce", 8)], (0, 1, 2)),
        ([("coalesce", 9), ("coalesce", 0), ("coalesce", 9)], (1, 2)),
        ([("coalesce", 0), ("enqueue", 9), ("coalesce", 9)], (0, 2)),
        ([("coalesce", 0), ("enqueue", 0), ("coalesce", 9)], (0,)),
        ([("coalesce", 0), ("silent", 0), ("steer", 0), ("coalesce", 9)], (0, 1, 2, 3)),
        ([("coalesce", 0), ("coalesce", 9), ("interrupt", 0), ("coalesce", 9)], (0, 1, 2)),
    ],
)
def test_at_5_the_next_turn_takes(inputs: list[tuple[str, int]], taken: tuple[int, ...]) -> None:
    assert offsets(next_batch(waiting(*inputs), 5)) == taken


@pytest.mark.parametrize("policy", ["enqueue", "coalesce", "interrupt", "steer"])
def test_what_is_ready_passes_what_is_held_back(office: Office, policy: str) -> None:
    later = office.run("later", policy="coalesce", not_before=in_seconds(office, 10))
    now = office.run("now", policy=policy)
    office.deliver()
    assert (office.progress(now).status, office.progress(later).status) == ("succeeded", "queued")
    office.after(10)
    assert office.progress(later).status == "succeeded"
    assert office.asked() == ["now", "later"]


def test_each_comes_at_its_own_time(office: Office) -> None:
    for name, seconds in [("third", 30), ("first", 10), ("second", 20)]:
        office.run(name, not_before=in_seconds(office, seconds))
    for n in range(3):
        assert len(office.model.asked) == n
        office.after(10)
    assert office.asked() == ["first", "second", "third"]


def test_what_coalesces_is_gathered_until_the_first_of_it_is_ready(office: Office) -> None:
    runs = []
    for _ in range(4):
        runs.append(office.run(policy="coalesce", not_before=in_seconds(office, 60)))
        office.after(20)
    [began] = of(TurnBegan, office.log())
    assert began.inputs == tuple(runs[:3])
    office.after(60)
    assert {office.progress(run).status for run in runs} == {"succeeded"}


def test_what_was_gathered_is_held_back_no_more_where_its_host_dies(office: Office) -> None:
    first = office.run(policy="coalesce", not_before=in_seconds(office, 10))
    second = office.run(policy="coalesce", not_before=in_seconds(office, 5000))
    append(office, TurnBegan(turn="t", inputs=(first, second)), TurnAbandoned(turn="t"))
    assert office.cancel(first)
    office.deliver()
    assert office.progress(second).status == "succeeded"


def test_what_steers_is_taken_by_the_turn_that_runs_when_it_is_ready() -> None:
    state = State(
        open=Turn("t", (Waiting(0, "enqueue"),)),
        pending=(Waiting(3, "steer", not_before=10), Waiting(4, "steer")),
    )
    assert offsets(steering(state, "t", 5)) == (4,)
    assert offsets(steering(state, "t", 10)) == (3, 4)


@pytest.mark.parametrize(("seconds", "refused"), [(0, False), (5, False), (10, True), (20, True)])
def test_who_wants_to_be_alone_is_not_refused_for_what_comes_after_it(
    office: Office, seconds: int, refused: bool
) -> None:
    office.run("later", not_before=in_seconds(office, 10))
    new = Input(texts=("alone",), not_before=in_seconds(office, seconds))
    writer = Writer(office.ports.log, office.clock, SESSION, "trace")
    tail, arrival = office.ports.log.tail(SESSION), Arrival(new, queues=False, alone=True)
    with pytest.raises(TurnRunning) if refused else nullcontext():
        accept(office.ports, writer, tail, arrival, LEASE, hosts=False)


def test_what_is_held_back_takes_the_place_of_nothing_that_is_ready(office: Office) -> None:
    for _ in range(MAX_PENDING):
        office.run("later", not_before=in_seconds(office, 60))
    with pytest.raises(TooManyPending):
        office.run("later", not_before=in_seconds(office, 60))
    office.run("now")
    office.deliver()
    assert office.answers() == ["ok"]


def test_a_silent_customer_is_followed_up_though_something_is_held_back(office: Office) -> None:
    office.change(follow_ups=(FollowUp(after_seconds=60),))
    office.run("later", not_before=in_seconds(office, 5000))
    office.customer("hello")
    office.deliver()
    office.after(60)
    assert len(office.answers()) == 2


@pytest.mark.parametrize("policy", ["enqueue", "coalesce"])
def test_who_waits_for_an_answer_begins_at_once_and_with_nothing_before_its_time(
    office: Office, policy: str
) -> None:
    later = office.run(policy="coalesce", not_before=in_seconds(office, 10))
    tail = office.ports.log.tail(SESSION)
    writer = Writer(office.ports.log, office.clock, SESSION, "trace")
    mine = Input.model_validate({"texts": ("me",), "policy": policy})
    taken = accept(office.ports, writer, tail, Arrival(mine), LEASE, hosts=True)
    assert isinstance(taken, Accepted)
    assert taken.turn
    [began] = of(TurnBegan, office.log())
    assert began.inputs == (taken.offset,)
    assert office.progress(later).status == "queued"


def test_what_waits_passes_what_is_tried_again(office: Office) -> None:
    office.fail()
    office.run("first")
    office.run("second")
    office.deliver()
    assert office.asked() == ["first", "second"]
    office.after(PATIENT)
    assert office.asked() == ["first", "second", "first"]


# --- nobody is forgotten -------------------------------------------------------------------------


def test_however_much_passes_it_it_comes_and_wakes_nobody_more_often_for_that(
    office: Office,
) -> None:
    later = office.run("later", not_before=in_seconds(office, 3000))
    for _ in range(8):
        office.customer("now")
        office.deliver()
    office.after(120)
    assert len(office.sent) == 1, "its own"
    for _ in range(4):
        office.after(900)
    assert office.progress(later).status == "succeeded"
    assert len(office.answers()) == 9


def test_a_turn_that_runs_when_it_is_looked_at_is_not_looked_at_for_it(office: Office) -> None:
    later = office.run("later", not_before=in_seconds(office, 2000))
    begun_by_hand(office, office.run("long"))
    office.worker.handle(WakeUp(SESSION, guards=later + 1), 100.0, "worker")
    again = [one for one in office.sent if one.guards == later + 1]
    assert [one.in_case for one in again] == [False, False]


@pytest.mark.parametrize("passes", [False, True])
def test_what_is_tried_again_comes_though_its_host_died_before_it_told_anybody(
    office: Office, passes: bool
) -> None:
    run = office.run()
    office.ports.wake_ups.drain()  # type: ignore[attr-defined]
    begun_by_hand(office, run)
    until = in_seconds(office, 100)
    append(office, TurnPostponed(turn="t", until=until, code="model_timeout", message=""))
    if passes:
        office.customer("now")
        office.deliver()
        assert office.answers() == ["ok"]
    office.worker.handle(WakeUp(SESSION, guards=run + 1, in_case=True), 100.0, "worker")
    office.after(100)
    assert office.progress(run).status == "succeeded"
