"""An agent's guidelines, as its model is told of them, and what the model says beside its answer:
which of them it followed, or that there is nothing to say.

Both stand in the answer itself, so that they take no call of their own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cueline.engine.agent import Agent, Guideline

_INTRODUCTION = (
    "Guidelines. Whenever the condition of one holds, do what it says; where it does not, leave "
    "it alone:"
)
_REPORT = (
    "Where you followed any, end your answer with a line of its own that names them by number, "
    "such as [[guidelines: 1, 3]]. It is taken out before anybody reads the answer."
)
_SPACE = r"(?<!\s)\s*"
"""All that there is: who looks from each of its characters on finds nothing more."""
_MARKER = re.compile(
    _SPACE + r"\[\[\s*(?:(silence)\s*|guidelines?\s*:([\d\s,]*))\]\]", re.IGNORECASE
)
_MAYBE = re.compile(_SPACE + r"(\[(\[[^\[\]]{0,200}\]?)?)?\Z")
"""What may become a marker once more is said."""


def listed(agent: Agent) -> Sequence[Guideline]:
    """Those that count, in the order of their numbers, which begin at 1."""
    return sorted((g for g in agent.guidelines if g.enabled), key=lambda g: -g.priority)


def instruction(agent: Agent, *, reports: bool = True) -> str:
    """Empty where the agent has none. In a form there is no room for a report."""
    lines = [f"{n}. {_line(guideline)}" for n, guideline in enumerate(listed(agent), 1)]
    return "\n".join([_INTRODUCTION, *lines, *([_REPORT] if reports else [])]) if lines else ""


def _line(guideline: Guideline) -> str:
    parts = [f"When {guideline.condition}: {guideline.action or 'take note of it'}"]
    if guideline.criticality == "high":
        parts.append(" (this one matters most)")
    if guideline.description:
        parts.append(f" [{guideline.description}]")
    return "".join(parts)


@dataclass(slots=True)
class Markers:
    """Takes them out of an answer while it is being said, and keeps what they tell."""

    silent: bool = False
    followed: tuple[int, ...] = ()
    """Numbers of guidelines."""
    _held: list[str] = field(default_factory=list)
    _began: bool = False

    def feed(self, text: str) -> str:
        """What can be told of it by now; what may be part of a marker is held back."""
        self._held.append(text)
        if not text.strip():
            return ""  # a marker may follow that takes it along, or the answer's end
        told = self._without("".join(self._held))
        told = told if self._began else told.lstrip()
        held = found[0] if (found := _MAYBE.search(told)) else ""
        self._held = [held]
        told = told[: len(told) - len(held)]
        self._began = self._began or bool(told)
        return told

    def rest(self) -> str:
        """What was held back and is no marker, without the space at the answer's ends."""
        left = "".join(self._held).rstrip()
        self._held.clear()
        return left

    def ids(self, agent: Agent) -> tuple[str, ...]:
        """Of the guidelines that were followed; a model may name some that there are not."""
        numbered = dict(enumerate(listed(agent), 1))
        return tuple(numbered[n].id for n in dict.fromkeys(self.followed) if n in numbered)

    def _without(self, text: str) -> str:
        def noted(found: re.Match[str]) -> str:
            self.silent = self.silent or bool(found[1])
            self.followed += tuple(map(int, re.findall(r"\d{1,4}", found[2] or "")))
            return ""

        return _MARKER.sub(noted, text)
