"""What the engine does for a session that is commanded while it runs: who listens to it, what its
application sets, and what it tells the agent."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cueline.engine.accept import Accepted
from cueline.engine.agent import AgentStep, Instruction
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.listeners import LONGEST_CONNECTION, Speech
from cueline.engine.model import End, Said, TextDelta
from cueline.engine.modes import change_mode
from cueline.engine.removal import remove_events
from cueline.engine.settings import Changed, change_settings, settings_at
from cueline.errors import IdempotencyKeyReused, SessionNotFound, TooManyPending
from cueline.log.events import (
    Answered,
    Input,
    Listening,
    PartlyAnswered,
    Posted,
    SessionDeleted,
    SettingsChanged,
    Spoke,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
)
from cueline.log.settings import Settings, TurnDetection
from cueline.log.state import MAX_PENDING
from tests.models import overloaded, refused
from tests.tooling import calls, says
from tests.unit.test_triggers import Room, of
from tests.unit.test_turns import SESSION

HOURS = 1000 * LONGEST_CONNECTION


@dataclass
class Heard(Speech):
    """Writes down what it is told."""

    told: list[tuple[object, ...]] = field(default_factory=list)

    def begins(self) -> None:
        self.told.append(("begins",))

    def says(self, part: int | None, text: str) -> None:
        self.told.append((part, text))

    def ends(self, *, cut: bool) -> None:
        self.told.append(("ends", cut))


@dataclass
class Ears:
    speeches: list[Heard] = field(default_factory=list)

    def speech(self, session: str, incarnation: int, turn: str) -> Speech:
        self.speeches.append(Heard())
        return self.speeches[-1]


class Hall(Room):
    """A room whose turns may be heard."""

    def __init__(self) -> None:
        super().__init__()
        self.ears = Ears()
        self.ports = replace(self.ports, listeners=self.ears)
        self.restart()
        self.timers: list[Callable[[], None]] = []
        self.clock.every = self.every  # type: ignore[method-assign]

    def every(self, seconds: float, do: Callable[[], None]) -> AbstractContextManager[None]:
        self.timers.append(do)
        return nullcontext()

    def look(self) -> None:
        """As the host of the newest turn does every now and then."""
        self.timers[-1]()

    def writer(self) -> Writer:
        return Writer(self.ports.log, self.clock, SESSION, "trace")

    def listen(self) -> None:
        until = self.clock.now() + HOURS
        head = self.ports.log.tail(SESSION).head
        self.writer().append_once(head, Listening(connection="a.s.one", until=until))

    def set(self, change: Settings, key: IdempotencyKey | None = None) -> Changed:
        return change_settings(self.ports, self.writer(), self.ports.log.tail(SESSION), change, key)

    def heard(self) -> list[tuple[object, ...]]:
        return [told for speech in self.ears.speeches for told in speech.told]


@pytest.fixture
def hall() -> Hall:
    return Hall()


# --- who listens ---------------------------------------------------------------------------------


def test_a_turn_is_told_word_by_word_while_somebody_listens(hall: Hall) -> None:
    hall.listen()
    hall.model.scripts = [(TextDelta("Hello "), TextDelta("there."), End("stop"))]
    hall.customer("hi")
    hall.deliver()
    assert hall.heard() == [("begins",), (0, "Hello "), (None, "there."), ("ends", False)]


def test_nobody_is_told_of_a_session_that_nobody_listens_to(hall: Hall) -> None:
    hall.customer("hi")
    hall.deliver()
    assert hall.ears.speeches == []


def test_nor_once_every_connection_must_have_ended(hall: Hall) -> None:
    hall.listen()
    hall.clock.sleep(LONGEST_CONNECTION)
    hall.customer("hi")
    hall.deliver()
    assert hall.ears.speeches == []


def test_who_comes_during_the_turn_hears_all_of_the_message_that_is_being_said(
    hall: Hall,
) -> None:
    chunks = iter(range(9))

    def come() -> None:
        if next(chunks) == 1:
            hall.listen()
            hall.look()

    hall.model.scripts = [(TextDelta("A"), TextDelta("B"), TextDelta("C"), End("stop"))]
    hall.model.before = come
    hall.customer("hi")
    hall.deliver()
    assert hall.heard() == [("begins",), (0, "AB"), (None, "C"), ("ends", False)]


def test_each_message_of_a_turn_has_its_number_in_the_speech_and_in_the_log(hall: Hall) -> None:
    hall.listen()
    hall.toolbox.add("look", "{}")
    hall.model.scripts = [calls(("look", {}), text="Wait."), says("Done.")]
    hall.customer("hi")
    hall.deliver()
    assert hall.heard() == [("begins",), (0, "Wait."), (1, "Done."), ("ends", False)]
    parts = [(e.text, e.part) for e in hall.log() if isinstance(e, Spoke | Answered)]
    assert parts == [("Wait.", 0), ("Done.", 1)]


def test_a_call_that_is_made_again_begins_its_message_anew(hall: Hall) -> None:
    hall.listen()
    hall.model.scripts = [(TextDelta("Goo"), overloaded()), says("Good day.")]
    hall.customer("hi")
    hall.deliver()
    assert hall.heard() == [("begins",), (0, "Goo"), (0, "Good day."), ("ends", False)]


def test_an_interrupted_turn_is_cut_and_says_in_the_log_which_message_it_was(hall: Hall) -> None:
    hall.listen()
    said = iter(["", "stop it", "", "", "", ""])

    def interrupt() -> None:
        if (text := next(said)) and not hall.model.asked[1:]:
            hall.customer(text)
            hall.look()

    hall.model.scripts = [(TextDelta("Once "), TextDelta("upon "), End("stop"))]
    hall.model.before = interrupt
    hall.customer("tell me a story")
    hall.deliver()
    told = hall.ears.speeches[0].told
    assert told[:2] == [("begins",), (0, "Once ")]
    assert {*told[2:]} == {("ends", True)}
    assert [(e.text, e.part) for e in of(PartlyAnswered, hall.log())] == [("Once ", 0)]


def test_a_host_that_was_taken_over_tells_nothing_more(hall: Hall) -> None:
    """It learns of that as it commits."""
    hall.listen()

    def take_over() -> None:
        head = hall.ports.log.tail(SESSION).head
        if head.state.open and len(hall.model.asked) == 1:
            hall.writer().append_once(head, TurnAbandoned(turn=head.state.open.id))

    hall.model.scripts = [(TextDelta("Late."), End("stop"))]
    hall.model.before = take_over
    hall.customer("hi")
    hall.deliver()
    assert [speech.told[-1] for speech in hall.ears.speeches] == [("ends", True), ("ends", False)]


def test_a_look_at_the_turns_own_end_does_not_cut_its_last_words(hall: Hall) -> None:
    hall.listen()
    append = hall.ports.log.append

    def look_then(*given: Any) -> Any:
        found = append(*given)
        if isinstance(given[2].events[-1], Answered):
            hall.look()
        return found

    hall.ports.log.append = look_then  # type: ignore[method-assign, assignment]
    hall.customer("hi")
    hall.deliver()
    assert {*hall.heard()[2:]} == {("ends", False)}


def test_who_comes_back_in_the_middle_of_a_message_misses_nothing_of_it(hall: Hall) -> None:
    hall.listen()
    chunks = iter(range(9))

    def pass_time() -> None:
        if (n := next(chunks)) == 1:
            hall.clock.sleep(LONGEST_CONNECTION)
        if n == 2:
            hall.listen()
            hall.look()

    hall.model.scripts = [(TextDelta("A"), TextDelta("B"), TextDelta("C"), End("stop"))]
    hall.model.before = pass_time
    hall.customer("hi")
    hall.deliver()
    assert "".join(str(text) for _, text in hall.heard()[1:-1]) == "ABC"


def test_a_turn_is_answered_though_nobody_can_be_told_of_it(hall: Hall) -> None:
    def fail(*_: object) -> Speech:
        raise ValueError("a wrong URL")

    hall.listen()
    hall.ears.speech = fail  # type: ignore[method-assign, assignment]
    hall.customer("hi")
    hall.deliver()
    assert hall.answers() == ["ok"]


def test_a_turn_that_fails_after_it_has_spoken_does_not_take_that_back(hall: Hall) -> None:
    hall.toolbox.add("look", "{}")
    hall.model.scripts = [calls(("look", {}), text="Wait."), (refused(),)]
    hall.customer("hi")
    hall.deliver()
    [failed] = of(TurnFailed, hall.log())
    assert (failed.text, failed.part) == ("", 1)


def test_a_deleted_session_is_still_known_to_have_been_listened_to(hall: Hall) -> None:
    hall.listen()
    head = hall.ports.log.tail(SESSION).head
    hall.writer().append_once(head, SessionDeleted())
    state = hall.ports.log.tail(SESSION).head.state
    assert (state.deleted, state.heard_until) == (True, head.state.heard_until)


# --- what its application sets -------------------------------------------------------------------


def test_settings_stand_for_the_agents_own_from_the_next_turn_on(hall: Hall) -> None:
    hall.change(
        steps={"main": AgentStep(instructions=(Instruction(name="own", template="Own."),))},
        parameters={"temperature": 1, "top_p": 0.5},
    )
    hall.set(Settings(instructions="Be brief.", temperature=0.25))
    hall.customer("hi")
    hall.deliver()
    asked = hall.model.asked[-1]
    assert asked.instructions == "Be brief."
    assert asked.parameters == {"temperature": 0.25, "top_p": 0.5}


def test_each_change_leaves_what_it_does_not_name(hall: Hall) -> None:
    hall.set(Settings(instructions="One.", turn_detection=TurnDetection(threshold=0.5)))
    changed = hall.set(Settings(turn_detection=TurnDetection(silence_duration_ms=800)))
    both = TurnDetection(threshold=0.5, silence_duration_ms=800)
    assert changed.settings == Settings(instructions="One.", turn_detection=both)
    assert hall.set(Settings(instructions="Two.")).settings == Settings(
        instructions="Two.", turn_detection=both
    )
    assert hall.ports.log.tail(SESSION).head.state.settings == 2


def test_a_turn_that_runs_keeps_the_settings_that_it_began_with(hall: Hall) -> None:
    hall.toolbox.add("look", "{}")
    hall.model.scripts = [calls(("look", {}))]
    hall.model.before = lambda: len(hall.model.asked) == 1 and hall.set(Settings(instructions="B"))
    hall.set(Settings(instructions="A"))
    hall.customer("hi")
    hall.deliver()
    assert [asked.instructions for asked in hall.model.asked] == ["A", "A"]
    hall.customer("again")
    hall.deliver()
    assert hall.model.asked[-1].instructions == "B"


def test_settings_are_found_however_long_ago_they_were_made(hall: Hall) -> None:
    hall.set(Settings(instructions="Old."))
    for n in range(40):
        hall.put(Input(policy="silent", texts=(f"fact {n} " + 60 * "x",)))
    hall.limit(window_bytes=500)
    hall.customer("hi")
    hall.deliver()
    assert hall.model.asked[-1].instructions == "Old."


def test_settings_that_stand_alone_cost_one_small_read(hall: Hall) -> None:
    hall.set(Settings(instructions="Old."))
    for n in range(40):
        hall.put(Input(policy="silent", texts=(f"fact {n} " + 60 * "x",)))
    hall.ports.log.read = lambda *_: pytest.fail("read page by page")  # type: ignore[method-assign]
    found = settings_at(hall.ports.log, SESSION, hall.session.incarnation, 0)
    assert found == Settings(instructions="Old.")


def test_the_same_key_changes_them_once(hall: Hall) -> None:
    key = IdempotencyKey("k", "body")
    first = hall.set(Settings(temperature=0.1), key)
    hall.set(Settings(temperature=0.2))
    again = hall.set(Settings(temperature=0.1), key)
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.offset, again.settings) == (first.offset, first.settings)
    assert len(of(SettingsChanged, hall.log())) == 2
    with pytest.raises(IdempotencyKeyReused):
        hall.set(Settings(temperature=0.9), IdempotencyKey("k", "other"))


def test_of_two_changes_at_once_neither_is_lost(hall: Hall) -> None:
    """Both have read the same tail."""
    tail = hall.ports.log.tail(SESSION)
    change_settings(hall.ports, hall.writer(), tail, Settings(temperature=0.5))
    changed = change_settings(hall.ports, hall.writer(), tail, Settings(instructions="Both."))
    assert changed.settings == Settings(temperature=0.5, instructions="Both.")


def test_a_deleted_session_has_no_settings_to_change(hall: Hall) -> None:
    hall.writer().append_once(hall.ports.log.tail(SESSION).head, SessionDeleted())
    with pytest.raises(SessionNotFound):
        hall.set(Settings(temperature=0.5))


# --- what the agent is told ----------------------------------------------------------------------


def test_context_that_asks_for_an_answer_gets_one_without_a_word_of_a_user(hall: Hall) -> None:
    hall.put(Input(policy="interrupt", source="system", texts=("The user has come.",)))
    hall.deliver()
    assert hall.model.asked[-1].items == (Said("system", "The user has come."),)
    assert hall.answers() == ["ok"]


def test_an_interrupting_message_takes_all_that_waited_with_it_in_one_answer(hall: Hall) -> None:
    said = iter(["", "now", *[""] * 9])

    def speak() -> None:
        if next(said):
            hall.put(Input(policy="coalesce", texts=("second",)))
            hall.put(Input(policy="silent", source="system", texts=("fact",)))
            hall.put(Input(policy="coalesce", texts=("third",)))
            hall.put(Input(policy="interrupt", texts=("fourth",)))
            hall.look()

    hall.model.scripts = [(TextDelta("Well, "), TextDelta("you see"), End("stop"))]
    hall.model.before = speak
    hall.put(Input(policy="interrupt", texts=("first",)))
    hall.deliver()
    assert len(hall.model.asked) == 2
    said_by = [(i.role, i.text) for i in hall.model.asked[1].items if isinstance(i, Said)]
    assert said_by[0] == ("user", "first")
    assert said_by[-4:] == [
        ("user", "second"), ("system", "fact"), ("user", "third"), ("user", "fourth"),
    ]  # fmt: skip
    assert len(hall.answers()) == 1


def test_what_waits_is_answered_together_once_the_turn_has_ended(hall: Hall) -> None:
    said = iter(["", "now", *[""] * 9])

    def speak() -> None:
        if next(said):
            hall.put(Input(policy="coalesce", texts=("second",)))
            hall.put(Input(policy="coalesce", texts=("third",)))

    hall.model.scripts = [(TextDelta("One."), End("stop"))]
    hall.model.before = speak
    hall.put(Input(policy="interrupt", texts=("first",)))
    hall.deliver()
    assert [len(e.inputs) for e in of(TurnBegan, hall.log())] == [1, 2]
    assert hall.answers() == ["One.", "ok"]


def test_silent_messages_never_keep_one_out_that_wants_an_answer(hall: Hall) -> None:
    def note(n: int) -> None:
        hall.put(Input(policy="silent", source="system", texts=(f"note {n}",)))

    for n in range(MAX_PENDING):
        note(n)
    with pytest.raises(TooManyPending, match="that wants an answer"):
        note(MAX_PENDING)
    hall.customer("And?")
    hall.deliver()
    assert hall.answers() == ["ok"]
    note(0)


def test_what_is_removed_waits_no_more(hall: Hall) -> None:
    for n in range(5):
        hall.put(Input(policy="silent", texts=(f"note {n}",)))
    remove_events(hall.ports, hall.found(), 0, "trace")
    assert hall.ports.log.tail(SESSION).head.state.pending == ()


def test_people_are_not_shown_what_the_agent_is_told(hall: Hall) -> None:
    change_mode(hall.ports, hall.session, "manual", "trace")
    told = hall.put(Input(policy="interrupt", source="system", texts=("The cart is full.",)))
    assert isinstance(told, Accepted)
    assert (told.silent, told.answered_by_people) == (True, False)
    hall.customer("Is anybody there?")
    hall.deliver()
    assert hall.model.asked == []
    assert [e.text for e in of(Posted, hall.log())] == ["Is anybody there?"]
    change_mode(hall.ports, hall.session, "auto", "trace")
    hall.customer("And now?")
    hall.deliver()
    assert Said("system", "The cart is full.") in hall.model.asked[-1].items
