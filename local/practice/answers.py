"""What the practice model says: always the same for the same request, and from that alone."""

import re
from collections.abc import Iterable

from local.practice.choices import calls, words_of
from local.practice.forms import filled
from local.practice.heard import Answer, Call, Heard, Message, Output, pieces
from local.practice.summaries import summarised, summary_asked
from local.practice.talk import (
    asked,
    outputs,
    own_words,
    quoted,
    rejection,
    said,
    skills,
    step,
    summary,
    triggered,
)

SILENCE = "[[silence]]"
WHO = "I am the practice model, not an AI."
_CONDITION = re.compile(
    r"^\W*(?:\d+\.\s*)?(?:when|whenever|if)\b(.{3,200}?)(?:,|:|\bthen\b)", re.IGNORECASE
)
_NUMBERED = re.compile(r"^(\d+)\. (?=when )", re.IGNORECASE)
_RULE = re.compile(r"^\W*(?:\d+\.\s*)?(?:guideline|when|whenever|if|always|never)\b", re.IGNORECASE)
_TO_SAY = re.compile(
    r"\b(?:say|saying|reply|respond|answer|mention|add|include|use|end|begin|start|greet)\b"
    r'[^"“\n]{0,60}["“]([^"”\n]{1,200})["”]',
    re.IGNORECASE,
)


def answer(heard: Heard) -> Answer:
    """Thinking where it is asked for, a tool call where one fits, else a few sentences."""
    if summary_asked(heard):
        return Answer(texts=pieces(summarised(heard)))
    made = calls(heard) if triggered(heard) is None else ()
    text = "" if made else _form(heard) or _text(heard)
    texts, finish = pieces(text), "stop"
    if heard.limit is not None and len(texts) > heard.limit:
        texts, finish = texts[: heard.limit], "length"
    return Answer(
        texts=texts,
        thinking=pieces(_thinking(heard, made)),
        calls=made,
        finish="length" if finish == "length" else "stop",
    )


def _form(heard: Heard) -> str:
    """The answer in the form that was asked for; empty where none was."""
    if heard.form is None:
        return ""
    last = said(heard, "system")[-1:] if not own_words(heard) else []
    return filled(
        heard.form, " ".join([asked(heard), *last, *(one.text for one in outputs(heard))])
    )


def _text(heard: Heard) -> str:
    words = asked(heard)
    to_say = triggered(heard)
    if to_say is not None:
        if any("say nothing" in action.lower() for action in to_say):
            return SILENCE
        what = " and ".join(map(quoted, to_say)) or "what the conversation calls for"
        return f"{WHO} I was asked to speak: {what}."
    if done := outputs(heard):
        parts = [WHO, *map(_told, done), f"That is for {quoted(words)}." if words else ""]
    else:
        parts = [WHO, *_about(heard, words)]
    rules, sayings = _rules(heard, words)
    parts += [f"I follow the guideline {quoted(rule)}." for rule in rules[:2]]
    parts += sayings[:3]
    text = " ".join(part for part in parts if part)
    numbers = [found[1] for rule in rules if (found := _NUMBERED.match(rule))]
    return f"{text}\n[[guidelines: {', '.join(numbers)}]]" if numbers else text


def _told(output: Output) -> str:
    why = rejection(output)
    if why is None:
        return f"The tool {output.tool} answered {quoted(output.text)}."
    because = f": {quoted(why)}" if why else ""
    return f"A person did not allow {output.tool}{because}. I do without it."


def _about(heard: Heard, words: str) -> Iterable[str]:
    users, before = own_words(heard), summary(heard)
    contexts = said(heard, "system")
    last = heard.items[-1] if heard.items else None
    if isinstance(last, Message) and last.role == "system":
        yield f"I was asked to speak: {quoted(last.text)}."
        contexts = []
    elif words:
        yield f"You said {quoted(words)}."
    if name := step(heard):
        yield f"I go on in step {quoted(name)}."
    yield f"I can see {_count(len(users))}."
    if before:
        yield f"A summary stands for {_count(before.count)} before that."
    first = (before.first if before else "") or (users[0] if users else "")
    if first and re.search(r"\bfirst (?:message|thing)|\bremember|\brecall", words, re.IGNORECASE):
        yield f"Your first message was {quoted(first)}."
    if names := skills(heard):
        yield f"I have the skill{'s' if len(names) > 1 else ''} {', '.join(map(quoted, names))}."
    if heard.instructions:
        yield f"My instructions begin {quoted(heard.instructions, 60)}."
    if contexts:
        yield f"I was told {quoted(contexts[-1])}."


def _count(messages: int) -> str:
    return f"{messages} user message{'' if messages == 1 else 's'}"


def _thinking(heard: Heard, made: tuple[Call, ...]) -> str:
    words = asked(heard)
    if not heard.thinks and not re.search(r"\bthink", words, re.IGNORECASE):
        return ""
    plan = f"I call {made[0].tool}." if made else "I answer from what I was given."
    return f"Practice thinking: the user said {quoted(words, 60)}. {plan}"


def _rules(heard: Heard, words: str) -> tuple[list[str], list[str]]:
    """Guidelines in force for this message, and what they say word for word."""
    rules, sayings = list[str](), list[str]()
    spoken = words_of(words)
    for text in (heard.instructions, *said(heard, "system")):
        for line in text.splitlines():
            condition = _CONDITION.match(line)
            if condition and not words_of(condition[1]) & spoken:
                continue
            if _RULE.match(line) and line.strip() not in rules:
                rules.append(line.strip())
            sayings += [one for one in _TO_SAY.findall(line) if one not in sayings]
    return rules, sayings
