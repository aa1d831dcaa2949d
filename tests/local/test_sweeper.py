"""What has expired goes, all else stays."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.sweeper import sweep

NOW = 1_795_168_800


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1", None, None, None, None, "test", "test")
        client.create_table(
            TableName="table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        yield client


def put(client: Any, pk: str, sk: str, ttl: int | None) -> None:
    item = {"pk": {"S": pk}, "sk": {"S": sk}}
    client.put_item(TableName="table", Item=item | ({"ttl": {"N": str(ttl)}} if ttl else {}))


def test_only_what_has_expired_goes(dynamodb: Any) -> None:
    put(dynamodb, "expired", "META", NOW)
    put(dynamodb, "expired", "E#1", None)
    put(dynamodb, "live", "META", NOW + 1)
    put(dynamodb, "endless", "META", None)
    put(dynamodb, "other", "KEY", None)
    for sk in ("R#1#a", "B#1#t"):
        put(dynamodb, "live", sk, NOW - 1)
    put(dynamodb, "live", "R#1#b", NOW + 1)
    assert sweep(dynamodb, "table", NOW) == 3
    left = {(i["pk"]["S"], i["sk"]["S"]) for i in dynamodb.scan(TableName="table")["Items"]}
    assert left == {
        ("expired", "E#1"),
        ("live", "META"),
        ("live", "R#1#b"),
        ("endless", "META"),
        ("other", "KEY"),
    }


def test_a_session_that_spoke_meanwhile_stays(dynamodb: Any) -> None:
    put(dynamodb, "s", "META", NOW - 1)

    class Late:
        """A client between whose look and whose delete the session speaks."""

        get_paginator = dynamodb.get_paginator

        def delete_item(self, **arguments: Any) -> None:
            put(dynamodb, "s", "META", NOW + 60)
            # The real call, with the real condition.
            self.exceptions = dynamodb.exceptions
            dynamodb.delete_item(**arguments)

    assert sweep(Late(), "table", NOW) == 0
    assert dynamodb.scan(TableName="table")["Count"] == 1
