"""Whatever becomes of those who listen, turns go on as if nobody did, though processes die."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.reliability.client import Client
from tests.reliability.conditions import Conditions
from tests.reliability.crowd import Crowd
from tests.reliability.driver import crew, play, prepare, said
from tests.reliability.evidence import Told
from tests.reliability.laws import broken
from tests.reliability.scenarios import SCENARIOS, Say
from tests.reliability.soak import Fleet
from tests.reliability.stack import Base, Stack
from tests.reliability.test_crash_points import Crashes

NAMES = ("a plain talk", "a word in between", "somebody stops it", "a new beginning", "other doors")
PLAYED = [scenario for scenario in SCENARIOS if scenario.name in NAMES]
MOST_TRIES = 4
"""Turns of one session that may speak at once, and removals that may fail."""
BY_TIMERS = {"beats.beat", "log.segment"}
"""Steps that a turn makes as often as its time wants it."""


@contextmanager
def struck(stack: Stack) -> Iterator[Fleet]:
    """Workers and doors, some of which are killed or stand still all the while."""
    fleet = Fleet(stack, random.Random(stack.given.conditions.name))
    keeper = threading.Thread(target=fleet.keep, daemon=True)
    striker = threading.Thread(target=fleet.strike, daemon=True)
    keeper.start()
    while not fleet.doors:
        time.sleep(0.05)
    striker.start()
    try:
        yield fleet
    finally:
        fleet.peace.set()
        fleet.over.set()
        striker.join()
        keeper.join()


@pytest.mark.parametrize("how", ["gone", "busy", "hanging"])
def test_every_promise_holds_where_no_connection_takes_anything(shared: Base, how: str) -> None:
    conditions = Conditions(f"connections always {how}", sockets=how)
    with shared.stack(conditions) as stack:
        sessions = [f"{s.name.replace(' ', '-')}.s" for s in PLAYED]
        crowd = Crowd(stack, sessions)
        with struck(stack) as fleet:
            with crowd.coming():
                played = play(stack, fleet.door, PLAYED)
            fleet.peace.set()
            found = broken(stack.items(), played.told, played.readings)
            if how == "gone":
                played.told.extend(all_are_spoken_to(fleet, crowd))
                stack.rest()
            strikes = fleet.struck.total()
        items, calls = stack.items(), crowd.calls()
        found += [*broken(items, played.told), *stack.errors()]
    assert not found, "\n".join(found)
    assert strikes
    assert len(calls.sent) > len(sessions), "some of them were tried"
    if how == "gone":
        assert max(calls.sent.values()) <= MOST_TRIES + strikes, "who is gone is left out"


def all_are_spoken_to(fleet: Fleet, crowd: Crowd) -> list[Told]:
    """In peace, once more; then nobody is left who was found to be gone."""
    person = Client("the last", fleet.door)
    for session in crowd.sessions:
        crowd.come(session)
        person.say(session, said(Say("the last", f"Is anybody in {session}?")), key="last")
    person.close()
    until = time.monotonic() + 20
    while left := crowd.left():
        assert time.monotonic() < until, f"the rows of {left} are never removed"
        time.sleep(0.2)
    return person.told


def test_a_turn_makes_no_step_more_for_connections_that_hang(shared: Base) -> None:
    """Steps are counted: time is no measure here."""
    conditions = Conditions("a turn beside hanging connections", sockets="hanging")
    with shared.stack(conditions) as stack, crew(stack, 1):
        crashes = Crashes(stack, stack.door())
        prepare(stack, crashes.ann, "crash", 40)  # it takes its time to answer
        steps = {}
        for name, listeners in (("alone", 0), ("heard", 3)):
            session = crashes.session(name, "Hello.")
            crowd = Crowd(stack, [session])
            for _ in range(listeners):
                crowd.come(session)
            crashes.host(session, "Hello.")
            made = crashes.wait_for("steps", session).split()
            steps[name] = Counter(step for step in made if step not in BY_TIMERS)
        calls = crowd.calls()
        crashes.check()
        for client in crashes.clients:
            client.close()
    assert steps["heard"] == steps["alone"]
    assert calls.sent.total() > 1, "some were tried"
    assert set(calls.at_once.values()) == {1}, "and each of them once at a time"
