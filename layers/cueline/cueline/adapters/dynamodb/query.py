"""The queries that there are: a stretch of a partition, a part of a list, and all of one."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.items import INDEX, Item, text
from cueline.adapters.page_keys import page_key, rank, rank_in
from cueline.engine.ports import WHOLE, Page, Part, Place

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

T = TypeVar("T")


class Placed(Protocol):
    @property
    def place(self) -> Place: ...


P = TypeVar("P", bound=Placed)


def between(
    client: "DynamoDBClient",
    table: str,
    pk: str,
    first: str,
    last: str,
    *,
    page: int = 1000,
    further: Callable[[], tuple[int, str]] | None = None,
    forward: bool = True,
) -> Iterator[Item]:
    """Strongly consistent; asks for a further page of items only where the reader goes on.

    `further` is asked how many items each page after the first should have, if not `page`; and,
    on the way backwards, for the key from which to go on, where what is before that is not wanted.
    """
    bounds = {":pk": text(pk), ":first": text(first), ":last": text(last)}
    request: QueryInputTypeDef = {
        "TableName": table,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": bounds,
        "ScanIndexForward": forward,
        "ConsistentRead": True,
        "Limit": page,
    }
    while True:
        with answering("DynamoDB"):
            answer = client.query(**request)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        if further:
            request["Limit"], nearer = further()
            if nearer:
                del request["ExclusiveStartKey"]
                bounds[":last"] = text(nearer)


def listed(
    client: "DynamoDBClient",
    table: str,
    name: str,
    limit: int,
    given: str | None,
    from_item: Callable[[Item], T],
) -> Page[T]:
    """Part of the list `name`, oldest first. Raises InvalidPageKey. Lags behind the writes."""
    after = rank_in(given, name)
    found: list[Item] = []
    more = True
    while more and len(found) <= limit:  # one more than wanted tells whether there is a next part
        with answering("DynamoDB"):
            answer = client.query(
                TableName=table,
                IndexName=INDEX,
                KeyConditionExpression="#list = :list AND #rank > :after",
                ExpressionAttributeNames={"#list": "list", "#rank": "rank"},
                ExpressionAttributeValues={":list": text(name), ":after": text(after)},
                Limit=limit + 1 - len(found),
            )
        found += answer["Items"]
        more = "LastEvaluatedKey" in answer
        after = str(found[-1]["rank"]["S"]) if found else after
    items = [from_item(item) for item in found[:limit]]
    following = page_key(name, found[limit - 1]["rank"]["S"]) if len(found) > limit else None
    return Page(items, following)


def everything(
    client: "DynamoDBClient",
    table: str,
    index: str,
    attribute: str,
    name: str,
    *,
    part: Part = WHOLE,
    begin: str = "",
) -> Iterator[Item]:
    """All whose `attribute`, by which the index has them, is `name`: in the order of their ranks.

    Those of the part from the rank `begin` on, that of its own begin: which comes, too. Page by
    page, as far as somebody asks, each page twice as long. Lags behind the writes.
    """
    request: QueryInputTypeDef = {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": "#attribute = :name",
        "ExpressionAttributeNames": {"#attribute": attribute},
        "ExpressionAttributeValues": {":name": text(name)},
        "ScanIndexForward": not part.newest_first,
    }
    if begin:
        behind = "<=" if part.newest_first else ">="
        request["KeyConditionExpression"] = f"#attribute = :name AND #rank {behind} :begin"
        request["ExpressionAttributeNames"] = {"#attribute": attribute, "#rank": "rank"}
        request["ExpressionAttributeValues"] = {":name": text(name), ":begin": text(begin)}
    page = part.ahead
    while True:
        if page:
            request["Limit"] = page
        with answering("DynamoDB"):
            answer = client.query(**request)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        page *= 2


def all_listed(
    client: "DynamoDBClient", table: str, name: str, part: Part, from_item: Callable[[Item], P]
) -> Iterator[P]:
    """What the list `name` has of the part, by places that are ranks. Lags behind the writes."""
    begin = rank(*part.after) if part.after else ""
    found = everything(client, table, INDEX, "list", name, part=part, begin=begin)
    return (one for one in map(from_item, found) if part.beyond(one.place))
