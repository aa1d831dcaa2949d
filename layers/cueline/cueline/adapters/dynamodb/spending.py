"""What was spent: counters that are added to, one item for each account and day."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import ConditionFailed, settled
from cueline.adapters.dynamodb.items import Item, number
from cueline.adapters.dynamodb.records import settled_in, spend_from_item, spend_key
from cueline.engine.ports import Clock, Spend
from cueline.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateItemInputTypeDef

NOTHING_YET = "attribute_not_exists(pk)"
"""True before anything is counted for the account on that day."""
TOKENS_LEFT = "tokens < :most_tokens"
"""True while the account's tokens are below their cap."""
COST_LEFT = "cost < :most_cost"
"""True while what the account's calls cost is below its cap."""
SETTLED_AS_READ = "settled = :read"
"""True where nothing was taken off since this number was read, not by an earlier try either."""

_KEPT = 40 * 86_400
"""Seconds after the last change; a bill of the month before can still be looked at."""
_GIVE_UP_AFTER = 3.0
"""Seconds of conflicts."""
_MOST = 1_000
"""Counters of which the adapter remembers how often they were settled."""


class DynamoSpending:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock
        self._settled: dict[tuple[str, str], int] = {}

    def reserve(
        self, account: str, day: str, amount: Spend, below: tuple[int | None, int | None]
    ) -> bool:
        tokens, cost = below
        left, values = [], {}
        if tokens is not None:
            left.append(TOKENS_LEFT)
            values[":most_tokens"] = number(tokens)
        if cost is not None:
            left.append(COST_LEFT)
            values[":most_cost"] = number(cost)
        condition = " AND ".join(left)
        if left and all(cap > 0 for cap in below if cap is not None):
            condition = f"{NOTHING_YET} OR ({condition})"
        try:
            self._add(account, day, amount, condition, values)
        except ConditionFailed:
            return False
        return True

    def settle(self, account: str, day: str, difference: Spend) -> None:
        more = Spend(max(0, difference.tokens), max(0, difference.cost))
        less = Spend(min(0, difference.tokens), min(0, difference.cost))
        if more != Spend():
            self._add(account, day, more)
        if less != Spend():
            self._take_off(account, day, less)

    def spent(self, account: str, day: str) -> Spend:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=spend_key(account, day), ConsistentRead=True
            )
        return spend_from_item(answer["Item"]) if "Item" in answer else Spend()

    def _take_off(self, account: str, day: str, less: Spend) -> None:
        """Once at most, though the client tries again where an answer is lost.

        Each of these writes names the number of those before it. Where that has changed after a
        lost answer nobody can tell by whom: it is left, since too much is counted rather than too
        little.
        """
        until = self._clock.monotonic() + _GIVE_UP_AFTER
        pause = 0.02
        while True:
            read = self._settled.get((account, day), 0)
            condition = SETTLED_AS_READ if read else f"{NOTHING_YET} OR {SETTLED_AS_READ}"
            try:
                self._add(account, day, less, condition, {":read": number(read)}, settles=1)
            except ConditionFailed as failed:
                item = failed.reasons[0].item
                self._remember(account, day, settled_in(item) if item else 0)
                if failed.repeated:
                    return
            else:
                self._remember(account, day, read + 1)
                return
            if self._clock.monotonic() > until:
                raise Unavailable("Too many changes to this account at once; try again.")
            self._clock.sleep(pause * self._clock.random())
            pause = min(2 * pause, 0.16)

    def _remember(self, account: str, day: str, times: int) -> None:
        if len(self._settled) >= _MOST:
            self._settled.clear()
        self._settled[account, day] = times

    def _add(
        self,
        account: str,
        day: str,
        amount: Spend,
        condition: str = "",
        values: Mapping[str, Item] | None = None,
        *,
        settles: int = 0,
    ) -> None:
        """Raises ConditionFailed."""
        request: UpdateItemInputTypeDef = {
            "TableName": self._table,
            "Key": spend_key(account, day),
            "UpdateExpression": "ADD tokens :tokens, cost :cost, settled :settles SET #ttl = :ttl",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {
                ":tokens": number(amount.tokens),
                ":cost": number(amount.cost),
                ":settles": number(settles),
                ":ttl": number(self._clock.now() // 1000 + _KEPT),
                **(values or {}),
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if condition:
            request["ConditionExpression"] = condition
        settled(self._clock, lambda: self._client.update_item(**request))
