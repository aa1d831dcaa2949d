"""What a session says of itself, field by field as text; what is at its default is left out."""

import json
from collections.abc import Mapping
from typing import Any

from cueline.adapters.sizes import check_size, size
from cueline.log.segment import Session
from cueline.log.triggers import BuyTime, FollowUp

FIELDS = (
    *("name", "description", "metadata", "customer", "labels", "consumed"),
    *("answers", "mode", "follow_ups", "buy_time"),
)


def session_to_texts(session: Session) -> dict[str, str]:
    """By field. Raises TooLarge where the session would not fit into an item."""
    texts = {"name": session.name, "metadata": _json(dict(session.metadata))}
    if session.description is not None:
        texts["description"] = session.description
    if session.customer != "guest":
        texts["customer"] = session.customer
    if session.labels:
        texts["labels"] = _json(session.labels)
    if session.consumed:
        texts["consumed"] = _json(dict(session.consumed))
    if session.answers:
        texts["answers"] = session.answers
    if session.mode != "auto":
        texts["mode"] = session.mode
    if session.follow_ups is not None:
        ladder = [rung.model_dump(exclude_defaults=True) for rung in session.follow_ups]
        texts["follow_ups"] = _json(ladder)
    if session.buy_time:
        texts["buy_time"] = _json(session.buy_time.model_dump(exclude_defaults=True))
    check_size(sum(map(size, texts.values())))
    return texts


def session_fields(texts: Mapping[str, str]) -> dict[str, Any]:
    """The other way round."""
    fields: dict[str, Any] = {**texts, "metadata": json.loads(texts["metadata"])}
    if "labels" in texts:
        fields["labels"] = tuple(json.loads(texts["labels"]))
    if "consumed" in texts:
        fields["consumed"] = json.loads(texts["consumed"])
    if "follow_ups" in texts:
        ladder = json.loads(texts["follow_ups"])
        fields["follow_ups"] = tuple(FollowUp.model_validate(rung) for rung in ladder)
    if "buy_time" in texts:
        fields["buy_time"] = BuyTime.model_validate(json.loads(texts["buy_time"]))
    return fields


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
