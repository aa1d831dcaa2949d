"""Removes what deleted incarnations left. Each round may stop half-way and be done again.

One write for each item: it takes no permission that the worker does not have anyway.
"""

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
    FIRST_KEYED,
    FIRST_SEGMENT,
    Item,
    blanked,
    key_of,
    number,
    past_beats,
    past_keyed,
    past_segments,
    sk_of,
    text,
)
from cueline.adapters.dynamodb.query import between

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BLANK = "SET events = :events, #state = :state, n = :n REMOVE marks, notes"
THERE = "attribute_exists(pk)"
"""True where nobody has removed the segment in the meantime: it is not brought back as a blank."""


class DynamoSweeper:
    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def blank(self, session: str, incarnation: int) -> None:
        for item in self._old_segments(session, incarnation):
            if blanked(item):
                continue
            with answering("DynamoDB"):
                try:
                    self._client.update_item(
                        TableName=self._table,
                        Key=key_of(session, sk_of(item)),
                        UpdateExpression=BLANK,
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
        keyed = between(self._client, self._table, session, FIRST_KEYED, past_keyed(incarnation))
        for item in chain(self._old_segments(session, incarnation), beats, keyed):
            with answering("DynamoDB"):
                self._client.delete_item(TableName=self._table, Key=key_of(session, sk_of(item)))

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
