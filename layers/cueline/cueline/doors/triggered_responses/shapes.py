"""Shapes on the wire that agents and sessions share."""

from collections.abc import Sequence
from typing import Any

from cueline.log.triggers import BuyTime, FollowUp, Guideline


def shown_policies(ladder: Sequence[FollowUp] | None, time: BuyTime | None) -> dict[str, Any]:
    """Cueline's own fields, only where they are set: what can be sent back as it is."""
    shown: dict[str, Any] = {}
    if ladder is not None:
        shown["follow_ups"] = [
            {"after_seconds": rung.after_seconds, "guidelines": _guidelines(rung.guidelines)}
            for rung in ladder
        ]
    if time:
        shown["buy_time"] = {
            "after_seconds": time.after_seconds,
            "times": time.times,
            "guidelines": _guidelines(time.guidelines),
        }
    return shown


def _guidelines(told: Sequence[Guideline]) -> list[dict[str, str]]:
    return [{"action": one.action, "rationale": one.rationale} for one in told]
