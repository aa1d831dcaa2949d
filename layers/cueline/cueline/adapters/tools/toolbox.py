"""The tools port on what an agent configures: functions, HTTP, Lambda, MCP servers."""

import json
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from cueline.adapters.tools.found import MOST_TOOLS, Found, ToolError
from cueline.adapters.tools.outputs import cut
from cueline.adapters.tools.overrides import resolved, without
from cueline.adapters.tools.secrets import Secrets
from cueline.engine.agent import (
    Agent,
    HttpTool,
    LambdaTool,
    McpTool,
    PythonTool,
    ToolConfiguration,
)
from cueline.engine.prompt import INVOKE_SKILL
from cueline.engine.tools import ToolResult, ToolSpec
from cueline.errors import unexpected
from cueline.log.segment import Session

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = logging.getLogger(__name__)

LONGEST_NAME = 64
MOST_AT_ONCE = 8
"""Servers that are asked for their tools at the same time."""
LIST_SECONDS = 15.0
"""In which all servers of an agent are asked for their tools."""
LONGEST_DESCRIPTION = 4_000
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_LATE = "Its server did not say in time what it offers. Another attempt may find it."
_FAILED = "The tool failed in a way that nobody expected. Whoever runs this deployment can look."


class ConfiguredToolbox:
    """What stands behind each kind is imported once an agent has a tool of it.

    `own_network` is the deployment's `TOOL_NETWORK`, `functions` the package that Python tools
    are in. Safe to use from several threads.
    """

    def __init__(
        self,
        own_network: Collection[str],
        secrets: Secrets,
        lambda_client: Callable[[], "LambdaClient"],
        functions: str = "agent_tools",
    ) -> None:
        self._own_network, self._secrets = own_network, secrets
        self._lambda_client, self._functions = lambda_client, functions
        self._told: set[tuple[str, int]] = set()

    def specs(self, agent: Agent, session: Session) -> Sequence[ToolSpec]:
        remote = self._listed(agent)
        named = [
            (shown, name, configured, found)
            for name, configured in agent.tools.items()
            for shown, found in (remote[name] if name in remote else self._named(name, configured))
        ]
        taken = {INVOKE_SKILL}
        return [
            _spec(_unique(shown, taken), name, configured, found, agent, session)
            for shown, name, configured, found in islice(named, self._most(agent, len(named)))
        ]

    def _most(self, agent: Agent, there_are: int) -> int:
        """How many of the agent's tools the model gets: those that are configured last may miss."""
        most = MOST_TOOLS - bool(agent.skills)
        if there_are > most and (agent.key, agent.version) not in self._told:
            self._told.add((agent.key, agent.version))
            left_out = {"agent": agent.key, "tools": there_are, "left_out": there_are - most}
            logger.warning("An agent has more tools than a model takes", extra=left_out)
        return most

    def problem(self, schema: Mapping[str, Any], value: object) -> str | None:
        from cueline.adapters.tools.schema import problem

        return problem(schema, value)

    def _listed(self, agent: Agent) -> Mapping[str, Sequence[tuple[str, Found]]]:
        """What several servers offer, asked at once: each may take its time, not all of them."""
        remote = {n: c for n, c in agent.tools.items() if isinstance(c, McpTool)}
        if len(remote) < 2:
            return {}
        pool = ThreadPoolExecutor(min(len(remote), MOST_AT_ONCE))
        looks = {name: pool.submit(self._named, name, one) for name, one in remote.items()}
        done, _ = wait(looks.values(), LIST_SECONDS)
        # Who is being asked may still answer: the next step will know it.
        pool.shutdown(wait=False, cancel_futures=True)
        return {
            name: look.result() if look in done else [(name, _unavailable(name, _LATE))]
            for name, look in looks.items()
        }

    def _named(self, name: str, configured: ToolConfiguration) -> Sequence[tuple[str, Found]]:
        """Each function behind the tool, and what the model would call it."""
        many = isinstance(configured, McpTool) and configured.tool_name is None
        try:
            found = self._found(name, configured)
        except ToolError as error:
            return [(name, _unavailable(name, str(error)))]
        except Exception as error:
            logger.error("A tool cannot be set up", extra=unexpected(error))  # noqa: TRY400
            return [(name, _unavailable(name, _FAILED))]
        return [
            (f"{name}_{one.name}" if many else name, _described(one, configured)) for one in found
        ]

    def _found(self, name: str, configured: ToolConfiguration) -> Sequence[Found]:
        match configured:
            case PythonTool():
                from cueline.adapters.tools.python import python_tool

                return [python_tool(configured, self._functions)]
            case LambdaTool():
                from cueline.adapters.tools.lambda_ import lambda_tool

                return [lambda_tool(name, configured, self._lambda_client)]
            case HttpTool():
                from cueline.adapters.tools.guard import Network
                from cueline.adapters.tools.http import http_tool

                network = Network.of(self._own_network)
                return [http_tool(name, configured, network, self._secrets)]
            case McpTool():
                from cueline.adapters.tools.guard import Network
                from cueline.adapters.tools.mcp import mcp_specs

                network = Network.of(self._own_network)
                return mcp_specs(name, configured, network, self._secrets)


def _spec(
    shown: str,
    name: str,
    configured: ToolConfiguration,
    found: Found,
    agent: Agent,
    session: Session,
) -> ToolSpec:
    return ToolSpec(
        name=shown,
        configuration=name,
        tool=found.name,
        description=found.description[:LONGEST_DESCRIPTION],
        parameters=without(found.parameters, configured.argument_override),
        timeout=configured.timeout_seconds,
        approval=configured.approval == "required",
        repeatable=configured.repeatable,
        run=partial(_run, found, configured.argument_override, agent, session),
    )


def _run(
    found: Found,
    overrides: Mapping[str, Any],
    agent: Agent,
    session: Session,
    arguments: Mapping[str, Any],
    seconds: float,
) -> ToolResult:
    try:
        given = _as_json({**arguments, **resolved(overrides, agent, session)})
        result = found.run(given, seconds)
    except ToolError as error:
        result = ToolResult(str(error), error=True)
    except BaseException as error:  # SystemExit too: it would end this thread without a result
        logger.error("A tool failed", extra=unexpected(error))  # noqa: TRY400
        result = ToolResult(_FAILED, error=True)
    return replace(result, output=cut(result.output))


def _as_json(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments; raises ToolError for those that no request could carry."""
    try:
        json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise ToolError(
            "The arguments have a number, or half of a character, that JSON cannot carry."
        ) from None
    return given


def _described(found: Found, configured: ToolConfiguration) -> Found:
    return replace(found, description=configured.description or found.description)


def _unavailable(name: str, why: str) -> Found:
    def run(arguments: Mapping[str, Any], seconds: float) -> ToolResult:  # noqa: ARG001
        raise ToolError(f"This tool is unavailable. {why}")

    return Found(name, f"Unavailable: do not call it. {why}", {}, run)


def _unique(name: str, taken: set[str]) -> str:
    """The name in letters that providers take, which no other tool of the agent has."""
    plain = _NOT_IN_NAMES.sub("_", name)[:LONGEST_NAME] or "tool"
    unique, count = plain, 1
    while unique in taken:
        count += 1
        unique = f"{plain[: LONGEST_NAME - len(str(count)) - 1]}_{count}"
    taken.add(unique)
    return unique
