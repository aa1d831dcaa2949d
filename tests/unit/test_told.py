"""Which events of a log are told over a WebSocket, and in which frames."""

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from cueline.doors.client_commands.told import View, told
from cueline.log.events import (
    Acknowledged,
    Answered,
    AsideBegan,
    Compacted,
    CompactionAsked,
    Decision,
    Event,
    EventMarked,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    Listening,
    Mark,
    ModeChanged,
    ModelCalled,
    PartlyAnswered,
    Posted,
    Recorded,
    SessionDeleted,
    SettingsChanged,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TriggerScheduled,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnReady,
    TurnSuspended,
    TurnTyping,
    erased,
    event_id,
)
from cueline.log.settings import Settings
from cueline.log.triggers import Guideline, Trigger

SESSION, INCARNATION, AT = "a.s", 5, 1_750_000_000_123
FAILED: dict[str, Any] = {"code": "model_error", "message": "No.", "retryable": True}
ASKED = Trigger(guidelines=(Guideline(action="Say hello"),))

# What makes a frame, in its smallest form.
TOLD: list[Event] = [
    Input(texts=("hi",)),
    Posted(text="hi"),
    Spoke(turn="t", text="Wait"),
    Answered(turn="t", inputs=(0,), text="Yes"),
    PartlyAnswered(turn="t", text="Ye"),
    TurnFailed(turn="t", inputs=(0,), **FAILED),
    TurnInterrupted(turn="t", inputs=(0,)),
    TurnAbandoned(turn="t"),
    TurnHandedOver(turn="t"),
    TurnPostponed(turn="t", until=1, code="model_unavailable", message="Away."),
    TurnSuspended(turn="t", inputs=(0,), calls=("c",)),
    Finished(turn="t", inputs=(0,)),
    InputsFailed(inputs=(0,)),
    EventMarked(offset=0, mark="hidden"),
    ModeChanged(mode="manual"),
    EventsRemoved(first=0),
    SettingsChanged(settings=Settings(temperature=0.5)),
]
BY_BROADCAST: list[Event] = [
    Listening(connection="a.s.r", until=1),
    SessionDeleted(),
]
"""They are not shown but done: see there."""
# What nobody is shown, though it may say something.
NOT_TOLD: list[Event] = [
    Acknowledged(input=0),
    TurnBegan(turn="t", inputs=(0,)),
    AsideBegan(turn="t", inputs=(0,)),
    TurnTyping(turn="t"),
    InputsTaken(turn="t", inputs=(0,)),
    Thinking(turn="t", text="Hm"),
    ModelCalled(turn="t"),
    ToolInput(turn="t", call="c", tool="look", arguments="{}"),
    ToolOutput(turn="t", call="c", tool="look", output="seen"),
    SkillLoaded(turn="t", skill="s", content="how"),
    StepChanged(turn="t", from_step="a", to_step="b"),
    Compacted(turn="t", up_to=3, summary="all"),
    TurnReady(turn="t"),
    InputsOverran(inputs=(0,)),
    InputsWithdrawn(inputs=(0,)),
    TriggerScheduled(due=1, trigger=ASKED),
]


def in_place(event: Event, offset: int = 4, mark: Mark | None = None) -> Recorded:
    return Recorded(offset, AT, "trace", erased(event) if mark == "erased" else event, mark)


def found(event: Event | None) -> Callable[[int], Recorded | None]:
    return lambda offset: in_place(event, offset) if event else None


def shown(
    event: Event,
    *,
    mark: Mark | None = None,
    removed: bool = False,
    marked: Event | None = TOLD[0],
    trusted: bool = True,
) -> list[Any]:
    view = View(SESSION, INCARNATION, found(marked), trusted)
    return [json.loads(one) for one in told(view, in_place(event, mark=mark), removed=removed)]


def message(event: Event, *, trusted: bool = True) -> dict[str, Any]:
    """The one that the event is told as."""
    frames = shown(event, trusted=trusted)
    [frame] = [one for one in frames if one["event"] == "message_received"]
    given: dict[str, Any] = frame["data"]["message"]
    assert given.pop("type") == "message"
    assert given.pop("timestamp") == "2025-06-15T15:06:40.123Z"
    assert given.pop("offset") == 4
    return given


def own_id(offset: int) -> str:
    return event_id(SESSION, INCARNATION, offset)


def names(frames: list[Any]) -> list[str]:
    return [frame["event"] for frame in frames]


# --- all types -----------------------------------------------------------------------------------


def test_of_every_type_of_event_it_is_known_whether_it_is_told() -> None:
    """A new type has to be put into one of these lists: nothing is shown by accident."""
    kinds = [type(event) for event in (*TOLD, *BY_BROADCAST, *NOT_TOLD)]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == set(get_args(get_args(Event)[0]))


@pytest.mark.parametrize("event", TOLD, ids=lambda event: event.type)
def test_what_is_told_carries_its_offset(event: Event) -> None:
    frames = shown(event)
    assert frames
    for frame in frames:
        assert frame["data"].get("message", frame["data"])["offset"] == 4


@pytest.mark.parametrize("event", TOLD, ids=lambda event: event.type)
def test_every_message_names_itself_or_its_response(event: Event) -> None:
    """By that a client keeps it apart from the others."""
    messages = [one["data"]["message"] for one in shown(event) if "message" in one["data"]]
    assert all(one.get("item_id") or one.get("response_id") for one in messages)


@pytest.mark.parametrize("event", [*NOT_TOLD, *BY_BROADCAST], ids=lambda event: event.type)
def test_what_is_not_told_makes_no_frame(event: Event) -> None:
    assert shown(event) == []


@pytest.mark.parametrize(
    "event",
    [
        Input(source="system", texts=("The user is rich.",)),
        Input(trigger=ASKED, source="system"),
        Input(policy="decision", call="c", decision=Decision(verdict="approve"), texts=("ok",)),
        Input(compact=CompactionAsked()),
        Input(skills=("maths",)),
        Posted(kind="status", source="person"),
        Posted(kind="custom", data={"a": 1}),
        Spoke(turn="t", text=""),
    ],
    ids=["system", "trigger", "decision", "compaction", "skills", "status", "custom", "nothing"],
)
def test_what_no_user_says_and_nobody_answers_is_not_told(event: Event) -> None:
    assert shown(event) == []


# --- what people say -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["interrupt", "coalesce", "silent"])
def test_a_users_message_is_told_whatever_it_does(policy: Any) -> None:
    assert message(Input(policy=policy, texts=("Good", "morning"))) == {
        "role": "user",
        "action": "completed",
        "item_id": own_id(4),
        "content": "Good\n\nmorning",
    }


def test_a_message_to_people_is_the_users_too() -> None:
    said = message(Posted(text="Is anybody there?"))
    assert (said["role"], said["action"], said["item_id"]) == ("user", "completed", own_id(4))


@pytest.mark.parametrize("author", ["person", "on_behalf"])
def test_a_person_answers_in_the_assistants_place(author: str) -> None:
    assert message(Posted(source=author, text="I am.")) == {
        "role": "assistant",
        "action": "completed",
        "author": author,
        "response_id": own_id(4),
        "item_id": own_id(4),
        "content": "I am.",
    }


# --- what the agent says -------------------------------------------------------------------------


def test_each_part_of_an_answer_is_an_item_and_the_last_one_ends_it() -> None:
    first = message(Spoke(turn="t", text="Wait", part=0))
    last = message(Answered(turn="t", inputs=(0,), text="Yes", part=1))
    common = {"role": "assistant", "response_id": "t", "action": "completed"}
    assert first == {**common, "item_id": "t-0", "final": False, "content": "Wait"}
    assert last == {**common, "item_id": "t-1", "final": True, "content": "Yes"}
    assert message(Answered(turn="t", inputs=(0,), text="Ye", cut=True))["cut"] is True


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (TurnInterrupted(turn="t", inputs=(0,)), "interrupted"),
        (TurnAbandoned(turn="t"), "taken_over"),
        (TurnHandedOver(turn="t"), "taken_over"),
        (TurnPostponed(turn="t", until=1, code="c", message="m"), "postponed"),
        (TurnSuspended(turn="t", inputs=(0,), calls=("c",)), "suspended"),
        (Finished(turn="t", inputs=(0,)), "silent"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.type,
)
def test_an_answer_that_comes_to_nothing_is_cancelled(event: Event, reason: str) -> None:
    assert message(event) == {
        "role": "assistant",
        "response_id": "t",
        "action": "cancelled",
        "reason": reason,
    }


def test_what_an_interrupted_turn_had_said_is_told_afterwards() -> None:
    partly = PartlyAnswered(turn="t", text="Ye", part=2)
    assert message(partly) == {
        "role": "assistant",
        "response_id": "t",
        "item_id": "t-2",
        "action": "cancelled",
        "reason": "interrupted",
        "content": "Ye",
    }
    assert names(shown(partly)) == ["message_received"]  # the turn had ended before


def test_a_failure_says_why_and_what_had_been_said() -> None:
    assert message(TurnFailed(turn="t", inputs=(0,), text="Ye", part=1, **FAILED)) == {
        "role": "assistant",
        "response_id": "t",
        "item_id": "t-1",
        "action": "failed",
        "error": FAILED,
        "content": "Ye",
    }


def test_a_failure_before_anything_was_said_is_that_of_the_whole_answer() -> None:
    """What it had said in messages before stands."""
    assert message(TurnFailed(turn="t", inputs=(0,), **FAILED)) == {
        "role": "assistant",
        "response_id": "t",
        "action": "failed",
        "error": FAILED,
    }


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        (
            TurnFailed(turn="t", inputs=(0,), code="c", message="Who is it?", retryable=True),
            "The agent could not answer. Please try again.",
        ),
        (
            TurnFailed(turn="t", inputs=(0,), code="c", message="Who is it?", retryable=False),
            "The agent cannot answer this.",
        ),
        (
            InputsFailed(inputs=(0,), code="customer_not_found", message="Who is it?"),
            "The agent cannot answer this.",
        ),
    ],
)
def test_strangers_are_not_told_how_a_provider_says_that_it_failed(
    failed: TurnFailed | InputsFailed, expected: str
) -> None:
    told = message(failed, trusted=False)["error"]
    assert told["message"] == expected
    assert told["code"] == failed.code
    assert message(failed)["error"]["message"] == "Who is it?"


def test_inputs_that_no_turn_answers_fail_by_themselves() -> None:
    failed = message(InputsFailed(inputs=(1, 3), code="not_worked_off", message="No."))
    assert failed == {
        "role": "assistant",
        "response_id": own_id(4),
        "item_id": own_id(4),
        "action": "failed",
        "error": {"code": "not_worked_off", "message": "No.", "retryable": True},
        "inputs": [own_id(1), own_id(3)],
        "content": "",
    }
    error = message(InputsFailed(inputs=(1,), code="customer_not_found"))["error"]
    assert not error["retryable"]


SAID = (Spoke, PartlyAnswered)
ENDS = [event for event in TOLD if getattr(event, "turn", "") and not isinstance(event, SAID)]


@pytest.mark.parametrize("event", ENDS, ids=lambda event: event.type)
def test_whatever_ends_a_turn_ends_its_talking_and_says_that_more_follows(event: Event) -> None:
    """So that nobody takes the event for known who has heard but a part of it."""
    frames = shown(event)
    assert names(frames) == ["talk_state_changed", "message_received"]
    ended = {"state": "ended", "response_id": "t", "offset": 4, "more": True}
    assert frames[0]["data"] == ended
    assert "more" not in frames[1]["data"]["message"]


def test_only_with_the_last_frame_of_an_event_there_is_no_more() -> None:
    frames = shown(Answered(turn="t", inputs=(0,), text="long" * 20_000))
    more = [one["data"].get("message", one["data"])["more"] for one in frames]
    assert more == [True, True, True, False]


# --- what is done --------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["hidden", "shown", "erased"])
def test_a_mark_is_told_under_the_name_of_its_message(mark: Any) -> None:
    marked = EventMarked(offset=2, mark=mark)
    [frame] = shown(marked, marked=Input(texts=("hi",)))
    expected = {"item_id": own_id(2), "mark": mark, "offset": 4}
    assert frame == {"event": "message_marked", "data": expected}
    for event in (Spoke(turn="t", text="", part=3), PartlyAnswered(turn="t", text="", part=3)):
        assert shown(marked, marked=event)[0]["data"]["item_id"] == "t-3"


@pytest.mark.parametrize("event", [None, Thinking(turn="t", text=""), Input(source="system")])
def test_a_mark_on_what_was_not_told_is_not_told(event: Event | None) -> None:
    assert shown(EventMarked(offset=2, mark="hidden"), marked=event) == []


def test_settings_are_told_whole_to_who_may_set_them() -> None:
    changed = SettingsChanged(settings=Settings(instructions="Be kind.", temperature=0.5))
    [frame] = shown(changed)
    both = {"instructions": "Be kind.", "temperature": 0.5}
    assert frame["data"] == {"settings": both, "version": 4, "offset": 4}
    [frame] = shown(changed, trusted=False)
    assert frame["data"]["settings"] == {"temperature": 0.5}


def test_a_change_of_mode_and_a_removal_are_told() -> None:
    [mode] = shown(ModeChanged(mode="auto"))
    [removal] = shown(EventsRemoved(first=2))
    assert mode == {"event": "mode_changed", "data": {"mode": "auto", "offset": 4}}
    assert removal == {"event": "events_removed", "data": {"first": 2, "offset": 4}}


# --- what is taken back --------------------------------------------------------------------------

STANDS = (EventMarked, EventsRemoved, ModeChanged, SettingsChanged)


@pytest.mark.parametrize("how", [{"removed": True}, {"mark": "hidden"}, {"mark": "erased"}])
@pytest.mark.parametrize("event", TOLD, ids=lambda event: event.type)
def test_of_what_is_taken_back_only_the_end_of_its_turn_is_told(event: Event, how: Any) -> None:
    frames = shown(event, **how)
    if isinstance(event, STANDS):
        assert frames == shown(event)
    elif event in ENDS:
        assert names(frames) == ["talk_state_changed"]
        assert "more" not in frames[0]["data"]
    else:
        assert frames == []
