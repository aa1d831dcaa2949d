"""Another Lambda function, invoked with the arguments as its event."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from cueline.adapters.tools.found import Found, ToolError
from cueline.engine.agent import TOOL_FUNCTION, TOOL_FUNCTIONS, LambdaTool
from cueline.engine.tools import ToolResult

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LARGEST = 1_000_000
"""Bytes of an answer."""
LONGEST_MESSAGE = 500


def lambda_tool(name: str, configured: LambdaTool, client: Callable[[], "LambdaClient"]) -> Found:
    """Raises ToolError where the function is none that tools may be."""
    function = configured.function_name
    if not TOOL_FUNCTION.fullmatch(function):
        raise ToolError(f"Its function is {function!r}; a tool's is called {TOOL_FUNCTIONS}...")
    return Found(
        name=name,
        description=f"The function {function}.",
        parameters=configured.parameters,
        run=partial(_run, function, client),
    )


def _run(
    function: str,
    client: Callable[[], "LambdaClient"],
    given: Mapping[str, Any],
    seconds: float,  # noqa: ARG001  # the client's own limit is above every tool's
) -> ToolResult:
    try:
        answer = client().invoke(
            FunctionName=function,
            InvocationType="RequestResponse",
            Payload=json.dumps(given).encode(),
        )
        payload = answer["Payload"].read(LARGEST + 1)
    except ReadTimeoutError:
        raise ToolError("The function did not answer in time.") from None
    except ClientError as error:
        raise ToolError(_refusal(function, error.response["Error"].get("Code", ""))) from None
    except BotoCoreError:
        raise ToolError(f"{function} cannot be reached.") from None
    if len(payload) > LARGEST:
        raise ToolError(f"The answer has more than {LARGEST:,} bytes. Ask for less.")
    text = payload.decode(errors="replace")
    if answer.get("FunctionError"):
        return ToolResult(f"The function failed: {_message(text)}", error=True)
    returned = _parsed(text)
    return ToolResult(returned if isinstance(returned, str) else text)


def _refusal(function: str, code: str) -> str:
    match code:
        case "ResourceNotFoundException":
            return f"There is no function {function}."
        case "AccessDeniedException":
            return f"This deployment may not invoke {function}."
        case "TooManyRequestsException":
            return f"{function} is too busy. Try again later."
    return f"{function} was not invoked: {code}."


def _message(text: str) -> str:
    """What the function raised, without where."""
    failure = _parsed(text)
    said = failure.get("errorMessage") if isinstance(failure, dict) else None
    return str(said or "it does not say why")[:LONGEST_MESSAGE]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
