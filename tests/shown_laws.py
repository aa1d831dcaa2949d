"""The law of what a model is shown of a simulated session, told from its log anew."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from cueline.log.conversation import Said, conversation
from cueline.log.events import (
    Compacted,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsWithdrawn,
    Posted,
    Recorded,
)
from cueline.log.triggers import told
from tests.history import problems_of


def judge_what_is_shown(events: Sequence[Recorded], cut: int, ended: Callable[[int], int]) -> None:
    """`ended` gives the offset of the event that ended the input at an offset, if only later."""
    items = conversation(events[:cut])
    found = problems_of(items)
    assert not found, f"after {cut} events a provider refuses: {found[0]}"
    said = Counter(item.text for item in items if isinstance(item, Said))
    must, may = _inputs(events, cut, ended)
    for text, times in must.items():
        seen = said[text]
        assert times <= seen <= times + may[text], (
            f"after {cut} events {text!r} is said {seen} times"
        )
    for posted, times in _posted(events, cut):
        seen = sum(isinstance(item, Said) and posted.text in item.text for item in items)
        assert seen == times, f"after {cut} events {posted.text!r} is said {seen} times"


def _inputs(
    events: Sequence[Recorded], cut: int, ended: Callable[[int], int]
) -> tuple[Counter[str], Counter[str]]:
    """How often the model must see each text of an input that a turn has ended; and how often more
    it may see it, as others have not ended that say the same."""
    gone = _gone(events[:cut])
    must, may = Counter[str](), Counter[str]()
    for recorded in events[:cut]:
        event = recorded.event
        if not isinstance(event, Input) or not (event.texts or event.trigger):
            continue
        beside = event.policy == "aside"
        text = told(event.trigger, beside=beside) if event.trigger else event.texts[0]
        end = ended(recorded.offset)
        how = events[end].event if end < cut else None
        over = how and not isinstance(how, InputsFailed | InputsWithdrawn)
        # A trigger that nothing was said to is not told again, but for what was done about it.
        silent = event.trigger and (isinstance(how, Finished) or gone(end))
        if over and not silent:
            must[text] += not gone(recorded.offset)
        else:
            may[text] += 1
    return must, may


def _posted(events: Sequence[Recorded], cut: int) -> Iterator[tuple[Posted, int]]:
    gone = _gone(events[:cut])
    for recorded in events[:cut]:
        if isinstance(recorded.event, Posted) and recorded.event.kind == "message":
            yield recorded.event, not gone(recorded.offset)


def _gone(events: Sequence[Recorded]) -> Callable[[int], bool]:
    """Whether what stands at an offset is summed up or removed by the end of these events."""
    summaries = [r.event for r in events if isinstance(r.event, Compacted)]
    removed = [(r.event.first, r.offset) for r in events if isinstance(r.event, EventsRemoved)]

    def gone(offset: int) -> bool:
        summed_up = bool(summaries) and summaries[-1].covers(offset)
        return summed_up or any(first <= offset <= last for first, last in removed)

    return gone
