"""Expiry, where the emulator falls short: its own TTL would emit no stream record.

So TTL stays off there, and this deletes what has expired; the stream tells the collector of METAs.
"""

from typing import Any

from botocore.exceptions import ClientError

EXPIRED = "attribute_exists(#ttl) AND #ttl <= :now"


def sweep(dynamodb: Any, table: str, now: int) -> int:
    """Delete each item whose `ttl` is at or before `now` (epoch seconds); how many there were."""
    removed = 0
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        ProjectionExpression="pk, sk",
        FilterExpression=EXPIRED,
        ExpressionAttributeNames={"#ttl": "ttl"},
        ExpressionAttributeValues={":now": {"N": str(now)}},
    )
    for key in [item for page in pages for item in page["Items"]]:
        try:
            dynamodb.delete_item(
                TableName=table,
                Key=key,
                ConditionExpression=EXPIRED,  # a session may have spoken meanwhile
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
            removed += 1
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
    return removed
