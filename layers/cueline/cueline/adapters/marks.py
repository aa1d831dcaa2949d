"""What is kept beside a segment, marks and notes: each as one JSON object, or not at all."""

import json
from collections.abc import Mapping
from typing import Any

from cueline.log.events import Mark


def marks_to_json(marks: Mapping[int, Mark]) -> str:
    return json.dumps(marks, separators=(",", ":"), sort_keys=True) if marks else ""


def marks_from_json(text: str) -> dict[int, Mark]:
    return {int(offset): mark for offset, mark in json.loads(text).items()} if text else {}


def notes_to_json(notes: Mapping[int, Mapping[str, Any]]) -> str:
    if not notes:
        return ""
    by_offset = {offset: dict(notes[offset]) for offset in sorted(notes)}
    return json.dumps(by_offset, ensure_ascii=False, separators=(",", ":"))


def notes_from_json(text: str) -> dict[int, dict[str, Any]]:
    return {int(offset): note for offset, note in json.loads(text).items()} if text else {}
