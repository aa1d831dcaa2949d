"""What may change of a segment that is written: its marks, its notes, and what erasing empties."""

from typing import TYPE_CHECKING

from cueline.adapters.dynamodb.items import (
    events_attribute,
    key_of,
    marks_attribute,
    notes_attribute,
    number,
    segment_sk,
    text,
)
from cueline.log.segment import Segment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UpdateItemInputTypeDef

SAME_SEGMENT = "attempt = :attempt"
"""True where nobody has removed the segment since it was read: a mark does not bring it back."""
NOT_BLANKED = "n = :n"
"""True where it has its events still; of a blanked one an erased event would be the only one."""
NEVER_MARKED = "attribute_not_exists(marks)"
"""True where none of its events has a mark, as was read."""
MARKS_AS_READ = "marks = :marks_read"
"""True where its marks are still those that were read; so what is erased stays erased."""
NEVER_NOTED = "attribute_not_exists(notes)"
"""True where none of its events has other metadata than it was written with, as was read."""
NOTES_AS_READ = "notes = :notes_read"
"""True where its notes are still those that were read; so nobody's change is lost."""


def amendment(
    table: str, session: str, incarnation: int, found: Segment, new: Segment
) -> "UpdateItemInputTypeDef":
    """Writes `new` over `found`, where that is as it was read."""
    as_read = [SAME_SEGMENT, NOT_BLANKED]
    as_read.append(MARKS_AS_READ if found.marks else NEVER_MARKED)
    as_read.append(NOTES_AS_READ if found.notes else NEVER_NOTED)
    values = {":attempt": text(found.attempt), ":n": number(len(found.events))}
    if found.marks:
        values[":marks_read"] = marks_attribute(found)
    if found.notes:
        values[":notes_read"] = notes_attribute(found)
    sets, removes = [], []
    for name, before, after, attribute in (
        ("marks", found.marks, new.marks, marks_attribute),
        ("notes", found.notes, new.notes, notes_attribute),
        ("events", found.events, new.events, events_attribute),
    ):
        if after and after != before:
            sets.append(f"{name} = :{name}")
            values[f":{name}"] = attribute(new)
        elif before and not after:
            removes.append(name)
    changes = {"SET": sets, "REMOVE": removes}
    return {
        "TableName": table,
        "Key": key_of(session, segment_sk(incarnation, found.at)),
        "UpdateExpression": " ".join(f"{k} {', '.join(v)}" for k, v in changes.items() if v),
        "ConditionExpression": " AND ".join(as_read),
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
