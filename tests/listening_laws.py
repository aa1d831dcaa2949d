"""The laws of a session that clients listen to and steer, judged by its stored log, by what they
were told, and by what the model was asked."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cueline.engine.wake import EARLY_MS
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Finished,
    Listening,
    PartlyAnswered,
    Recorded,
    SettingsChanged,
    Spoke,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.fold import fold
from cueline.log.settings import Settings
from cueline.log.state import State, Waiting, due, offsets
from tests.hearing import Hearer, judge_what_is_heard, judge_what_was_heard
from tests.simulated_speech import Spoken

ENDS = (
    *(Answered, Finished, TurnFailed, TurnInterrupted),
    *(TurnAbandoned, TurnHandedOver, TurnPostponed, TurnSuspended),
)
SAID = Spoke | Answered | PartlyAnswered | TurnFailed


@dataclass(frozen=True)
class Asked:
    """What of a request the application can set."""

    instructions: str
    parameters: Mapping[str, Any]


def judge_listeners(
    events: Sequence[Recorded],
    hearers: Iterable[tuple[Hearer, bool]],
    asked: Mapping[str, Sequence[Asked]],
    wanted: Collection[Mapping[str, Any]],
    spoken: Sequence[Spoken],
) -> None:
    """Of one incarnation at rest. Of each hearer it is known whether it is there."""
    state = State()
    for recorded in events:
        if isinstance(recorded.event, TurnBegan):
            _begins(state, recorded.event, recorded.created_at + EARLY_MS)
        state = fold(state, recorded.offset, recorded.event)
    if not state.deleted:
        _ends(events)
    _settings(events, asked, wanted)
    _spoken(events, spoken)
    for hearer, here in hearers:
        if here and not state.deleted:
            judge_what_is_heard(hearer, events)
        else:
            judge_what_was_heard(hearer, events)


def _begins(before: State, began: TurnBegan, now: int) -> None:
    """Who interrupts takes all that is ready along, in order; and who waits with others, those."""
    waiting = due(before, now)
    if any(map(before.suspect, waiting)):
        return  # it is tried alone
    interrupting = [n for n, one in enumerate(waiting) if one.policy == "interrupt"]
    if interrupting:
        along = offsets(waiting[: interrupting[-1] + 1])
        assert began.inputs[: len(along)] == along, "an interrupt takes all that waits along"
    left = [one for one in waiting if one.offset not in began.inputs]
    last = [one for one in waiting if one.offset in began.inputs and one.asks][-1]
    if last.policy in ("interrupt", "coalesce"):
        assert not (left and _joins(left[0])), "all that wait get one answer"


def _joins(waiting: Waiting) -> bool:
    return waiting.policy in ("coalesce", "silent")


def _ends(events: Sequence[Recorded]) -> None:
    begun = {r.event.turn for r in events if isinstance(r.event, TurnBegan | AsideBegan)}
    ended = Counter(r.event.turn for r in events if isinstance(r.event, ENDS))
    assert begun == ended.keys(), "every response that began ends"
    assert all(count == 1 for count in ended.values()), "once"
    answered = Counter(
        offset for r in events if isinstance(r.event, Answered) for offset in r.event.inputs
    )
    assert all(count == 1 for count in answered.values()), "an input has one answer at most"


def _settings(
    events: Sequence[Recorded],
    asked: Mapping[str, Sequence[Asked]],
    wanted: Collection[Mapping[str, Any]],
) -> None:
    now = Settings()
    for recorded in events:
        match recorded.event:
            case SettingsChanged(settings=new):
                known = now.model_dump(exclude_none=True)
                merged = [Settings.model_validate(_with(known, change)) for change in wanted]
                assert new in merged, "what was not set stays as it is"
                now = new
            case TurnBegan(turn=turn) | AsideBegan(turn=turn):
                for one in asked.get(turn, ()):
                    _asked_with(one, now)


def _with(known: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    nested = {k: _with(known.get(k, {}), v) for k, v in change.items() if isinstance(v, dict)}
    return {**known, **change, **nested}


def _asked_with(asked: Asked, settings: Settings) -> None:
    said = [line for line in asked.instructions.split("\n\n") if line.startswith("instructions ")]
    wanted = [settings.instructions] if settings.instructions else []
    assert said == wanted, "a turn has the instructions of its begin"
    assert asked.parameters.get("temperature") == settings.temperature, "and the temperature"


def _spoken(events: Sequence[Recorded], spoken: Sequence[Spoken]) -> None:
    """Who hears a turn while it speaks hears what is stored of it then."""
    heard = any(isinstance(r.event, Listening) for r in events)
    assert heard or not spoken, "nothing is told where nobody listens"
    stored: dict[tuple[str, int], Event] = {}
    for recorded in events:
        if isinstance(recorded.event, SAID) and recorded.event.text:
            place = recorded.event.turn, recorded.event.part
            assert place not in stored, "each thing that is said has a place of its own"
            stored[place] = recorded.event
    for one in spoken:
        assert one.begun, "whoever is told of a turn"
        assert one.ended, "is told its end"
        for part, text in one.texts.items():
            found = stored.get((one.turn, part))
            if isinstance(found, Spoke | Answered):
                assert found.text == text, "what is heard is what is stored"
            elif isinstance(found, PartlyAnswered | TurnFailed):
                assert found.text.startswith(text), "or how far that had come"
