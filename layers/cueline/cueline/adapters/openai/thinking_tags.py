"""Thinking that open models write into their text, between `<think>` tags at its very start."""

from collections.abc import Iterator
from typing import Literal

from cueline.engine.model import TextDelta, ThinkingDelta

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkingTags:
    """Tells thinking from text, also where a tag is split over deltas."""

    def __init__(self) -> None:
        self._state: Literal["start", "thinking", "gap", "text"] = "start"
        self._held = ""

    def are_text(self) -> None:
        """The thinking came in a field of its own, so what looks like a tag is none."""
        if self._state == "start" and not self._held:
            self._state = "text"

    def add(self, text: str) -> Iterator[ThinkingDelta | TextDelta]:
        if self._state == "text":
            yield TextDelta(text)
            return
        held, self._held = self._held + text, ""
        if self._state == "start":
            begun = held.lstrip()
            if len(begun) < len(_OPEN) and _OPEN.startswith(begun):
                self._held = held
                return
            if not begun.startswith(_OPEN):
                self._state = "text"
                yield TextDelta(held)
                return
            self._state, held = "thinking", begun[len(_OPEN) :]
        if self._state == "thinking":
            thought, closed, held = held.partition(_CLOSE)
            if not closed:
                keep = _tail(thought)
                thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
            if thought:
                yield ThinkingDelta(thought)
            if not closed:
                return
            self._state = "gap"
        # Models put empty lines between their thinking and their answer.
        if said := held.lstrip():
            self._state = "text"
            yield TextDelta(said)

    def rest(self) -> Iterator[ThinkingDelta | TextDelta]:
        """What was held back for a tag that never came."""
        if self._held:
            made = ThinkingDelta if self._state == "thinking" else TextDelta
            yield made(self._held)
            self._held = ""


def _tail(text: str) -> int:
    """How many characters at the end may be the beginning of the closing tag."""
    for size in range(min(len(text), len(_CLOSE) - 1), 0, -1):
        if _CLOSE.startswith(text[-size:]):
            return size
    return 0
