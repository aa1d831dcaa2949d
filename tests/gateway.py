"""What API Gateway (REST, payload 1.0) hands to a function, and what a function may ask Lambda."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


@dataclass(frozen=True)
class Context:
    function_name: str = "agents"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:agents"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"


def event(
    method: str,
    path: str,
    body: Any = None,
    *,
    query: Mapping[str, str | list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """`body` is text, or what is to be JSON; a list is a query parameter that is there again."""
    given = {k: v if isinstance(v, list) else [v] for k, v in (query or {}).items()}
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"content-type": "application/json", **(headers or {})},
        "queryStringParameters": {name: values[-1] for name, values in given.items()} or None,
        "multiValueQueryStringParameters": given or None,
        "body": text,
        "isBase64Encoded": False,
        "requestContext": {"requestId": REQUEST_ID, "httpMethod": method, "resourcePath": path},
    }


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> "Answer":
        headers = {k.lower(): v[0] for k, v in response["multiValueHeaders"].items()}
        return cls(response["statusCode"], headers, response.get("body") or "")

    @property
    def json(self) -> Any:
        return json.loads(self.text)
