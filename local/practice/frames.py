"""One server-sent event of either API, before it is bytes."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Frame:
    """`is_token` frames come at the pace of a model; `is_end` ones close the answer."""

    data: dict[str, Any] | str
    event: str = ""
    is_token: bool = False
    is_end: bool = False

    def encode(self) -> bytes:
        data = self.data if isinstance(self.data, str) else _json(self.data)
        name = f"event: {self.event}\n" if self.event else ""
        return f"{name}data: {data}\n\n".encode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
