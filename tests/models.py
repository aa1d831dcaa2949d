"""A model that says what a test tells it to; the provider's own failures are tested over HTTP."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from cueline.engine.model import Chunk, End, ModelRequest, TextDelta
from cueline.errors import ModelError

Script = Sequence[Chunk | Exception]


@dataclass
class ScriptedModel:
    """Plays one script a call, then says `ok` for ever; remembers what it was asked."""

    scripts: list[Script] = field(default_factory=list)
    asked: list[ModelRequest] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    """Called before each chunk."""

    def stream(self, request: ModelRequest, deadline: float) -> Generator[Chunk, None, None]:
        self.asked.append(request)
        script = self.scripts.pop(0) if self.scripts else (TextDelta("ok"), End("stop"))
        for chunk in script:
            self.before()
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def overloaded(retry_after: float | None = None) -> ModelError:
    return ModelError("model_rate_limited", "Busy.", retryable=True, retry_after=retry_after)


def refused() -> ModelError:
    return ModelError("model_unauthorized", "No.", retryable=False)
