"""A word to whoever waits while tools run for long, as the agent's policy wants it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from cueline.engine.host import Host
from cueline.engine.ports import WakeUp
from cueline.errors import CuelineError, unexpected
from cueline.log.events import Event, Input
from cueline.log.state import State, waiting_asides
from cueline.log.triggers import BuyTime, Guideline, Trigger

logger = logging.getLogger(__name__)

ONE_MOMENT = (
    Guideline(
        action="Say in one short sentence that you are still working on it.", rationale="buy_time"
    ),
)


@dataclass(slots=True)
class BuyingTime:
    """Made when tools begin to run; then asked again and again while they do."""

    host: Host
    _policy: BuyTime | None = field(init=False)
    _began: float = field(init=False)
    _asked: int = field(init=False)

    def __post_init__(self) -> None:
        agent = self.host.agent
        self._policy = self.host.session.buy_time or (agent.buy_time if agent else None)
        self._began = self.host.ports.clock.monotonic()
        # Also what was asked for in this turn before, by other tools.
        events = self.host.events if self._policy else ()
        self._asked = sum(_buys(r.event, self.host.turn) for r in events)

    def look(self) -> None:
        """Asks for an aside when it is time for one: another process says it, beside this one."""
        policy = self._policy
        if not policy or self._asked >= policy.times or self.host.aside:
            return
        # Each pause is twice the one before.
        due = policy.after_seconds * (2 ** (self._asked + 1) - 1)
        if self.host.ports.clock.monotonic() - self._began < due:
            return
        self._asked += 1
        try:
            self._ask(policy)
        except CuelineError as error:
            logger.warning("No time was bought", extra=unexpected(error))

    def _ask(self, policy: BuyTime) -> None:
        host = self.host
        trigger = Trigger(guidelines=policy.guidelines or ONE_MOMENT, during=host.turn)
        asked = Input(
            policy="aside",
            source="system",
            trigger=trigger,
            caller=host.work().payer,
            trace=host.ports.clock.id(),
        )

        def build(state: State) -> Sequence[Event]:
            busy = state.aside or waiting_asides(state) or not state.running(host.turn)
            return () if busy else (asked,)

        if host.append(build):
            wake_up = WakeUp(host.writer.session, guards=host.reader.head.at)
            host.ports.wake_ups.send(wake_up)


def _buys(event: Event, turn: str) -> bool:
    trigger = event.trigger if isinstance(event, Input) else None
    return trigger is not None and trigger.during == turn
