"""What is kept beside a segment, marks and notes: each as one JSON object, or not at all."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cueline.adapters.sizes import check_note
from cueline.log.events import Mark
from cueline.log.segment import Segment


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


def annotated(
    segment: Segment, offset: int, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Segment:
    """As `Segment.annotated`, with the notes as they will be read. Raises TooLarge."""
    new = segment.annotated(offset, change)
    if new is segment:
        return segment
    check_note(new.notes[offset])
    return replace(new, notes=notes_from_json(notes_to_json(new.notes)))
