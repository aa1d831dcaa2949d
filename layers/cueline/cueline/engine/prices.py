"""What models take and cost: a table that the deployment gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from cueline.engine.ports import Spend


class Price(BaseModel):
    """Of one model. Prices are in US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    context_window: int = Field(default=128_000, ge=1_000)
    """Tokens that input and output may have together."""
    max_output: int = Field(default=16_384, ge=1)
    """Tokens of one answer."""
    input: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    output: float = Field(default=0.0, ge=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Prices:
    """By model name, or by the start of it; `*` is for all others."""

    table: Mapping[str, Price] = field(default_factory=dict)

    def of(self, model: str) -> Price:
        """Of a model that the table does not have, a guess of its size, and no price."""
        return self.known(model) or Price()

    def known(self, model: str) -> Price | None:
        fitting = [name for name in self.table if model.startswith(name)]
        return self.table.get(max(fitting, key=len, default="*"))

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> int:
        """Nanodollars."""
        price = self.of(model)
        return round(1_000 * (input_tokens * price.input + output_tokens * price.output))

    def spend(self, model: str, input_tokens: int, output_tokens: int) -> Spend:
        return Spend(input_tokens + output_tokens, self.cost(model, input_tokens, output_tokens))
