"""META items: written under conditions, so that nobody's change is lost."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from cueline.adapters import expiry
from cueline.adapters.answers import answering, code_of
from cueline.adapters.dynamodb.conflicts import FREE, UNCHANGED, ConditionFailed, put, settled
from cueline.adapters.dynamodb.items import (
    META,
    SESSIONS_INDEX,
    SHARDS,
    attempt_of,
    key_of,
    number,
    session_from_item,
    session_to_item,
    sessions_list,
    shards,
)
from cueline.adapters.dynamodb.query import everything, listed
from cueline.adapters.dynamodb.records import agent_key
from cueline.adapters.page_keys import rank
from cueline.engine.ports import WHOLE, Clock, Page, Part
from cueline.errors import AgentNotFound
from cueline.log.segment import Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, PutTypeDef

OLDER = "incarnation <= :over"
"""True where the key has only a session that its maker found deleted or expired."""
AGENT_THERE = "attribute_exists(pk)"
"""True where the agent has not been deleted."""
SAME = "incarnation = :incarnation"
"""True where the session has not been made again under its key."""
HINT_NEAR = "#ttl < :near"
"""True where the collector's hint has not been moved yet; never for a session without expiry."""

_log = logging.getLogger(__name__)


class DynamoSessions:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def create(self, session: Session, over: int) -> bool:
        attempt = self._clock.id()
        new: PutTypeDef = {
            "TableName": self._table,
            "Item": session_to_item(session, attempt, self._clock.now()),
            "ConditionExpression": f"{FREE} OR {OLDER}",
            "ExpressionAttributeValues": {":over": number(over)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        check: ConditionCheckTypeDef = {
            "TableName": self._table,
            "Key": agent_key(session.agent_key),
            "ConditionExpression": AGENT_THERE,
        }
        try:
            settled(
                self._clock,
                lambda: self._client.transact_write_items(
                    TransactItems=[{"Put": new}, {"ConditionCheck": check}]
                ),
            )
        except ConditionFailed as failed:
            meta, agent = failed.reasons
            if meta.item and attempt_of(meta.item) == attempt:
                return True  # a first attempt, whose answer was lost
            if agent.failed:
                raise AgentNotFound(session.agent_key) from None
            return False
        return True

    def replace(self, session: Session) -> bool:
        return put(
            self._client,
            self._clock,
            self._table,
            session_to_item(session, self._clock.id(), self._clock.now()),
            f"{SAME} AND {UNCHANGED}",
            {
                ":incarnation": number(session.incarnation),
                ":read": number(session.version - 1),
            },
        )

    def touch(self, session: Session, now: int) -> None:
        if not expiry.due(session, now):
            return
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key_of(session.id, META),
                UpdateExpression="SET #ttl = :hint",
                ConditionExpression=f"{SAME} AND {HINT_NEAR}",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={
                    ":incarnation": number(session.incarnation),
                    ":near": number(expiry.near(session.tti_minutes, now)),
                    ":hint": number(expiry.hint(session.tti_minutes, now)),
                },
            )
        except (BotoCoreError, ClientError) as error:
            if not (isinstance(error, ClientError) and _unmet(error)):
                _log.warning("The hint of session %s was not moved: %s", session.id, error)

    def remove(self, session: str, incarnation: int) -> None:
        with answering("DynamoDB"):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=key_of(session, META),
                    ConditionExpression=SAME,
                    ExpressionAttributeValues={":incarnation": number(incarnation)},
                )
            except ClientError as error:
                if not _unmet(error):
                    raise

    def list(self, agent_key: str, limit: int, page_key: str | None) -> Page[Session]:
        name = sessions_list(agent_key)
        return listed(self._client, self._table, name, limit, page_key, session_from_item)

    def all(self, part: Part = WHOLE) -> Iterator[Session]:
        # Each shard has its share of what will be looked at, and a few more.
        each = replace(part, ahead=part.ahead and part.ahead // SHARDS + 8)
        begin = rank(part.after[0], part.after[1].partition("#")[0]) if part.after else ""
        place = attrgetter("place")

        def in_order(shard: str) -> Iterator[Session]:
            found = everything(
                self._client, self._table, SESSIONS_INDEX, "shard", shard, part=each, begin=begin
            )
            # Those of one rank, of several agents, are in no order.
            for _, same in groupby(map(session_from_item, found), lambda s: s.place[0]):
                yield from sorted(same, key=place, reverse=part.newest_first)

        merged = merge(*map(in_order, shards()), key=place, reverse=part.newest_first)
        return (session for session in merged if part.beyond(session.place))


def _unmet(error: ClientError) -> bool:
    return code_of(error) == "ConditionalCheckFailedException"
