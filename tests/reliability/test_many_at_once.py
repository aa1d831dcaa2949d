"""Fifty people speak to one session at the same time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from cueline.log.events import Answered, Input
from tests.reliability.client import Client
from tests.reliability.conditions import Conditions
from tests.reliability.driver import crew, prepare, said
from tests.reliability.evidence import stored
from tests.reliability.laws import broken
from tests.reliability.scenarios import Say
from tests.reliability.stack import Base

PEOPLE, WAITING = 50, 15
"""All of them and those who wait for their answers, each of whom follows the log twice a second."""


@pytest.mark.timeout(240)
def test_fifty_inputs_at_once_get_one_answer_each_in_order(shared: Base) -> None:
    # The shorter the lease, the more often each of their wake-ups looks at the busy session.
    conditions = Conditions("fifty at once", lease=10, patience=90)
    with shared.stack(conditions) as stack, crew(stack, 2):
        door = stack.door()
        people = [Client(f"person {n}", lambda: door) for n in range(PEOPLE)]
        session = prepare(stack, people[0], "fifty", 0, brief=True)

        def speak(person: Client) -> None:
            text = f"I am {person.who}."
            if person in people[:WAITING]:
                # On a stream, since the events of so many turns are too much for one JSON answer.
                person.say(session, said(Say(person.who, text, queued="follow_up", stream=True)))
            else:
                person.send(session, text, "enqueue")

        with ThreadPoolExecutor(PEOPLE) as pool:
            list(pool.map(speak, people))
        stack.rest()
        told = [one for person in people for one in person.told]
        items = stack.items()
        for person in people:
            person.close()
    assert broken(items, told) == []
    assert [one.status for one in told] == [201] * PEOPLE
    (log,) = stored(items)
    inputs = [r.offset for r in log.recorded if isinstance(r.event, Input)]
    answers = [r.event.inputs for r in log.recorded if isinstance(r.event, Answered)]
    assert len(inputs) == PEOPLE
    assert answers == [(offset,) for offset in inputs], "in the order in which they came"
