"""The bus of EventBridge on which others are told what has happened: at least once."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from cueline.adapters.answers import answering
from cueline.errors import Unavailable

SOURCE = "cueline"


class EventBridgeBus:
    def __init__(self, client: Callable[[], Any], name: str) -> None:
        """`client` is asked for at the first event. Without a name nobody is told anything."""
        self._client, self._name = client, name

    def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        if not self._name:
            return
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": detail_type,
            "Detail": json.dumps(dict(detail), ensure_ascii=False),
        }
        with answering("EventBridge"):
            answer = self._client().put_events(Entries=[entry])
        # The request was fine, and yet an event of it may not have been taken.
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode", "")
            raise Unavailable(f"EventBridge did not take an event: {code}.")
