"""What was said in a request, apart from what turns put between: summaries, skills, steps."""

import re

from local.practice.heard import Heard, Message, Output
from local.practice.summaries import Summary, summary_given

_SKILL = re.compile(r"(?:^|\n\n)Skill (?P<name>[^\n]{1,200}):\n\n")
_STEP = re.compile(r"(?:^|\n\n)\[Step `[^`]*` is done\. Go on with step `(?P<name>[^`]*)`\.\]$")
_TRIGGER = re.compile(
    r"(?:^|\n\n)\[The application, not the user: speak to the user now\b.*?and nothing else\.\]",
    re.DOTALL,
)
_ACTION = re.compile(r"^- (?P<action>.+?)(?: \([^()]*\))?$", re.MULTILINE)
_PERSON = re.compile(r"(?:^|\n\n)\[[^\n]{1,200}, who works beside you, says to the user:\]\n[^\n]*")
_REJECTED = re.compile(r"A person has rejected this call; it was not run\.\s*")


def said(heard: Heard, role: str) -> list[str]:
    return [item.text for item in heard.items if isinstance(item, Message) and item.role == role]


def own_words(heard: Heard) -> list[str]:
    """What users said themselves."""
    return [own for text in said(heard, "user") if (own := _own(text))]


def _own(text: str) -> str:
    if given := summary_given(text):
        text = given[1]
    for beside in (_TRIGGER, _PERSON):
        text = beside.sub("", text)
    for between in (_SKILL, _STEP):
        if found := between.search(text):
            text = text[: found.start()]
    return text.strip()


def asked(heard: Heard) -> str:
    words = own_words(heard)
    return words[-1] if words else ""


def summary(heard: Heard) -> Summary | None:
    return next((found[0] for text in said(heard, "user") if (found := summary_given(text))), None)


def skills(heard: Heard) -> list[str]:
    """Loaded, by name."""
    return [found["name"] for text in said(heard, "user") for found in _SKILL.finditer(text)]


def step(heard: Heard) -> str:
    """The one that this answer is to go on in; empty where it begins."""
    last = heard.items[-1] if heard.items else None
    found = _STEP.search(last.text) if isinstance(last, Message) else None
    return found["name"] if found else ""


def triggered(heard: Heard) -> list[str] | None:
    """What it is to say without being asked by its user; None where it was asked."""
    last = next((i for i in reversed(heard.items) if isinstance(i, Message)), None)
    found = _TRIGGER.search(last.text) if last else None
    if not (last and found) or _own(last.text):
        return None
    return [action["action"] for action in _ACTION.finditer(found[0])]


def outputs(heard: Heard) -> list[Output]:
    """Of tools, that nothing has been said after."""
    found: list[Output] = []
    for item in reversed(heard.items):
        if isinstance(item, Message):
            break
        if isinstance(item, Output):
            found.insert(0, item)
    return found


def rejection(output: Output) -> str | None:
    """What a person said who did not allow the call; None where nobody did that."""
    found = _REJECTED.match(output.text)
    return output.text[found.end() :] if found else None


def quoted(text: str, longest: int = 200) -> str:
    text = " ".join(text.split())
    return f"“{text if len(text) <= longest else text[: longest - 1] + '…'}”"
