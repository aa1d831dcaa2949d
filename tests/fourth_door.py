"""What comes through background triggers to a simulated session."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from cueline.log.events import Input, Policy
from tests.simulation import Process, World

AT_ONCE: Sequence[Policy] = ("enqueue", "coalesce", "interrupt", "steer")
HELD_BACK: Sequence[Policy] = ("enqueue", "coalesce", "coalesce")
EVENT = "event "


def plan_events(world: World, send: Callable[[Process, Input], None]) -> None:
    """Held back or not, each of them tried so often and no more, some only until a time.

    The model fails them often. They throw dice of their own, and change nothing for all others.
    """
    r = Random(f"{world.seed} events")
    for n in range(r.choice([0, 0, 2, 5])):
        delay = r.choice([0, 600, r.uniform(0, 1500)])
        policy = r.choice(HELD_BACK if delay else AT_ONCE)
        new = Input(policy=policy, texts=(f"{EVENT}{n}",), tries=r.choice([1, 2, 4]))
        given = partial(_send, send=send, new=new, delay=delay, age=r.choice([0, 0, 600]))
        world.start_in(r.choice([0, 0, r.uniform(0, 900)]), given)


def _send(
    me: Process, send: Callable[[Process, Input], None], new: Input, delay: float, age: int
) -> None:
    ready = round(1000 * (me.world.now + me.skew + delay))
    held = {"not_before": ready if delay else 0, "not_after": ready + 1000 * age if age else 0}
    send(me, new.model_copy(update=held))
