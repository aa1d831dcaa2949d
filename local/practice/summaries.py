"""Summaries of a conversation: made when somebody asks for one, and read when they come back."""

import re
from dataclasses import dataclass

from local.practice.heard import Heard, Message

_ASKED = "Summarize the conversation"
_GIVEN = "Summary of the conversation so far"
_SAID = re.compile(
    r"Practice summary of (?P<count>\d+) user messages?\. "
    r"The first was “(?P<first>.*?)”\. The last was “(?P<last>.*?)”\."
    r"(?: I was also told “.*?”\.)?",
    re.DOTALL,
)
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """How many messages of the user it stands for, the first and the last of them."""

    count: int
    first: str = ""
    last: str = ""


def summary_asked(heard: Heard) -> bool:
    return heard.instructions.startswith(_ASKED)


def summary_given(text: str) -> tuple[Summary, str] | None:
    """From a message that begins with a summary of what came before: that, and what follows it.

    Chat Completions has what one side says in a row as one message.
    """
    if not text.startswith(_GIVEN):
        return None
    if not (found := _SAID.search(text)):
        return Summary(0), ""
    return Summary(int(found["count"]), found["first"], found["last"]), text[found.end() :]


def summarised(heard: Heard) -> str:
    """Always the same for the same conversation, which comes as one message: `User: ...`."""
    texts = [item.text for item in heard.items if isinstance(item, Message)]
    parts = re.split(r"(?:^|\n\n)(?=(?:User|Assistant|System|Tool call|Tool output): )", texts[-1])
    users = [part.removeprefix("User: ") for part in parts if part.startswith("User: ")]
    before = next((found[0] for user in users if (found := summary_given(user))), Summary(0))
    said = [_short(user) for user in users if not summary_given(user)]
    count = before.count + len(said)
    first = before.first or (said[0] if said else "")
    last = said[-1] if said else before.last
    _, _, more = heard.instructions.partition("\n\n")
    return (
        f"Practice summary of {count} user message{'' if count == 1 else 's'}. "
        f"The first was “{first}”. The last was “{last}”."
    ) + (f" I was also told “{_short(more)}”." if more else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
