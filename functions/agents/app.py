"""Placeholder until the real handler comes."""

from typing import Any


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    return {"statusCode": 501, "headers": {"content-type": "application/json"}, "body": "{}"}
