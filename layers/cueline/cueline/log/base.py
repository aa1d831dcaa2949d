"""What every event of a log is made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class LogEvent(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)

    @model_serializer(mode="wrap")
    def _tagged(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type is written always, though it is a default and those are left out."""
        return {"type": getattr(self, "type"), **fields(self)}  # noqa: B009
