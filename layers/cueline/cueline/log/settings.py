"""What a session's application has set during it: stands for the agent's own."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class TurnDetection(_Frozen):
    """When the end of what somebody says aloud is taken for one; kept for clients with a voice."""

    threshold: float | None = None
    """0 to 1."""
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None


class Settings(_Frozen):
    """None is: as the agent has it."""

    instructions: str | None = None
    """Stand for all of the agent's own."""
    temperature: float | None = None
    turn_detection: TurnDetection | None = None

    def merged(self, change: "Settings") -> "Settings":
        """With what `change` sets, on every level; all else as it was."""
        return Settings.model_validate(_merged(_given(self), _given(change)))


def _given(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(exclude_none=True)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = {**old, **new}
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict):
            merged[name] = _merged(old[name], new[name])
    return merged
