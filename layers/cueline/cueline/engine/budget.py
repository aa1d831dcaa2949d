"""Money: what a model call may take is reserved before it, and settled after."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from cueline.engine.agent import Caps
from cueline.engine.model import ModelRequest, Usage
from cueline.engine.ports import Ports, Spend
from cueline.engine.prices import Prices
from cueline.engine.prompt import tokens_of
from cueline.engine.steps import NANO, Stop, limit
from cueline.errors import CuelineError, unexpected

logger = logging.getLogger(__name__)

ANYONE = "anyone"
"""Pays where nobody is asked for a key."""
_OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class Reserved:
    account: str
    day: str
    amount: Spend


@dataclass(frozen=True, slots=True)
class Budget:
    """Of one API key and day. A deployment without such caps costs no call of the store."""

    ports: Ports
    caps: Caps
    prices: Prices
    payer: str

    def reserve(self, request: ModelRequest) -> Reserved | Stop | None:
        """Stop where the key has none left for today; None where nothing is to be reserved.

        Raises Unavailable: who cannot count does not spend.
        """
        caps = self.caps
        if caps.key_day_tokens is None and caps.key_day_cost is None:
            return None
        account, day = self.payer or ANYONE, _day(self.ports.clock.now())
        amount = self.prices.spend(request.model, tokens_of(request), self._most_output(request))
        below = caps.key_day_tokens, _nano(caps.key_day_cost)
        if self.ports.spending.reserve(account, day, amount, below):
            return Reserved(account, day, amount)
        spent = self.ports.spending.spent(account, day)
        if caps.key_day_tokens is not None and spent.tokens >= caps.key_day_tokens:
            return limit("key_day_tokens", f"{caps.key_day_tokens} tokens for one key on one day")
        return limit("key_day_cost", f"{caps.key_day_cost:g} US dollars for one key on one day")

    def settle(self, reserved: Reserved | None, model: str, usage: Usage) -> None:
        """What it took is known; where that cannot be told, the reservation stays."""
        if not reserved:
            return
        used = self.prices.spend(model, usage.input_tokens, usage.output_tokens)
        amount = reserved.amount
        difference = Spend(used.tokens - amount.tokens, used.cost - amount.cost)
        try:
            self.ports.spending.settle(reserved.account, reserved.day, difference)
        except CuelineError as error:
            logger.warning("A reservation was not settled", extra=unexpected(error))

    def _most_output(self, request: ModelRequest) -> int:
        given = (request.parameters.get(name) for name in _OUTPUT_LIMITS)
        asked = [n for n in given if isinstance(n, int) and n > 0]
        most = self.prices.of(request.model).max_output
        return min(max(asked), most) if asked else most


def _nano(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * NANO)


def _day(now: int) -> str:
    return f"{datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%d}"
