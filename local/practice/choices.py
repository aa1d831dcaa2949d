"""Which tools the practice model calls: by the words of whoever asks, one after another if so."""

import re
import uuid
from collections.abc import Sequence

from local.practice.arguments import arguments_for
from local.practice.heard import Call, Heard, Message, Output, Tool
from local.practice.talk import asked, outputs, rejection

_COMMON_WORDS = (
    "a an and any are as at be by can do for from get give has have how if in is it its list make "
    "me my new not of on or our please set show that the them then there this to tool up use user "
    "was what when where which who will with you your call function returns return given"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_MOST_CALLS = 4
_THEN = re.compile(
    r"\s*[,;.]?\s*\b(?:and then|then|after that|afterwards)\b[,:]?\s*", re.IGNORECASE
)
_OWN_ARGUMENTS = re.compile(r'\d|["“]')


def calls(heard: Heard) -> tuple[Call, ...]:
    """All tools at once that are named, or one of `first this, then that`, or the one that fits."""
    if heard.choice == "none" or not heard.tools:
        return ()
    last = heard.items[-1] if heard.items else None
    words = last.text if isinstance(last, Message) and last.role == "system" else asked(heard)
    errands = _errands(heard.tools, words)
    if isinstance(last, Output):
        done = outputs(heard)
        # Whatever else is answered is over: to call again would never end.
        goes_on = len(done) < len(errands) and rejection(done[-1]) is None
        return (_call(*errands[len(done)]),) if goes_on else ()
    if not isinstance(last, Message) or last.role == "assistant":
        words, errands = "", []
    if heard.choice not in {"auto", "required"}:
        fitting = [tool for tool in heard.tools if tool.name == heard.choice]
    elif errands:
        return (_call(*errands[0]),)
    else:
        fitting = _fitting(heard.tools, words_of(words))
        if not fitting and heard.choice == "required":
            fitting = [heard.tools[0]]
    most = _MOST_CALLS if heard.parallel else 1
    return tuple(_call(tool, words) for tool in fitting[:most])


def _call(tool: Tool, words: str) -> Call:
    return Call(new_call(), tool.name, arguments_for(tool.parameters, words))


def new_call() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _errands(tools: Sequence[Tool], asked: str) -> list[tuple[Tool, str]]:
    """The tools that are to be called in turn, each with the words that are about it."""
    parts = _THEN.split(asked)
    found = [
        # `then refund it`: what it is was said before.
        (fitting[0], part if _OWN_ARGUMENTS.search(part) else f"{part}: {asked}")
        for part in parts
        if (fitting := _fitting(tools, words_of(part)))
    ]
    return found if len(found) > 1 else []


def _fitting(tools: Sequence[Tool], words: set[str]) -> list[Tool]:
    """All tools whose whole name is in the words, else the one that most of them speak for."""
    names = {tool.name: words_of(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool.name)) for tool in tools}
    named = [tool for tool in tools if names[tool.name] and names[tool.name] <= words]
    if named:
        return named
    scores = [
        (2 * len(names[tool.name] & words) + len(words_of(tool.description) & words), -at)
        for at, tool in enumerate(tools)
    ]
    best, at = max(scores)
    return [tools[-at]] if best >= 2 else []


def words_of(text: str) -> set[str]:
    found = re.findall(r"[a-z0-9]+", re.sub(r"[_-]", " ", text).lower())
    # A plural is the same word.
    return {word.removesuffix("s") for word in found if len(word) > 2 and word not in _COMMON}
