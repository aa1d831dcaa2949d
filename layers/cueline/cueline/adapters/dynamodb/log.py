"""The log: one conditional write, one query for the tail, one for the events after an offset."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.amendments import amendment
from cueline.adapters.dynamodb.conflicts import FREE, ConditionFailed, settled
from cueline.adapters.dynamodb.items import (
    FIRST_SEGMENT,
    META,
    Item,
    attempt_of,
    blanked,
    expires_in,
    incarnation_in,
    key_of,
    keyed_sk,
    number,
    offset_in,
    past_segments,
    recorded_in,
    segment_from_item,
    segment_sk,
    segment_to_item,
    session_from_item,
    size_of,
    sk_of,
    state_in,
)
from cueline.adapters.dynamodb.query import between
from cueline.adapters.dynamodb.records import keyed_from_item, keyed_to_item
from cueline.adapters.expiry import keyed_until
from cueline.adapters.filling import Filling
from cueline.adapters.marks import annotated
from cueline.adapters.sizes import check_noted
from cueline.engine.ports import Clock
from cueline.errors import Unavailable
from cueline.log.events import Mark, Recorded
from cueline.log.segment import MAX_EVENTS, Head, Keyed, Segment, Tail
from cueline.log.state import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, UpdateItemInputTypeDef

EXPIRED = "#ttl <= :now"
"""True where an idempotency key has had its day, and the table has not removed it yet."""

_HEAD_PAGE = 2
"""META, where there is one, and the newest segment."""
_SMALLEST_PAGE = 16
_WINDOW_PAGE = 128
"""META and the segments of some 60 turns. More would be a megabyte, where they are large."""
_MOST_FLOORS = 1_000
_SMALL_SEGMENT = 400
"""Bytes, as stored: a window has hardly more segments than so many of them fill."""


class DynamoLog:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock
        self._floors: dict[str, str] = {}
        """Session -> the key from which on its segments are needed, as far as is known here."""

    def tail(self, session: str, window: int = 0) -> Tail:
        meta, newest, at = None, 0, 0
        items: list[Item] = []  # of segments, the newest first
        last, needed = None, 0
        filling = Filling(window, sys.maxsize)

        def further() -> tuple[int, str]:
            if at > filling.next:
                return _page(filling.room), segment_sk(newest, filling.next)
            return _further(items[-_WINDOW_PAGE:], filling.room), ""

        newest_first = between(
            self._client,
            self._table,
            session,
            self._floors.get(session, FIRST_SEGMENT),
            META,
            page=_page(window),
            further=further,
            forward=False,
        )
        for item in newest_first:
            if sk_of(item) == META:
                meta = session_from_item(item)
                newest = meta.incarnation
                continue
            if incarnation_in(item) < newest:
                break
            newest, at = incarnation_in(item), offset_in(item)
            if at > filling.next:
                continue
            if not filling.takes(at, size_of(item), state_in(item)) and items:
                break
            items.append(item)
            if not last:
                last = segment_from_item(item)
                needed = last.state.needed
            if filling.room <= 0 or at <= needed:
                break
        if not last:
            return Tail(meta, Head(newest, 0, State()))
        if needed > 0 and offset_in(items[-1]) <= needed:
            self._note_floor(session, sk_of(items[-1]))
        head = Head(newest, last.end, last.state, last.written_at)
        if last.state.deleted:
            return Tail(meta, head)
        parts = chain(map(recorded_in, items[:0:-1]), [last.recorded()])
        events = tuple(chain.from_iterable(parts))
        return Tail(meta, head, events, whole=offset_in(items[-1]) == 0)

    def _note_floor(self, session: str, key: str) -> None:
        """What lies before the newest compaction is not read, nor paid for, where it is known."""
        if len(self._floors) >= _MOST_FLOORS:
            self._floors.clear()
        self._floors[session] = key

    def append(
        self, session: str, incarnation: int, segment: Segment, keyed: Keyed | None = None
    ) -> Segment | Keyed | None:
        put: PutTypeDef = {
            "TableName": self._table,
            "Item": segment_to_item(session, incarnation, segment),
            "ConditionExpression": FREE,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            if keyed:
                self._put_both(self._key(session, incarnation, keyed, segment.attempt), put)
            else:
                # Somebody's transaction may hold the place for a moment.
                settled(self._clock, lambda: self._client.put_item(**put))
        except ConditionFailed as failed:
            first, found = next((n, r.item) for n, r in enumerate(failed.reasons) if r.failed)
            if not found:
                raise
            if attempt_of(found) == segment.attempt:
                return None  # an earlier try of this very write, whose answer was lost
            return keyed_from_item(found) if keyed and first == 0 else segment_from_item(found)
        return None

    def keyed(self, session: str, incarnation: int, key: str) -> Keyed | None:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table,
                Key=key_of(session, keyed_sk(incarnation, key)),
                ConsistentRead=True,
            )
        found = answer.get("Item")
        fresh = found and expires_in(found) > self._clock.now() // 1000
        return keyed_from_item(found) if found and fresh else None

    def claim(self, session: str, incarnation: int, keyed: Keyed) -> Keyed:
        put = self._key(session, incarnation, keyed, self._clock.id())
        try:
            settled(self._clock, lambda: self._client.put_item(**put))
        except ConditionFailed as failed:
            if not (found := failed.reasons[0].item):
                raise Unavailable("DynamoDB does not say what is there.") from failed
            return keyed_from_item(found)
        return keyed

    def segment(
        self, session: str, incarnation: int, at: int, *, lags: bool = False
    ) -> Segment | None:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table,
                Key=key_of(session, segment_sk(incarnation, at)),
                ConsistentRead=not lags,
            )
        return segment_from_item(answer["Item"]) if "Item" in answer else None

    def read(self, session: str, incarnation: int, after: int, limit: int) -> Sequence[Recorded]:
        if limit < 1:
            return ()
        # The segment that holds the next event may have started so much before.
        first = segment_sk(incarnation, max(0, after - (MAX_EVENTS - 1)))
        past = past_segments(incarnation)
        events: list[Recorded] = []
        last = State()
        # Turns have some two events a segment; a wrong guess costs another page, nothing else.
        for item in self._stretch(session, first, past, limit // 2 + MAX_EVENTS):
            segment = segment_from_item(item)
            last = segment.state
            events += (e for e in segment.recorded() if e.offset > after)
            if last.deleted or len(events) >= limit:
                break
        else:
            return tuple(events)
        # Not at the end, so a tombstone may be further on.
        return () if last.deleted or self._deleted(session, incarnation) else tuple(events[:limit])

    def mark(
        self, session: str, incarnation: int, offset: int, mark: Mark | None
    ) -> Recorded | None:
        return self._amend(session, incarnation, offset, lambda found: found.marked(offset, mark))

    def annotate(
        self,
        session: str,
        incarnation: int,
        offset: int,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Recorded | None:
        def noted(found: Segment) -> Segment:
            new = annotated(found, offset, change)
            if new is not found:
                check_noted(size_of(segment_to_item(session, incarnation, new)))
            return new

        found = self._amend(session, incarnation, offset, noted)
        return found if found and found.mark != "erased" else None

    def _amend(
        self, session: str, incarnation: int, offset: int, change: Callable[[Segment], Segment]
    ) -> Recorded | None:
        """Writes the segment with this event as `change` makes it, over whatever others make it."""
        first, last = max(0, offset - (MAX_EVENTS - 1)), offset
        places = segment_sk(incarnation, first), segment_sk(incarnation, last)
        item = next(self._stretch(session, *places, 1, forward=False), None)
        if self._deleted(session, incarnation):
            return None
        while item and not blanked(item):
            found = segment_from_item(item)
            if offset >= found.end:
                return None
            new = change(found)
            try:
                if new is not found:
                    self._update(amendment(self._table, session, incarnation, found, new))
            except ConditionFailed as failed:
                item = failed.reasons[0].item
                # An earlier try of this very write may be the reason, whose answer was lost.
                if item and segment_from_item(item) == new:
                    return new.recorded()[offset - new.at]
            else:
                return new.recorded()[offset - new.at]
        return None

    def _update(self, request: "UpdateItemInputTypeDef") -> None:
        """Raises ConditionFailed."""
        settled(self._clock, lambda: self._client.update_item(**request))

    def _deleted(self, session: str, incarnation: int) -> bool:
        first, past = segment_sk(incarnation, 0), past_segments(incarnation)
        newest = next(self._stretch(session, first, past, 1, forward=False), None)
        return newest is None or segment_from_item(newest).state.deleted

    def _key(self, session: str, incarnation: int, keyed: Keyed, attempt: str) -> "PutTypeDef":
        now = self._clock.now()
        return {
            "TableName": self._table,
            "Item": keyed_to_item(session, incarnation, keyed, attempt, keyed_until(now)),
            "ConditionExpression": f"{FREE} OR {EXPIRED}",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {":now": number(now // 1000)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _put_both(self, key: "PutTypeDef", segment: "PutTypeDef") -> None:
        settled(
            self._clock,
            lambda: self._client.transact_write_items(
                TransactItems=[{"Put": key}, {"Put": segment}]
            ),
        )

    def _stretch(
        self, session: str, first: str, last: str, page: int, *, forward: bool = True
    ) -> Iterator[Item]:
        return between(self._client, self._table, session, first, last, page=page, forward=forward)


def _page(window: int) -> int:
    """META and the newest segment, or as many as the window may have."""
    return max(_HEAD_PAGE, min(_WINDOW_PAGE, window // _SMALL_SEGMENT))


def _further(latest: Sequence[Item], room: int) -> int:
    """How many more segments to ask for, where these were read last and there is so much room.

    Enough to fill it if the older ones are as large, and a little over. Without a limit it would
    be a megabyte, however little of it fits: each item that is read is paid for and parsed.
    """
    likely = room * len(latest) // max(1, sum(map(size_of, latest)))
    return max(_SMALLEST_PAGE, likely + likely // 16)
