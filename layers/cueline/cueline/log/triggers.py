"""Triggers: what makes the agent speak without a message to answer, and how a model is told."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Rationale = Literal["unspecified", "buy_time", "follow_up"]
"""Why the agent should speak.

buy_time     work is under way, and whoever waits should know
follow_up    nobody has spoken for a while, or something is to be gone on with
unspecified  the application wants it
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Guideline(_Frozen):
    """What a trigger wants said."""

    action: str
    rationale: Rationale = "unspecified"


class Trigger(_Frozen):
    """Has the agent speak; without guidelines it says what the conversation calls for."""

    guidelines: tuple[Guideline, ...] = ()
    follows: int | None = None
    """The offset of the answer that it follows up, where the customer has said nothing since."""
    scheduled: int | None = None
    """The offset of the event that asked for it at its time."""
    during: str = ""
    """The turn whose work it buys time for; once that is over it has nothing to say. Of an aside
    that came before its turn the state knows it."""

    def without_words(self) -> "Trigger":
        emptied = (g.model_copy(update={"action": ""}) for g in self.guidelines)
        return self.model_copy(update={"guidelines": tuple(emptied)})

    @property
    def kind(self) -> Literal["plain", "guided", "own"]:
        """What the application asks for, with guidelines or without; or the agent's own policy."""
        if self.during or self.follows is not None:
            return "own"
        return "guided" if self.guidelines else "plain"

    @property
    def buys_time(self) -> bool:
        reasons = [guideline.rationale for guideline in self.guidelines]
        return bool(self.during) or "buy_time" in reasons


class Participant(_Frozen):
    """Who says something, as the application names them."""

    id: str | None = None
    display_name: str


class FollowUp(_Frozen):
    """One rung of a ladder: what to say once the customer has been silent for so long."""

    after_seconds: int = Field(ge=1, le=366 * 86_400)
    """Since the agent spoke."""
    guidelines: tuple[Guideline, ...] = Field(default=(), max_length=20)


class BuyTime(_Frozen):
    """What to say while tools run for long."""

    after_seconds: float = Field(gt=0, le=240)
    """Since they began; each further time is twice as long after the one before."""
    times: int = Field(default=1, ge=1, le=5)
    """In one turn, at most."""
    guidelines: tuple[Guideline, ...] = Field(default=(), max_length=20)


SILENCE = "[[silence]]"
"""What a model answers to a trigger that it has nothing to say to."""
_REASONS = {
    "buy_time": "so that the user knows that you are still at work",
    "follow_up": "to follow up on the conversation",
    "unspecified": "",
}
_WORKING = (
    "Your work on the user's last message goes on meanwhile; do not answer that message, and "
    "promise nothing of its outcome."
)


def told(trigger: Trigger, *, beside: bool = False) -> str:
    """What the model reads in the place of a message, beside its work or when that is done."""
    lines = ["[The application, not the user: speak to the user now, without waiting for them."]
    if trigger.guidelines:
        lines.append("In what you say, follow these guidelines:")
    for guideline in trigger.guidelines:
        reason = _REASONS[guideline.rationale]
        lines.append(f"- {guideline.action}" + (f" ({reason})" if reason else ""))
    if beside:
        lines.append(_WORKING)
    lines.append("Do not mention this request.")
    lines.append(f"If there is nothing that should be said, answer {SILENCE} and nothing else.]")
    return "\n".join(lines)
