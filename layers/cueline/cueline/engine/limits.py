"""What a deployment lets a turn take, and how it runs every agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cueline.engine.agent import Agent, Caps
from cueline.engine.prices import Prices


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one deployment. Seconds, but where it says bytes."""

    lease: int = 30
    turn: float = 280.0
    window_bytes: int = 400_000
    """Of the log, as stored, that the turn reads back, and of the text that it sends."""
    freezes: bool = False
    """The platform stops this process between a response and the next request."""
    caps: Caps = field(default_factory=Caps)
    prices: Prices = field(default_factory=Prices)
    model_name: str = ""
    """Stands for every agent's own, where the provider has but one."""
    model_parameters: Mapping[str, Any] = field(default_factory=dict)
    """Under every agent's own."""
    default_model: str = ""
    """Of agents that name none."""

    def configured(self, agent: Agent | None) -> Agent | None:
        """The agent as this deployment runs it."""
        model = self.model_name or (agent.model if agent else "") or self.default_model
        if not agent or (model == agent.model and not self.model_parameters):
            return agent
        parameters = dict(self.model_parameters)
        return agent.model_copy(
            update={"model": model, "parameters": {**parameters, **agent.parameters}}
        )
