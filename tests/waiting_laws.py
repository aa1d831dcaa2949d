"""The laws of what waits: who is taken when, who stands aside, and who is tried again."""

from collections import Counter
from collections.abc import Sequence

from cueline.log.events import InputsFailed
from cueline.log.state import State, Waiting, due, offsets


def judge_begin(before: State, inputs: Sequence[int], now: int, seen: Counter[str]) -> None:
    """A turn begins with these at `now`."""
    ready = due(before, now)
    assert set(inputs) <= {*offsets(ready)}, "only waiting inputs are taken, and what is ready"
    asking = [i.offset for i in ready if i.asks]
    taken = [o for o in asking if o in inputs]
    assert taken, "a silent input asks for nothing"
    assert taken == asking[: len(taken)], "turns take in the order of acceptance"
    if not any(map(before.suspect, ready)):
        left = [i for i in ready if i.offset not in inputs]
        assert all(i.offset > taken[-1] for i in left), "silent ones are absorbed"
        assert not any(i.policy == "interrupt" for i in left), "all that interrupted"
    aside = {*before.pending} - {*ready}
    seen["passed"] += any(i.offset < taken[-1] for i in aside)
    seen["gathered"] += _gathered(ready, now)


def _gathered(ready: Sequence[Waiting], now: int) -> bool:
    """Whether something comes before its time."""
    early = [place for place, waiting in enumerate(ready) if waiting.held(now)]
    for place in early:
        assert ready[place].policy == "coalesce", "nothing comes before its time"
        first = [i for i in ready[:place] if i.policy == "coalesce" and not i.held(now)]
        assert first, "but what coalesces with what has come"
    return bool(early)


def judge_failed(before: State, failed: InputsFailed, seen: Counter[str]) -> None:
    """Their turn is tried again, without them."""
    if failed.retryable:
        spent = [i for i in before.pending if i.offset in failed.inputs]
        assert all(i.asks and i.failed >= i.tries for i in spent), "who has a try left has it"
        seen["spent"] += 1


def judge_rest(after: State) -> None:
    """Behind each segment."""
    tried = (i for i in after.pending if i.asks)
    assert all(i.failed < i.tries for i in tried), "who has no try left ends"
