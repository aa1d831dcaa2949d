"""Plays scenarios on a stack: a session for each, and a thread for everyone who has a part."""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.reliability.client import Client, Reader
from tests.reliability.evidence import Reading, Told
from tests.reliability.scenarios import (
    Decide,
    Delete,
    Interrupt,
    Say,
    Scenario,
    Send,
    Step,
    SumUp,
)
from tests.reliability.stack import Stack

PLAYED = 90.0
"""Seconds within which everyone must have had all answers."""


def _tool(book: str, **more: Any) -> dict[str, Any]:
    tool = {"type": "dynamic_vectara", "tool_id": "tol_ledger.write_down", "timeout_seconds": 7}
    return {**tool, "argument_override": {"book": book}, **more}


TOOLS: Mapping[str, dict[str, Any]] = {
    "pay": _tool("pay"),
    "note": _tool("note", repeatable=True),
    "refund": _tool("refund", approval="required"),
}
FAULTS: Sequence[dict[str, Any]] = (
    *({"kind": "status", "status": status} for status in (400, 401, 429, 500, 503)),
    {"kind": "status", "status": 429, "retry_after": "1"},
    *({"kind": kind} for kind in ("hang", "drip_headers", "drip_error", "hang_midstream", "drip")),
    *({"kind": kind} for kind in ("cut", "reset", "malformed", "wrong_shape", "empty_choices")),
    *({"kind": kind} for kind in ("error_event", "no_done", "no_usage", "bytes", "unknown_tool")),
    *({"kind": kind} for kind in ("length", "content_filter", "refusal")),
)


@dataclass
class Played:
    told: list[Told] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)


def play(stack: Stack, doors: Callable[[], str], scenarios: Sequence[Scenario]) -> Played:
    """Until everybody has been answered and nothing is left to do."""
    host = Client("the house", doors)
    people: list[Client] = []
    readers: list[Reader] = []
    parts: list[threading.Thread] = []
    failed: list[BaseException] = []
    for scenario in scenarios:
        session = prepare(stack, host, scenario.name, scenario.pace, tools=scenario.tools)
        readers.append(Reader(Client("a reader", doors), session))
        for who in dict.fromkeys(step.who for step in scenario.steps):
            person = Client(who, doors)
            people.append(person)
            steps = [step for step in scenario.steps if step.who == who]
            name = f"{who} in {scenario.name}"
            arguments = (person, session, steps, failed)
            parts.append(threading.Thread(target=_part, name=name, args=arguments))
    for part in parts:
        part.daemon = True
        part.start()
    until = time.monotonic() + PLAYED
    for part in parts:
        part.join(max(0.0, until - time.monotonic()))
        assert not part.is_alive(), f"{part.name} is never answered"
    if failed:
        raise failed[0]
    stack.rest()
    for client in (host, *people):
        client.close()
    told = [one for person in people for one in person.told]
    return Played(told, [reader.done() for reader in readers])


def prepare(
    stack: Stack,
    client: Client,
    name: str,
    pace: float,
    *,
    brief: bool = False,
    tools: bool = False,
) -> str:
    """An agent with a session of its own, whose model answers at this pace; the session's id.

    A `brief` model always says the same two words.
    """
    key = re.sub(r"\W+", "-", name)
    model = f"{stack.given.table}-{key}"
    failing = stack.given.conditions.failing
    dice = random.Random(model + stack.given.conditions.name)
    usual: dict[str, Any] = {"kind": "delay", "token_ms": pace}
    if brief:
        usual = {"kind": "script", "texts": ["Well ", "then."]}
    faults = [dice.choice(FAULTS) if dice.random() < failing else usual for _ in range(60)]
    orders = {"model": model, "faults": [*faults, {**usual, "times": 0}]}
    httpx.post(f"{stack.base.model}/practice/faults", json=orders).raise_for_status()
    agent = {
        "key": key,
        "name": name,
        "tool_configurations": TOOLS if tools else {},
        "model": {"name": model},
        "first_step": {
            "name": "main",
            "instructions": [{"type": "inline", "name": "main", "template": "Be kind."}],
            "output_parser": {"type": "default"},
        },
    }
    made(client, "/v2/agents", agent)
    made(client, f"/v2/agents/{key}/sessions", {"key": "s"})
    return f"{key}.s"


def made(client: Client, path: str, body: dict[str, Any]) -> None:
    """It is there now; a lost answer may have made it seem taken."""
    answer = client.call("POST", path, body)
    assert answer.status_code in (201, 409), answer.text


def _part(person: Client, session: str, steps: Sequence[Step], failed: list[BaseException]) -> None:
    try:
        for step in steps:
            time.sleep(step.after)
            take(person, session, step)
    except BaseException as error:  # told where the others are waited for
        failed.append(error)


def take(person: Client, session: str, step: Step) -> None:
    match step:
        case Say():
            person.say(
                session, said(step), key=step.key, patience=step.patience, leaves=step.leaves
            )
        case Send():
            person.send(session, step.text, step.policy)
        case Interrupt():
            person.say(session, {"type": "interrupt"})
        case Decide():
            if call := waiting_call(person, session, step.patience):
                person.decide(session, call, step.verdict, step.note)
        case SumUp():
            person.sum_up(session, step.message)
        case Delete():
            agent, _, name = session.partition(".")
            person.call("DELETE", f"/v2/agents/{agent}/sessions/{name}")
            made(person, f"/v2/agents/{agent}/sessions", {"key": name})


def waiting_call(person: Client, session: str, seconds: float) -> str | None:
    """Any that waits for approval; None where that takes too long: its turn may have failed."""
    agent, _, name = session.partition(".")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = person.call("GET", f"/v2/agents/{agent}/sessions/{name}")
        if waiting := answer.json().get("pending_approvals"):
            return str(waiting[0])
        time.sleep(0.1)
    return None


def said(step: Say) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "input_message",
        "messages": [{"type": "text", "content": step.text}],
    }
    if step.stream:
        body["stream_response"] = True
    if step.queued:
        body |= {"since": "start", "behavior": step.queued}
    return body


@contextmanager
def crew(stack: Stack, workers: int, **more: Any) -> Iterator[None]:
    """Keeps that many workers at work: others take the places of those who ended or stand still.

    `more` is what they are started with.
    """
    stop = threading.Event()

    def keep() -> None:
        mine: list[int] = []
        while not stop.is_set():
            status = stack.status()
            alive = {int(pid) for pid in status["alive"]} - set(status["stopped"])
            mine = [pid for pid in mine if pid in alive]
            mine += [stack.start("worker", **more)[0] for _ in range(workers - len(mine))]
            stop.wait(0.2)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()
