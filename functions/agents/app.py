"""Placeholder until the real handler comes."""

from typing import Any


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    status = 200 if event["path"] == "/healthz" else 501
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": "{}"}
