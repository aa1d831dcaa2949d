"""Conversations, as data: who says what, when, and how. They are played under every condition.

Steps of one person come one after the other, each when the one before has been answered; those of
several people go on beside each other. `after` is a pause before the step, in seconds. No text
occurs twice in a scenario but where somebody repeats himself.
"""

from dataclasses import dataclass
from typing import Literal

from cueline.log.events import Policy

Verdict = Literal["approve", "reject"]


@dataclass(frozen=True)
class Say:
    """A message to door 1, whose answer is waited for."""

    who: str
    text: str
    after: float = 0.0
    stream: bool = False
    key: str = ""
    """Idempotency key. `other` has no answer: a key is refused for another text."""
    queued: Literal["", "follow_up", "steer"] = ""
    """Waits where the session is busy, or speaks to the running turn; else it comes again later."""
    patience: float = 0.0
    """Seconds after which the caller asks to be told that it takes longer."""
    leaves: bool = False
    """Goes away when the first word comes."""


@dataclass(frozen=True)
class Send:
    """An input from a door at which nobody waits."""

    who: str
    text: str
    policy: Policy
    after: float = 0.0


@dataclass(frozen=True)
class Interrupt:
    who: str
    after: float = 0.0


@dataclass(frozen=True)
class Delete:
    """Deletes the session and makes it again under the same key."""

    who: str
    after: float = 0.0


@dataclass(frozen=True)
class Decide:
    """Decides on whatever call waits for approval, once one does."""

    who: str
    verdict: Verdict
    note: str
    after: float = 0.0
    patience: float = 15.0
    """Seconds for which one looks out for such a call."""


@dataclass(frozen=True)
class SumUp:
    """Asks for a compaction."""

    who: str
    message: str
    after: float = 0.0


Step = Say | Send | Interrupt | Delete | Decide | SumUp


@dataclass(frozen=True)
class Scenario:
    name: str
    steps: tuple[Step, ...]
    pace: float = 8.0
    """Milliseconds a token; an answer has some 25."""
    tools: bool = False
    """Its agent can `pay`, `note`, and `refund`, which needs approval."""


SCENARIOS = (
    Scenario(
        "a plain talk",
        (
            Say("ann", "Hello."),
            Say("ann", "What can you do?", stream=True),
            Say("ann", "What was my first message?"),
        ),
    ),
    Scenario(
        "two who know nothing of each other",
        (
            Say("ann", "I want to change my address."),
            Say("ann", "It is Main Street 7."),
            Say("ben", "Where is my parcel?", stream=True),
            Say("ben", "And when will it come?"),
        ),
    ),
    Scenario(
        "the same message from two windows",
        (
            Say("ann's phone", "Is anybody there?", key="window"),
            Say("ann's laptop", "Is anybody there?", key="window"),
            Say("ann's phone", "I am in both.", stream=True),
        ),
    ),
    Scenario(
        "one who presses the button again and again",
        (
            Say("ann", "Pay the bill.", key="bill-1"),
            Say("ann", "Pay the bill.", key="bill-1"),
            Say("ann", "Pay the bill.", key="bill-1", stream=True),
            Say("ann", "Pay the other bill.", key="bill-2"),
        ),
    ),
    Scenario(
        "a queue",
        (
            Say("ann", "Tell me everything about trains.", stream=True),
            Say("ben", "And about ships.", after=0.1, queued="follow_up"),
            Say("cem", "And planes!", after=0.1, queued="follow_up", stream=True),
            Say("dan", "What about bicycles?", after=0.2, queued="follow_up"),
            Say("ben", "Which is the slowest?", queued="follow_up"),
        ),
        pace=15,
    ),
    Scenario(
        "a word in between",
        (
            Say("ann", "Plan a journey to Rome."),
            Say("ben", "By train, please.", after=0.15, queued="steer"),
            Say("ann", "Thank you."),
        ),
        pace=15,
    ),
    Scenario(
        "somebody stops it",
        (
            Say("ann", "Read me the whole book.", stream=True),
            Interrupt("ben", after=0.6),
            Interrupt("ben"),
            Say("ann", "Only the first page, then."),
            Say("ben", "I am sorry.", queued="follow_up"),
        ),
        pace=50,
    ),
    Scenario(
        "a new beginning",
        (
            Say("ann", "Forget what I say."),
            Say("ann", "Nobody must know this."),
            Delete("ben", after=0.4),
            Say("ben", "Let us begin anew."),
        ),
    ),
    Scenario(
        "other doors",
        (
            Say("ann", "I am looking at the pricing page."),
            Send("page", "The visitor scrolls.", "silent"),
            Send("page", "The visitor opens the cart.", "coalesce", after=0.1),
            Send("page", "The visitor closes the cart.", "coalesce"),
            Send("desk", "A parcel has come.", "enqueue", after=0.2),
            Send("desk", "It is urgent!", "interrupt"),
            Say("ann", "What happened?", after=0.1),
        ),
    ),
    Scenario(
        "one who cannot wait",
        (
            Say("ann", "Think about it as long as you like.", patience=0.3),
            Say("ann", "Take your time.", leaves=True, stream=True),
            Say("ann", "Are you done?", after=0.2),
        ),
        pace=15,
    ),
    Scenario(
        "somebody pays",
        (
            Say("ann", 'Please pay "the rent".', key="rent"),
            Say("ann", 'Please pay "the rent".', key="rent"),
            Say("ann", 'Then note "rent paid", and pay it too.', stream=True),
            Say("ben", 'Pay "the gas".', after=0.1, queued="steer"),
            Say("ben", 'Pay "the water", then note "that was all".', queued="follow_up"),
        ),
        tools=True,
    ),
    Scenario(
        "somebody must allow it",
        (
            Say("ann", 'I want a refund for "the shoes".'),
            Say("ann", "Is it done?", queued="follow_up"),
            Decide("the boss", "approve", "Be generous."),
            Decide("the clerk", "reject", "Never.", after=0.2),
            Say("ann", 'And a refund for "the socks", and note "thanks".', queued="follow_up"),
            Decide("the boss", "approve", "So be it."),
        ),
        tools=True,
    ),
    Scenario(
        "somebody stops who pays",
        (
            Say("ann", 'Please pay "the ransom".', stream=True),
            Interrupt("ben", after=0.7),
            Say("ann", 'I want a refund for "the ransom", and note "a mistake".', stream=True),
            Decide("the boss", "reject", "Gone is gone."),
            Interrupt("ben", after=1.0),
        ),
        pace=30,
        tools=True,
    ),
    Scenario(
        "a long story made short",
        (
            Say("ann", "Once there was a mouse."),
            Say("ann", 'It wanted to pay "the cat".'),
            Say("ann", "So it did."),
            Say("ann", "They lived happily ever after."),
            SumUp("ben", "With the moral, please.", after=0.8),
            Say("cem", "What happened?", after=0.9, queued="follow_up"),
            SumUp("ann", "And once more."),
            Say("ann", "What was my first message?"),
        ),
        tools=True,
    ),
    Scenario(
        "an answer longer than two leases",
        (Say("ann", "Explain the universe.", stream=True),),
        pace=100,
    ),
)
