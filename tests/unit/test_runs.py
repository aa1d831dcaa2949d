"""What is worked off in the background: held back, tried again, given up, taken back, said anew."""

import pytest

from cueline.engine import runs
from cueline.engine.accept import Accepted
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.marks import mark_event
from cueline.engine.model import Said
from cueline.engine.modes import change_mode
from cueline.engine.postponing import FIRST_PAUSE, again_at
from cueline.engine.runs import Progress
from cueline.engine.takeover import plan
from cueline.errors import Conflict, EventNotFound
from cueline.log.events import (
    Answered,
    Decision,
    Event,
    Input,
    InputsFailed,
    InputsTaken,
    InputsWithdrawn,
    ModelCalled,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.state import MAX_TRIES, State, Turn, Waiting, offsets
from tests.models import overloaded, refused
from tests.tooling import says
from tests.unit.test_triggers import Room, of
from tests.unit.test_turns import LEASE, SESSION

PATIENT = 60.0
"""Seconds: more than any pause of the tests' first tries."""


class Office(Room):
    def run(self, text: str = "do it", **fields: object) -> int:
        told = {"texts": (text,), "origin": "trg", "tries": 3, **fields}
        return self.put(Input.model_validate(told)).offset

    def asked(self) -> list[str]:
        """What each call of the model was to answer."""
        last = [request.items[-1] for request in self.model.asked]
        return [item.text for item in last if isinstance(item, Said)]

    def progress(self, offset: int) -> Progress:
        found = runs.progress(self.ports, SESSION, self.session.incarnation, offset)
        assert found
        return found

    def cancel(self, offset: int) -> bool:
        return runs.cancel(self.ports, SESSION, self.session.incarnation, offset, "trace")

    def anew(self, offset: int, key: str = "k") -> int:
        tail = self.ports.log.tail(SESSION)
        return runs.try_anew(
            self.ports, tail, offset, LEASE, "trace", IdempotencyKey(key, "redrive")
        )

    def fail(self, times: int = 1) -> None:
        """The provider is away for so many turns."""
        self.change(
            retries=self.ports.agents.get("a").retries.model_copy(update={"enabled": False})
        )
        self.model.scripts = [(overloaded(),) for _ in range(times)]


@pytest.fixture
def office() -> Office:
    return Office()


# --- held back -----------------------------------------------------------------------------------


def test_what_is_held_back_is_not_begun_with_before_its_time(office: Office) -> None:
    offset = office.run(not_before=office.clock.now() + 10_000)
    office.deliver()
    assert office.progress(offset).status == "queued"
    assert of(TurnBegan, office.log()) == []
    office.after(10)
    assert office.progress(offset).status == "succeeded"


def test_a_wake_up_that_comes_too_early_is_followed_by_one_that_does_not(office: Office) -> None:
    offset = office.run(not_before=office.clock.now() + 5_000_000)
    office.deliver()
    for _ in range(8):
        office.after(900)
    assert office.progress(offset).status == "succeeded"


def test_what_is_held_back_does_not_come_sooner_as_what_was_before_it_is_given_up() -> None:
    worn, later = Waiting(0, "enqueue"), Waiting(1, "enqueue", not_before=10_000)
    state = State(open=Turn("t", (worn,)), pending=(later,), tries={0: MAX_TRIES})

    def done(now: int) -> list[type]:
        told = plan(state, 3, ["t"], "u", now)
        return [type(event) for event in told]

    assert done(0) == [TurnAbandoned, InputsFailed]
    assert done(10_000) == [TurnAbandoned, InputsFailed, TurnBegan]


# --- tried again ---------------------------------------------------------------------------------


def test_what_may_pass_is_tried_again_after_a_while(office: Office) -> None:
    office.fail()
    offset = office.run()
    office.deliver()
    [later] = of(TurnPostponed, office.log())
    waits = office.progress(offset)
    assert (waits.status, waits.attempts, waits.code) == ("queued", 1, "model_rate_limited")
    assert later.until > office.clock.now()
    office.after(PATIENT)
    done = office.progress(offset)
    assert (done.status, done.attempts, done.text, done.code) == ("succeeded", 2, "ok", "")
    assert len(of(Answered, office.log())) == 1


def test_but_not_for_ever(office: Office) -> None:
    office.fail(9)
    offset = office.run()
    for _ in range(6):
        office.after(900)
    dead = office.progress(offset)
    assert (dead.status, dead.attempts, dead.retryable) == ("dead", 3, True)
    assert len(office.model.asked) == 3


def test_what_will_not_pass_is_not_tried_again(office: Office) -> None:
    office.model.scripts = [(refused(),)]
    offset = office.run()
    office.deliver()
    failed = office.progress(offset)
    assert (failed.status, failed.attempts, failed.code) == ("failed", 1, "model_unauthorized")
    assert of(TurnPostponed, office.log()) == []


def test_a_message_of_another_door_fails_at_once_as_ever(office: Office) -> None:
    office.fail()
    office.customer("hello")
    office.deliver()
    assert [e.code for e in of(TurnFailed, office.log())] == ["model_rate_limited"]


def test_each_pause_is_longer_than_the_one_before() -> None:
    def pause(failed: int) -> float:
        turn = Turn("t", (Waiting(0, "enqueue", tries=9, failed=failed),))
        return again_at(turn, 0, 0.5) / 1000

    assert [pause(n) for n in range(5)] == [5, 20, 80, 320, 900]
    assert pause(0) == FIRST_PAUSE
    assert pause(8) == 0


@pytest.mark.parametrize("policy", ["enqueue", "coalesce", "interrupt"])
def test_who_joins_later_keeps_nothing_alive_that_has_no_try_left(
    office: Office, policy: str
) -> None:
    office.fail(30)
    runs = []
    for n in range(6):
        runs.append(office.run(str(n), policy=policy, tries=2))
        office.deliver()
        office.after(3)
    office.after(PATIENT)
    ended = [office.progress(run) for run in runs]
    assert [(one.status, one.attempts, one.code) for one in ended] == [
        ("dead", 2, "model_rate_limited")
    ] * 6
    assert all(one.retryable for one in ended)


def test_it_ends_as_the_others_are_put_off_and_what_it_said_is_remembered(office: Office) -> None:
    office.fail()
    again = office.run("again", policy="coalesce")
    once = office.run("once", policy="coalesce", tries=1)
    office.deliver()
    [failed] = of(InputsFailed, office.log())
    assert (failed.inputs, failed.code, failed.retryable) == ((once,), "model_rate_limited", True)
    [put_off] = [r for r in office.recorded() if isinstance(r.event, TurnPostponed)]
    [ended] = [r for r in office.recorded() if isinstance(r.event, InputsFailed)]
    assert ended.offset == put_off.offset + 1, "in one append"
    assert offsets(office.ports.log.tail(SESSION).head.state.pending) == (again,)
    office.after(PATIENT)
    said = [item.text for item in office.model.asked[-1].items if isinstance(item, Said)]
    assert said == ["once", "again"]
    assert len(of(Answered, office.log())) == 1


# --- given up ------------------------------------------------------------------------------------


def test_what_nobody_has_begun_with_by_its_time_is_given_up(office: Office) -> None:
    offset = office.run(not_after=office.clock.now() + 1_000)
    office.clock.sleep(2)
    office.deliver()
    late = office.progress(offset)
    assert (late.status, late.code, late.attempts) == ("failed", "expired", 0)
    assert office.model.asked == []


def test_what_was_begun_with_in_time_is_not(office: Office) -> None:
    office.fail()
    offset = office.run(not_after=office.clock.now() + 1_000)
    office.deliver()
    office.after(PATIENT)
    assert office.progress(offset).status == "succeeded"


# --- taken back ----------------------------------------------------------------------------------


def test_a_queued_run_is_withdrawn(office: Office) -> None:
    offset = office.run()
    assert office.cancel(offset)
    office.deliver()
    assert office.progress(offset).status == "cancelled"
    assert office.model.asked == []
    assert not office.cancel(offset)
    assert len(of(InputsWithdrawn, office.log())) == 1


def test_a_running_one_is_interrupted(office: Office) -> None:
    offset = office.run()
    office.model.before = lambda: (
        office.progress(offset).status == "running" and office.cancel(offset)
    )
    office.deliver()
    assert office.progress(offset).status == "cancelled"
    assert of(Answered, office.log()) == []


def test_what_waits_behind_it_is_begun_with(office: Office) -> None:
    first, second = office.run("first"), office.run("second")
    assert office.cancel(first)
    office.deliver()
    assert office.progress(second).status == "succeeded"


def test_a_run_of_a_session_that_is_gone_is_not_there(office: Office) -> None:
    offset = office.run()
    incarnation = office.session.incarnation + 1
    assert runs.progress(office.ports, SESSION, incarnation, offset) is None
    with pytest.raises(EventNotFound):
        runs.cancel(office.ports, SESSION, incarnation, offset, "trace")


# --- said anew -----------------------------------------------------------------------------------


def test_a_dead_run_can_be_tried_anew_once_its_cause_is_gone(office: Office) -> None:
    office.fail(9)
    offset = office.run("do this")
    for _ in range(6):
        office.after(900)
    office.model.scripts = [says("Done.")]
    again = office.anew(offset)
    assert office.anew(offset) == again
    office.deliver()
    done = office.progress(again)
    assert (done.status, done.text, done.attempts) == ("succeeded", "Done.", 1)
    assert office.progress(offset).status == "dead"


def test_one_that_is_not_over_cannot(office: Office) -> None:
    offset = office.run()
    with pytest.raises(Conflict):
        office.anew(offset)


def test_what_was_given_up_is_not_given_up_at_once_again(office: Office) -> None:
    offset = office.run(not_after=office.clock.now() + 1_000)
    office.clock.sleep(2)
    office.deliver()
    assert len(of(InputsFailed, office.log())) == 1
    again = office.anew(offset)
    office.deliver()
    assert office.progress(again).status == "succeeded"


def test_what_is_left_to_people_has_succeeded(office: Office) -> None:
    change_mode(office.ports, office.session, "manual", "trace")
    taken = office.put(Input(texts=("hello",), origin="trg"))
    assert isinstance(taken, Accepted)
    assert office.progress(taken.offset).status == "succeeded"


# --- interrupts, callers who wait, and decisions -------------------------------------------------


def test_one_that_interrupts_is_tried_again_after_a_while_too(office: Office) -> None:
    office.fail()
    office.run(policy="interrupt")
    office.deliver()
    assert len(office.model.asked) == 1
    office.after(PATIENT)
    assert len(office.model.asked) == 2


def test_who_interrupts_does_not_wait_for_one_that_is_tried_again(office: Office) -> None:
    office.fail()
    office.run(policy="interrupt")
    office.deliver()
    office.customer("now")
    office.deliver()
    assert office.answers() == ["ok"]


def begun_by_hand(office: Office, offset: int) -> None:
    append(office, TurnBegan(turn="t", inputs=(offset,)))


def append(office: Office, *events: Event) -> None:
    writer = Writer(office.ports.log, office.clock, SESSION, "trace")
    writer.append(office.ports.log.tail(SESSION).head, lambda *_: events)


@pytest.mark.parametrize("end", [TurnAbandoned(turn="t"), TurnHandedOver(turn="t")])
def test_what_its_host_has_left_waits_again(office: Office, end: Event) -> None:
    offset = office.run()
    begun_by_hand(office, offset)
    assert office.progress(offset).status == "running"
    append(office, end)
    assert office.progress(offset).status == "queued"
    office.deliver()
    assert office.progress(offset).status == "succeeded"


def called(cost: int) -> ModelCalled:
    return ModelCalled(turn="t", model="m", input_tokens=10, output_tokens=1, cost=cost)


def test_one_that_steers_runs_from_when_it_is_taken_along(office: Office) -> None:
    first = office.run("first")
    begun_by_hand(office, first)
    second = office.run("second", policy="steer")
    append(office, called(7))
    assert office.progress(second).status == "queued"
    office.clock.sleep(3)
    append(office, InputsTaken(turn="t", inputs=(second,)))
    taken_at = office.clock.now()
    office.clock.sleep(3)
    append(office, called(5))
    steers = office.progress(second)
    assert (steers.status, steers.attempts, steers.started_at) == ("running", 1, taken_at)
    assert (steers.cost, steers.tokens) == (5, 11), "of the calls that were for it"
    append(office, Answered(turn="t", inputs=(first, second), text="Done."))
    done = office.progress(second)
    assert (done.status, done.text, done.attempts, done.cost) == ("succeeded", "Done.", 1, 5)
    assert office.progress(first).cost == 12


def test_one_that_was_taken_along_waits_with_what_is_tried_again(office: Office) -> None:
    first = office.run("first")
    begun_by_hand(office, first)
    started_at = office.clock.now()
    second = office.run("second", policy="steer")
    why = "The provider is busy."
    until = started_at + 5_000
    append(
        office,
        InputsTaken(turn="t", inputs=(second,)),
        called(5),
        TurnPostponed(turn="t", until=until, code="model_rate_limited", message=why),
    )
    waits = office.progress(second)
    assert (waits.status, waits.attempts, waits.cost) == ("queued", 1, 5)
    assert (waits.code, waits.message, waits.retryable) == ("model_rate_limited", why, True)
    assert waits.started_at == started_at
    office.after(PATIENT)
    office.after(1)
    done = office.progress(second)
    assert (done.status, done.attempts, done.code) == ("succeeded", 2, "")
    assert done.started_at == started_at


def test_a_text_that_is_hidden_is_not_shown(office: Office) -> None:
    offset = office.run()
    office.deliver()
    [answered] = [r.offset for r in office.recorded() if isinstance(r.event, Answered)]
    mark_event(office.ports, office.session, answered, "hidden", "trace")
    done = office.progress(offset)
    assert (done.status, done.text) == ("succeeded", "")


def suspended(office: Office, *texts: str) -> tuple[int, ...]:
    """Runs that wait for the same call's approval."""
    found = tuple(office.run(text, policy="coalesce") for text in texts)
    append(
        office,
        TurnBegan(turn="t", inputs=found),
        TurnSuspended(turn="t", inputs=found, calls=("c",)),
    )
    return found


def decided(office: Office, call: str = "c") -> int:
    decision = Decision(verdict="approve")
    return office.put(Input(policy="decision", call=call, decision=decision)).offset


def test_one_that_waits_for_a_decision_is_taken_back_with_what_waits_beside_it(
    office: Office,
) -> None:
    first, second = suspended(office, "first", "second")
    assert office.progress(first).status == "waiting"
    assert office.cancel(first)
    assert {office.progress(o).status for o in (first, second)} == {"cancelled"}
    assert not office.cancel(first)


def test_with_it_goes_a_decision_that_nobody_has_begun_with(office: Office) -> None:
    [offset] = suspended(office, "do it")
    decided(office)
    assert office.cancel(offset)
    office.deliver()
    assert office.progress(offset).status == "cancelled"
    assert office.model.asked == []


def test_one_whose_decision_is_being_followed_is_interrupted(office: Office) -> None:
    [offset] = suspended(office, "do it")
    append(office, TurnBegan(turn="u", inputs=(decided(office),)))
    assert office.cancel(offset)
    assert office.progress(offset).status == "cancelled"
    assert office.ports.log.tail(SESSION).head.state.open is None


def test_nothing_that_waits_beside_it_is_left_behind(office: Office) -> None:
    first, second = office.run("first"), office.run("second")
    for turn, one, calls in (("t", first, ("c", "d")), ("u", second, ("c",))):
        append(office, TurnBegan(turn=turn, inputs=(one,)))
        append(office, TurnSuspended(turn=turn, inputs=(one,), calls=calls))
    append(office, TurnBegan(turn="v", inputs=(decided(office, "d"),)))
    assert office.cancel(second)
    assert {office.progress(one).status for one in (first, second)} == {"cancelled"}
    state = office.ports.log.tail(SESSION).head.state
    assert (state.open, state.suspended, state.pending) == (None, {}, ())


def test_one_that_waits_for_a_decision_waits_also_while_people_answer(office: Office) -> None:
    [offset] = suspended(office, "do it")
    change_mode(office.ports, office.session, "manual", "trace")
    assert office.progress(offset).status == "waiting"
    at = decided(office)
    append(
        office,
        TurnBegan(turn="u", inputs=(at,)),
        Answered(turn="u", inputs=(offset, at), text="Done."),
    )
    done = office.progress(offset)
    assert (done.status, done.text) == ("succeeded", "Done.")
