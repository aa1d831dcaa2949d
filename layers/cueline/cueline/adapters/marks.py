"""Marks as they are kept beside a segment: as a small JSON object, or not at all."""

import json
from collections.abc import Mapping

from cueline.log.events import Mark


def marks_to_json(marks: Mapping[int, Mark]) -> str:
    return json.dumps(marks, separators=(",", ":"), sort_keys=True) if marks else ""


def marks_from_json(text: str) -> dict[int, Mark]:
    return {int(offset): mark for offset, mark in json.loads(text).items()} if text else {}
