"""Removes what deleted incarnations left. Each round may stop half-way and be done again."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cueline.adapters.answers import answering, code_of
from cueline.adapters.dynamodb.items import (
    AFTER_SEGMENTS,
    BLANK_EVENTS,
    BLANK_STATE,
    FIRST_BEAT,
    FIRST_SEGMENT,
    Item,
    blanked,
    key_of,
    number,
    past_beats,
    past_segments,
    sk_of,
    text,
)
from cueline.adapters.dynamodb.query import between
from cueline.engine.ports import Clock
from cueline.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

THERE = "attribute_exists(pk)"
"""True where nobody has removed the segment in the meantime: it is not brought back as a blank."""

_BATCH = 25
"""Items in one BatchWriteItem."""
_TRIES = 8


class DynamoSweeper:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def blank(self, session: str, incarnation: int) -> None:
        for item in self._old_segments(session, incarnation):
            if blanked(item):
                continue
            with answering("DynamoDB"):
                try:
                    self._client.update_item(
                        TableName=self._table,
                        Key=key_of(session, sk_of(item)),
                        UpdateExpression="SET events = :events, #state = :state, n = :n",
                        ConditionExpression=THERE,
                        ExpressionAttributeNames={"#state": "state"},
                        ExpressionAttributeValues={
                            ":events": text(BLANK_EVENTS),
                            ":state": text(BLANK_STATE),
                            ":n": number(0),
                        },
                    )
                except ClientError as error:
                    if code_of(error) != "ConditionalCheckFailedException":
                        raise

    def clear(self, session: str, incarnation: int) -> None:
        beats = between(self._client, self._table, session, FIRST_BEAT, past_beats(incarnation))
        batch: list[str] = []
        for item in chain(self._old_segments(session, incarnation), beats):
            batch.append(sk_of(item))
            if len(batch) == _BATCH:
                self._remove(session, batch)
                batch = []
        self._remove(session, batch)

    def _old_segments(self, session: str, incarnation: int) -> Iterator[Item]:
        """Up to this incarnation, but the newest of all: above it the next incarnation sorts.

        The newest is found first. Whatever is written later is newer still, and left alone.
        """
        backwards = between(
            self._client,
            self._table,
            session,
            FIRST_SEGMENT,
            AFTER_SEGMENTS,
            page=1,
            forward=False,
        )
        newest = next(map(sk_of, backwards), "")
        past = past_segments(incarnation)
        old = between(self._client, self._table, session, FIRST_SEGMENT, past)
        return (item for item in old if sk_of(item) != newest)

    def _remove(self, session: str, sks: list[str]) -> None:
        pause = 0.05
        for _ in range(_TRIES):
            if not sks:
                return
            writes: list[WriteRequestTypeDef] = [
                {"DeleteRequest": {"Key": key_of(session, sk)}} for sk in sks
            ]
            with answering("DynamoDB"):
                answer = self._client.batch_write_item(RequestItems={self._table: writes})
            refused = answer["UnprocessedItems"].get(self._table, [])
            sks = [sk_of(write["DeleteRequest"]["Key"]) for write in refused]
            if sks:
                self._clock.sleep(pause * self._clock.random())
                pause *= 2
        if sks:
            raise Unavailable("DynamoDB is busy.")
