"""Door 3: how soon a command is acknowledged and an interrupt felt.

The gateway's own time is in none of it: frames go to a process of the bench, and commands come from
one, over loopback.
"""

import statistics
import time
import uuid
from collections.abc import Callable, Iterator

from tests.bench.calls import count, made
from tests.bench.listening import Frame, Wire, is_event, is_message, until
from tests.bench.replies import percentile
from tests.bench.report import Row
from tests.bench.triggered import BETWEEN_LOOKS, MESSAGE, Door
from tests.bench.turns import SHORT

TOPIC = "Door 3: commands, without the gateway's own time; 20 messages"
FELT_MS = 500.0
"""Budget: from the sending of an interrupt to the last delta of what it interrupts."""
COMMAND_CALLS = 5
"""Budget: who sends it (two items), the session, its agent, and the write."""
KEY_LOOK = 1
"""And, with a command_id, whether it was there before."""
SPOKEN = 0.3
"""Seconds after which an answer is interrupted, and up to BETWEEN_LOOKS more: at any time."""


def acknowledged(door: Door, wire: Wire, times: int) -> Iterator[Row]:
    """Each in a session that is silent; beside posts of the same text to door 2."""
    late, posts, heard = [], [], []
    with door.working() as used:
        for _ in range(times + 1):
            session, other = door.session(SHORT), door.session(SHORT)
            (gateway,) = wire.listeners(session, 1)
            since, done = wire.here(), len(used)
            sent = wire.say(gateway, command_id=uuid.uuid4().hex)
            ack = wire.wait(since, is_event("command_ack", gateway), "an acknowledgement")
            whole = wire.wait(since, is_message("completed", gateway), "the whole answer")
            began = time.monotonic()
            door.post(other, MESSAGE)
            posts.append(1000 * (time.monotonic() - began))
            late.append(1000 * (ack.at - sent))
            heard.append(1000 * (whole.at - sent))
            until(lambda: len(used) > done + 1, "both turns have ended")  # noqa: B023
    late, posts, heard = (sorted(each[1:]) for each in (late, posts, heard))
    figures = {
        "p95 ms": percentile(late, 95),
        "POST of door 2 ms": statistics.median(posts),
        "to the whole answer ms": statistics.median(heard),
        "times": times,
    }
    note = "to the answer: a 0 ms model, and up to 20 ms until the bench's queue is looked at"
    what = "from a command to its acknowledgement, median"
    yield Row(TOPIC, what, statistics.median(late), "ms", note=note, also=figures)


def counted(door: Door, wire: Wire) -> Iterator[Row]:
    once = {"command_id": uuid.uuid4().hex}
    for what, more, most in (
        ("send_message", {}, COMMAND_CALLS),
        ("send_message with a command_id", once, COMMAND_CALLS + KEY_LOOK),
    ):
        (gateway,) = wire.listeners(door.session(SHORT), 1)
        with door.working() as used, wire.commands.noting() as calls:
            wire.say(gateway, **more)
            until(lambda: used, "the turn has ended")
        yield made(TOPIC, f"{what}: calls", count(calls), most)


def interrupted(door: Door, wire: Wire, speaks: str, times: int) -> Iterator[Row]:
    """Each answer by the next message; the last one is let be. `speaks` is a model that does, for
    some seconds."""
    (gateway,) = wire.listeners(door.session(speaks), 1)
    since, sent = wire.here(), dict[str, float]()

    def new(action: str) -> Callable[[Frame], bool]:
        wanted = is_message(action, gateway)
        return lambda frame: wanted(frame) and frame.response not in sent

    with door.working():
        wire.say(gateway)
        for _ in range(times):
            answer = wire.wait(since, new("delta"), "a delta").response
            time.sleep(SPOKEN + BETWEEN_LOOKS * door.chance.random())
            sent[answer] = wire.say(gateway, command_id=uuid.uuid4().hex)
            wire.wait(since, is_message("cancelled", gateway, answer), f"that {answer} is over")
        wire.wait(since, new("completed"), "the last answer")
    deltas = [frame for frame in wire.frames[since:] if is_message("delta", gateway)(frame)]
    last = {delta.response: delta.at for delta in deltas}
    late = sorted(1000 * max(0.0, last[answer] - at) for answer, at in sent.items())
    figures = {"least ms": late[0], "most ms": late[-1], "times": times}
    note = "from its sending; up to 250 ms of it until the turn looks"
    what = "from an interrupt to the last delta"
    yield Row(TOPIC, f"{what}, median", statistics.median(late), "ms", FELT_MS, note, figures)
    yield Row(TOPIC, f"{what}, p95", percentile(late, 95), "ms", FELT_MS)
