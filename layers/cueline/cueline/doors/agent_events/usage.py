"""How full the model's context is, as the public schema tells it."""

from typing import Any


def context_usage(
    input_tokens: int, output_tokens: int, reasoning_tokens: int, window: int
) -> dict[str, Any]:
    """Tokens of the newest model call; `window` is what the model takes, 0 where unknown."""
    return {
        "input_tokens": {"count": input_tokens},
        "output_tokens": {"count": output_tokens, "reasoning_tokens": reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
        **({"model_context_window": window} if window else {}),
    }
