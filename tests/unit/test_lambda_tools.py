"""Lambda functions as tools: one invocation a call, and errors without their stack traces."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from cueline.adapters import aws
from cueline.adapters.tools.found import Found, ToolError
from cueline.adapters.tools.lambda_ import lambda_tool
from cueline.engine.agent import LambdaTool
from cueline.engine.tools import ToolResult


class Raw(io.BytesIO):
    def stream(self, **_: object) -> Any:
        yield self.read()


class Service:
    """Stands where botocore would send; answers each request alike."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.status, self.body = 200, b"{}"
        self.headers: Any = {}
        self.failure: Exception | None = None

    def answer(self, request: Any, **_: object) -> Any:
        self.sent.append(request)
        if self.failure:
            raise self.failure
        return AWSResponse(request.url, self.status, self.headers, Raw(self.body))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Service()


@pytest.fixture
def tool(service: Service) -> Callable[..., Found]:
    client = aws.lambda_client()
    client.meta.events.register("before-send.lambda.Invoke", service.answer)

    def made(function: str = "cueline-tool-weather", **more: Any) -> Found:
        configured = LambdaTool(tool_id="t", function_name=function, **more)
        return lambda_tool("it", configured, lambda: client)

    return made


def test_the_arguments_are_the_event_and_the_answer_is_the_output(
    service: Service, tool: Callable[..., Found]
) -> None:
    service.body = b'{"degrees": 20}'
    result = tool().run({"city": "B\u00fc"}, 5.0)
    assert result == ToolResult('{"degrees": 20}')
    (sent,) = service.sent
    assert json.loads(sent.body) == {"city": "Bü"}
    assert sent.url.endswith("/functions/cueline-tool-weather/invocations")
    assert sent.headers["X-Amz-Invocation-Type"] in {b"RequestResponse", "RequestResponse"}


def test_a_text_is_not_quoted(service: Service, tool: Callable[..., Found]) -> None:
    service.body = b'"20 \\u00b0C"'
    assert tool().run({}, 5.0) == ToolResult("20 °C")


def test_what_a_function_raises_is_told_without_where(
    service: Service, tool: Callable[..., Found]
) -> None:
    service.headers = {"x-amz-function-error": "Unhandled"}
    failure = {"errorMessage": "no city " * 200, "stackTrace": ["/var/task/app.py, line 3"]}
    service.body = json.dumps(failure).encode()
    result = tool().run({}, 5.0)
    assert result.error
    assert result.output.startswith("The function failed: no city no city")
    assert len(result.output) < 600
    assert "app.py" not in result.output


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b'{"errorMessage": null}'])
def test_a_failure_may_say_nothing(
    service: Service, tool: Callable[..., Found], body: bytes
) -> None:
    service.headers, service.body = {"x-amz-function-error": "Unhandled"}, body
    assert tool().run({}, 5.0) == ToolResult("The function failed: it does not say why", error=True)


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (404, "ResourceNotFoundException", "There is no function cueline-tool-weather"),
        (403, "AccessDeniedException", "may not invoke cueline-tool-weather"),
        (429, "TooManyRequestsException", "too busy"),
        (500, "ServiceException", "was not invoked: ServiceException"),
    ],
)
def test_a_call_that_fails_is_told_and_never_sent_again(
    service: Service, tool: Callable[..., Found], status: int, code: str, told: str
) -> None:
    service.status, service.headers = status, {"x-amzn-errortype": code}
    service.body = b'{"Message": "arn:aws:sts::123456789012:assumed-role/x is not authorized"}'
    with pytest.raises(ToolError, match=told) as error:
        tool().run({}, 5.0)
    assert "123456789012" not in str(error.value)
    assert len(service.sent) == 1


def test_a_call_that_may_have_arrived_is_not_sent_again(
    service: Service, tool: Callable[..., Found]
) -> None:
    service.failure = ReadTimeoutError(endpoint_url="https://lambda")
    with pytest.raises(ToolError, match="in time"):
        tool().run({}, 5.0)
    assert len(service.sent) == 1


def test_a_client_waits_longer_than_any_tool_may_take() -> None:
    longest = LambdaTool(tool_id="t", function_name="f", timeout_seconds=240).timeout_seconds
    assert longest < aws.TOOL_SECONDS


def test_an_answer_that_is_too_large_is_refused(
    service: Service, tool: Callable[..., Found]
) -> None:
    service.body = b"[" + b"1," * 600_000 + b"1]"
    with pytest.raises(ToolError, match="Ask for less"):
        tool().run({}, 5.0)


@pytest.mark.parametrize(
    "function",
    [
        "production-delete",
        "cueline-tool-",
        "cueline-tool-a/../b",
        "arn:aws:lambda:us-east-1:123456789012:function:other",
        "other:cueline-tool-a",
    ],
)
def test_only_functions_that_are_called_a_tool_are_invoked(
    service: Service, tool: Callable[..., Found], function: str
) -> None:
    with pytest.raises(ToolError, match="cueline-tool-"):
        tool(function)


@pytest.mark.parametrize("function", ["cueline-tool-a", "cueline-tool-a:live", "cueline-tool-a:7"])
def test_a_tool_may_name_a_version(
    service: Service, tool: Callable[..., Found], function: str
) -> None:
    assert tool(function, parameters={"type": "object"}).parameters == {"type": "object"}
