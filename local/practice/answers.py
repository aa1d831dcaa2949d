"""What the practice model says: always the same for the same request, and from that alone."""

import re
import uuid
from collections.abc import Iterable

from local.practice.arguments import arguments_for
from local.practice.heard import Answer, Call, Heard, Message, Output, Tool, pieces

WHO = "I am the practice model, not an AI."
_COMMON_WORDS = (
    "a an and any are as at be by can do for from get give has have how if in is it its list make "
    "me my new not of on or our please set show that the them then there this to tool up use user "
    "was what when where which who will with you your call function returns return given"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_MOST_CALLS = 4
_CONDITION = re.compile(r"^\W*(?:when|whenever|if)\b(.{3,200}?)(?:,|:|\bthen\b)", re.IGNORECASE)
_RULE = re.compile(r"^\W*(?:guideline|when|whenever|if|always|never)\b", re.IGNORECASE)
_TO_SAY = re.compile(
    r"\b(?:say|saying|reply|respond|answer|mention|add|include|use|end|begin|start|greet)\b"
    r'[^"“\n]{0,60}["“]([^"”\n]{1,200})["”]',
    re.IGNORECASE,
)


def answer(heard: Heard) -> Answer:
    """Thinking where it is asked for, a tool call where one fits, else a few sentences."""
    calls = _calls(heard)
    text = "" if calls else _text(heard)
    texts, finish = pieces(text), "stop"
    if heard.limit is not None and len(texts) > heard.limit:
        texts, finish = texts[: heard.limit], "length"
    return Answer(
        texts=texts,
        thinking=pieces(_thinking(heard, calls)),
        calls=calls,
        finish="length" if finish == "length" else "stop",
    )


def _text(heard: Heard) -> str:
    outputs = _trailing(heard)
    asked = _asked(heard)
    if outputs:
        told = " ".join(f"The tool {one.tool} answered {_quote(one.text)}." for one in outputs)
        parts = [WHO, told, f"That is for {_quote(asked)}." if asked else ""]
    else:
        parts = [WHO, *_about(heard, asked)]
    rules, sayings = _rules(heard, asked)
    parts += [f"I follow the guideline {_quote(rule)}." for rule in rules[:2]]
    parts += sayings[:3]
    return " ".join(part for part in parts if part)


def _about(heard: Heard, asked: str) -> Iterable[str]:
    users = _said(heard, "user")
    contexts = _said(heard, "system")
    last = heard.items[-1] if heard.items else None
    if isinstance(last, Message) and last.role == "system":
        yield f"I was asked to speak: {_quote(last.text)}."
        contexts = []
    elif asked:
        yield f"You said {_quote(asked)}."
    yield f"I can see {len(users)} user message{'' if len(users) == 1 else 's'}."
    if users and re.search(r"\bfirst (?:message|thing)|\bremember|\brecall", asked, re.IGNORECASE):
        yield f"Your first message was {_quote(users[0])}."
    if heard.instructions:
        yield f"My instructions begin {_quote(heard.instructions, 60)}."
    if contexts:
        yield f"I was told {_quote(contexts[-1])}."


def _thinking(heard: Heard, calls: tuple[Call, ...]) -> str:
    asked = _asked(heard)
    if not heard.thinks and not re.search(r"\bthink", asked, re.IGNORECASE):
        return ""
    plan = f"I call {calls[0].tool}." if calls else "I answer from what I was given."
    return f"Practice thinking: the user said {_quote(asked, 60)}. {plan}"


def _rules(heard: Heard, asked: str) -> tuple[list[str], list[str]]:
    """Guidelines in force for this message, and what they say word for word."""
    rules, sayings = list[str](), list[str]()
    words = _words(asked)
    for text in (heard.instructions, *_said(heard, "system")):
        for line in text.splitlines():
            condition = _CONDITION.match(line)
            if condition and not _words(condition[1]) & words:
                continue
            if _RULE.match(line) and line.strip() not in rules:
                rules.append(line.strip())
            sayings += [said for said in _TO_SAY.findall(line) if said not in sayings]
    return rules, sayings


def _calls(heard: Heard) -> tuple[Call, ...]:
    if heard.choice == "none" or not heard.tools:
        return ()
    last = heard.items[-1] if heard.items else None
    asked = last.text if isinstance(last, Message) and last.role != "assistant" else ""
    if heard.choice not in {"auto", "required"}:
        fitting = [tool for tool in heard.tools if tool.name == heard.choice]
    else:
        fitting = _fitting(heard.tools, _words(asked))
        if not fitting and heard.choice == "required":
            fitting = [heard.tools[0]]
    if isinstance(last, Output):  # the answer is in: to call again would never end
        fitting = []
    most = _MOST_CALLS if heard.parallel else 1
    return tuple(
        Call(new_call(), tool.name, arguments_for(tool.parameters, asked))
        for tool in fitting[:most]
    )


def _fitting(tools: tuple[Tool, ...], words: set[str]) -> list[Tool]:
    """All tools whose whole name is in the message, else the one that most words speak for."""
    names = {tool.name: _words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool.name)) for tool in tools}
    named = [tool for tool in tools if names[tool.name] and names[tool.name] <= words]
    if named:
        return named
    scores = [
        (2 * len(names[tool.name] & words) + len(_words(tool.description) & words), -at)
        for at, tool in enumerate(tools)
    ]
    best, at = max(scores)
    return [tools[-at]] if best >= 2 else []


def new_call() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _words(text: str) -> set[str]:
    found = re.findall(r"[a-z0-9]+", re.sub(r"[_-]", " ", text).lower())
    # A plural is the same word.
    return {word.removesuffix("s") for word in found if len(word) > 2 and word not in _COMMON}


def _said(heard: Heard, role: str) -> list[str]:
    return [item.text for item in heard.items if isinstance(item, Message) and item.role == role]


def _asked(heard: Heard) -> str:
    users = _said(heard, "user")
    return users[-1] if users else ""


def _trailing(heard: Heard) -> list[Output]:
    """The tool outputs that nothing has been said after."""
    found: list[Output] = []
    for item in reversed(heard.items):
        if isinstance(item, Message):
            break
        if isinstance(item, Output):
            found.insert(0, item)
    return found


def _quote(text: str, longest: int = 200) -> str:
    text = " ".join(text.split())
    return f"“{text if len(text) <= longest else text[: longest - 1] + '…'}”"
