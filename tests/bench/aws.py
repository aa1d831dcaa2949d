"""As much of DynamoDB and SQS as turns and triggers need, and fast: python -m tests.bench.aws PORT

An emulator takes tens of milliseconds of the processor that the measured apps run on, between any
two steps of a turn. Whether Cueline is right is tested elsewhere, on emulators; here it is only
made to work. What this does not know, it refuses.
"""

import asyncio
import hashlib
import json
import sys
import time
import uuid
from bisect import bisect_left, insort
from collections import defaultdict
from typing import Any

from tests.bench.connection import Connection, serve

HEARD = "Bench.Heard"
FREE = "attribute_not_exists(pk)"
FREE_OR_EXPIRED = f"{FREE} OR #ttl <= :now"
FREE_OR_OLD = {
    None,
    FREE,
    FREE_OR_EXPIRED,
    f"{FREE} OR expires_at <= :now",
    f"{FREE} OR incarnation <= :over",
}
"""Conditions of puts. Nothing is old here: what is there is in the way."""
THERE = "attribute_exists(pk)"
BEATS = "ADD beats :one SET #ttl = :ttl"
SETS = {
    "SET gateway = :gateway, opened_at = :now, expires_at = :until, #ttl = :ttl",
    "SET told = :told REMOVE opening, ticket",
}
"""Of connections. The bench opens each once, and in time."""
SECRET = "bench" * 8
"""Signs tokens; the secrets of triggers are derived from it."""
BETWEEN = "pk = :pk AND sk BETWEEN :first AND :last"


class Refused(Exception):  # noqa: N818
    """With an error code of AWS."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code, self.more = code, more


class Table:
    """Items by partition, each with its JSON, so that a query only joins."""

    def __init__(self) -> None:
        self._order = defaultdict[str, list[str]](list)
        self._items: dict[tuple[str, str], dict[str, Any]] = {}
        self._json: dict[tuple[str, str], bytes] = {}
        self._heard: list[bytes] = []
        """What the table's stream has for those who listen, in the order of the writes."""

    def put(self, item: dict[str, Any]) -> None:
        pk, sk = place = item["pk"]["S"], item["sk"]["S"]
        if place not in self._items:
            insort(self._order[pk], sk)
        told = json.dumps(item).encode()
        if "heard" in item and place not in self._items:
            self._heard.append(told)
        self._items[place] = item
        self._json[place] = told

    def put_item(self, body: dict[str, Any]) -> bytes:
        item = body["Item"]
        found = self._items.get((item["pk"]["S"], item["sk"]["S"]))
        if body.get("ConditionExpression") not in FREE_OR_OLD:
            raise Refused("ValidationException")
        if found and "ConditionExpression" in body:
            raise Refused("ConditionalCheckFailedException", Item=found)
        self.put(item)
        return b"{}"

    def batch_write_item(self, body: dict[str, Any]) -> bytes:
        for requests in body["RequestItems"].values():
            for request in requests:
                self.put(request["PutRequest"]["Item"])
        return b'{"UnprocessedItems": {}}'

    def get_item(self, body: dict[str, Any]) -> bytes:
        found = self._json.get((body["Key"]["pk"]["S"], body["Key"]["sk"]["S"]))
        return b'{"Item": %s}' % found if found else b"{}"

    def update_item(self, body: dict[str, Any]) -> bytes:
        if body["UpdateExpression"] in SETS:
            return b'{"Attributes": %s}' % self._set(body)
        if body["UpdateExpression"] != BEATS:
            raise Refused("ValidationException")
        place = body["Key"]["pk"]["S"], body["Key"]["sk"]["S"]
        beats = int(self._items.get(place, {"beats": {"N": "0"}})["beats"]["N"]) + 1
        values = body["ExpressionAttributeValues"]
        self.put({**body["Key"], "beats": {"N": str(beats)}, "ttl": values[":ttl"]})
        return b"{}"

    def transact_write_items(self, body: dict[str, Any]) -> bytes:
        """Of the conditions only those of puts and of checks are looked at."""
        updates = [each["Update"] for each in body["TransactItems"] if "Update" in each]
        puts = [each["Put"] for each in body["TransactItems"] if "Put" in each]
        checks = [e["ConditionCheck"] for e in body["TransactItems"] if "ConditionCheck" in e]
        if (
            len(updates) + len(puts) + len(checks) < len(body["TransactItems"])
            or any(update["UpdateExpression"] not in SETS for update in updates)
            or any(put.get("ConditionExpression") not in FREE_OR_OLD for put in puts)
            or not all(map(self._holds, checks))
        ):
            raise Refused("ValidationException")
        found = [self._in_the_way(put) for put in puts]
        if not updates and any(found):
            reasons = [
                {"Code": "ConditionalCheckFailed", "Item": item} if item else {"Code": "None"}
                for item in [*found, *(None for _ in checks)]
            ]
            raise Refused("TransactionCanceledException", CancellationReasons=reasons)
        for update in updates:
            self._set(update)
        for put in puts:
            self.put(put["Item"])
        return b"{}"

    def _holds(self, check: dict[str, Any]) -> bool:
        place = check["Key"]["pk"]["S"], check["Key"]["sk"]["S"]
        return check["ConditionExpression"] == THERE and place in self._items

    def _in_the_way(self, put: dict[str, Any]) -> dict[str, Any] | None:
        item = put["Item"]
        found = self._items.get((item["pk"]["S"], item["sk"]["S"]))
        return found if "ConditionExpression" in put else None

    def _set(self, update: dict[str, Any]) -> bytes:
        place = update["Key"]["pk"]["S"], update["Key"]["sk"]["S"]
        names, values = update.get("ExpressionAttributeNames", {}), {}
        sets, _, removed = update["UpdateExpression"].removeprefix("SET ").partition(" REMOVE ")
        for each in sets.split(", "):
            name, _, value = each.partition(" = ")
            values[names.get(name, name)] = update["ExpressionAttributeValues"][value]
        left = {k: v for k, v in self._items[place].items() if k not in removed.split(", ")}
        self.put({**left, **values})
        return self._json[place]

    def heard(self, body: dict[str, Any]) -> bytes:
        """From the `since`-th on. AWS has a stream for it."""
        return b"[%s]" % b", ".join(self._heard[body["since"] :])

    def query(self, body: dict[str, Any]) -> bytes:
        if body["KeyConditionExpression"] != BETWEEN or "IndexName" in body:
            raise Refused("ValidationException")
        values = body["ExpressionAttributeValues"]
        pk, first, last = (values[name]["S"] for name in (":pk", ":first", ":last"))
        order = self._order[pk]
        low, high = bisect_left(order, first), bisect_left(order, last + "\0")
        since = body.get("ExclusiveStartKey")
        if body.get("ScanIndexForward", True):
            start = bisect_left(order, since["sk"]["S"] + "\0") if since else low
            keys = order[max(low, start) : high]
        else:
            end = bisect_left(order, since["sk"]["S"]) if since else high
            keys = order[low : min(high, end)][::-1]
        page: list[bytes] = []
        size = 0
        for sk in keys[: body.get("Limit", len(keys))]:
            page.append(self._json[pk, sk])
            size += len(page[-1])
            if size > 1_048_576:
                break
        told = b'"Items": [%s], "Count": %d' % (b", ".join(page), len(page))
        if len(page) < len(keys) or len(page) == body.get("Limit"):
            key = {"pk": {"S": pk}, "sk": {"S": keys[len(page) - 1]}}
            told += b', "LastEvaluatedKey": ' + json.dumps(key).encode()
        return b"{%s}" % told


class Queue:
    """A standard queue, with delays and a visibility timeout."""

    VISIBILITY = 300.0

    def __init__(self) -> None:
        self._messages: dict[str, tuple[float, str]] = {}

    def send_message(self, body: dict[str, Any]) -> bytes:
        receipt, text = str(uuid.uuid4()), body["MessageBody"]
        self._messages[receipt] = time.monotonic() + body.get("DelaySeconds", 0), text
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return json.dumps({"MessageId": receipt, "MD5OfMessageBody": digest}).encode()

    def receive_message(self, _: dict[str, Any]) -> bytes:
        now = time.monotonic()
        ready = [m for m in self._messages.items() if m[1][0] <= now][:10]
        for receipt, (_at, text) in ready:
            self._messages[receipt] = now + self.VISIBILITY, text
        told = [{"MessageId": r, "ReceiptHandle": r, "Body": text} for r, (_at, text) in ready]
        return json.dumps({"Messages": told} if told else {}).encode()

    def delete_message(self, body: dict[str, Any]) -> bytes:
        self._messages.pop(body["ReceiptHandle"], None)
        return b"{}"

    def purge_queue(self, _: dict[str, Any]) -> bytes:
        self._messages.clear()
        return b"{}"


def secret(_: dict[str, Any]) -> bytes:
    return json.dumps({"SecretString": SECRET}).encode()


TABLE, QUEUE = Table(), Queue()
OPERATIONS = {
    "DynamoDB_20120810.PutItem": TABLE.put_item,
    "DynamoDB_20120810.BatchWriteItem": TABLE.batch_write_item,
    "DynamoDB_20120810.GetItem": TABLE.get_item,
    "DynamoDB_20120810.UpdateItem": TABLE.update_item,
    "DynamoDB_20120810.TransactWriteItems": TABLE.transact_write_items,
    "DynamoDB_20120810.Query": TABLE.query,
    "AmazonSQS.SendMessage": QUEUE.send_message,
    "AmazonSQS.ReceiveMessage": QUEUE.receive_message,
    "AmazonSQS.DeleteMessage": QUEUE.delete_message,
    "AmazonSQS.PurgeQueue": QUEUE.purge_queue,
    "secretsmanager.GetSecretValue": secret,
    HEARD: TABLE.heard,
}


def refuse(_: dict[str, Any]) -> bytes:
    raise Refused("UnknownOperationException")


class Aws(Connection):
    async def answer(self, headers: dict[bytes, bytes], body: bytes) -> None:
        target = headers[b"x-amz-target"].decode()
        kind = "application/x-amz-json-1.0"
        try:
            self.whole(OPERATIONS.get(target, refuse)(json.loads(body)), kind=kind)
        except Refused as refused:
            code = f"com.amazonaws#{refused.code}"
            told = {"__type": code, "message": f"{refused.code} at {target}", **refused.more}
            self.whole(json.dumps(told).encode(), kind=kind, status="400 Bad Request")


if __name__ == "__main__":
    asyncio.run(serve(Aws, int(sys.argv[1])))
