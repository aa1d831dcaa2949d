"""Expiry, where the emulator falls short: its own TTL would emit no stream record.

So TTL stays off there, and this deletes expired METAs; the collector hears of each by the stream.
"""

from typing import Any

from botocore.exceptions import ClientError

EXPIRED = "sk = :meta AND attribute_exists(#ttl) AND #ttl <= :now"
STILL_EXPIRED = "attribute_exists(#ttl) AND #ttl <= :now"  # a session may have spoken meanwhile


def sweep(dynamodb: Any, table: str, now: int) -> int:
    """Delete each META whose `ttl` is at or before `now` (epoch seconds); how many there were."""
    removed = 0
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        ProjectionExpression="pk, sk",
        FilterExpression=EXPIRED,
        ExpressionAttributeNames={"#ttl": "ttl"},
        ExpressionAttributeValues={":meta": {"S": "META"}, ":now": {"N": str(now)}},
    )
    for key in [item for page in pages for item in page["Items"]]:
        try:
            dynamodb.delete_item(
                TableName=table,
                Key=key,
                ConditionExpression=STILL_EXPIRED,
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
            removed += 1
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
    return removed
