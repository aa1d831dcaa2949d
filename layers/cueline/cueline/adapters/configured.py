"""A model with what its deployment says about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cueline.engine.model import Chunks, Model, ModelRequest


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """`name` stands for every other name; `parameters` are under those of the request."""

    model: Model
    name: str
    parameters: Mapping[str, Any]

    def stream(self, request: ModelRequest, deadline: float) -> Chunks:
        configured = replace(
            request,
            model=self.name or request.model,
            parameters={**self.parameters, **request.parameters},
        )
        return self.model.stream(configured, deadline)
