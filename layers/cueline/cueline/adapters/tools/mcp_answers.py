"""What MCP servers answer, as the model gets to read it, and what their failures mean."""

import json
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED, PARSE_ERROR, CallToolResult, ContentBlock
from pydantic import ValidationError

from cueline.adapters.tools.connections import Refused
from cueline.adapters.tools.found import ToolError
from cueline.adapters.tools.secrets import hidden
from cueline.engine.tools import ToolResult
from cueline.errors import unexpected

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 2_000
"""Characters of a server's own error message that are passed on."""


class OutdatedError(ToolError):
    """The server is there and does not do what was asked for: it may not be what it was."""


class LostSessionError(OutdatedError):
    """The server does not know the session any more that it has just given out."""


@dataclass(slots=True)
class Seen:
    """What HTTP and the guard said, which the client's own errors leave out."""

    secrets: tuple[tuple[str, str], ...]
    """The headers that nobody may read."""
    status: int = 0
    """Of the last answer to a POST, as are the next three."""
    media: str = ""
    told: bool = False
    """Whether its body is a message of the protocol."""
    session: bool = False
    """Whether it was asked for in a session."""
    refused: Refused | None = None
    calling: bool = False
    """Whether the call itself may have reached the server."""

    def hidden(self, text: str) -> str:
        return hidden(text, (value for _, value in self.secrets))


def result_of(answer: CallToolResult, seen: Seen) -> ToolResult:
    """Structured content as JSON; else the texts, and a line for each thing that is no text."""
    output = "\n".join(map(_line, answer.content))
    if answer.structured_content is not None and not (answer.is_error and output):
        output = json.dumps(answer.structured_content, ensure_ascii=False, separators=(",", ":"))
    return ToolResult(seen.hidden(output), error=answer.is_error)


def _line(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {_bytes(block.data)}: not shown]"
        case "resource_link":
            return f"[link to {block.name}, {block.mime_type or 'of unknown type'}: {block.uri}]"
        case "resource":
            resource = block.resource
            if hasattr(resource, "text"):
                # How servers give a file's text, which is what such a tool is for.
                return f"[{resource.uri}]\n{resource.text}"
            media = resource.mime_type or "of unknown type"
            return f"[{resource.uri}, {media}, {_bytes(resource.blob)}: not shown]"


def _bytes(base64: str) -> str:
    return f"{len(base64) * 3 // 4:,} bytes"


def host_of(url: str) -> str:
    """Host and port, without what may be a secret."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "nowhere"
    except ValueError:
        return "nowhere"


def failure(url: str, error: BaseException, seen: Seen) -> ToolError:
    """What to tell the model, without what the server or a header may hold back."""
    if seen.refused:
        return ToolError(str(seen.refused))
    cause = _cause(error)
    server = f"The MCP server at {host_of(url)}"
    if isinstance(cause, ToolError):
        return cause
    if isinstance(cause, httpx2.HTTPError | httpx2.InvalidURL):
        return ToolError(f"{server} {_unreached(cause, seen)}")
    if seen.status == 404 and seen.session:
        return LostSessionError(f"{server} ended the session in the middle of it.")
    if seen.status in {401, 403}:
        return ToolError(f"{server} {_unwelcome(seen)}")
    if seen.status >= 500 and not seen.told:
        return ToolError(f"{server} failed (HTTP {seen.status}).{_doubt(seen)}")
    if seen.status >= 400 and not seen.told:
        problem = "has no MCP at this URL" if seen.status in {404, 405} else "refused the request"
        return OutdatedError(f"{server} {problem} (HTTP {seen.status}).")
    if seen.status < 300 and not _speaks(seen.media):
        media = seen.media.partition(";")[0] or "nothing"
        return ToolError(f"{server} answered with {media}, which is not MCP.{_doubt(seen)}")
    if isinstance(cause, MCPError) and cause.code != PARSE_ERROR:
        said = seen.hidden(cause.message)[:LONGEST_MESSAGE]
        if cause.code == CONNECTION_CLOSED:
            # The client's code for an answer that was cut off, and many servers' for anything.
            return ToolError(f"{server} gave no result: {said}.{_doubt(seen)}")
        return OutdatedError(f"{server} answered with an error: {said} ({cause.code})")
    return ToolError(f"{server} {_misunderstanding(cause, seen)}")


def late(url: str, seconds: float, seen: Seen) -> ToolError:
    return ToolError(
        f"The MCP server at {host_of(url)} did not answer within {seconds:.3g} s.{_doubt(seen)}"
    )


def _cause(error: BaseException) -> BaseException:
    """What failed first in the task groups of the client."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _unreached(error: Exception, seen: Seen) -> str:
    if isinstance(error, Refused):
        return f"is not called: {error}"
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return f"cannot be reached: {error}"
    if isinstance(error, httpx2.TimeoutException):
        return f"did not answer in time.{_doubt(seen)}"
    if isinstance(error, httpx2.InvalidURL | httpx2.LocalProtocolError):
        # Its own message may quote the header or the URL.
        return "is not called: its URL, or one of its headers, cannot be sent."
    return f"broke off the connection.{_doubt(seen)}"


def _unwelcome(seen: Seen) -> str:
    names = ", ".join(name for name, _ in seen.secrets)
    cure = f"is {names} right?" if names else "its configuration gives no secret header."
    return f"does not let this agent in (HTTP {seen.status}): {cure}"


def _misunderstanding(error: BaseException, seen: Seen) -> str:
    if isinstance(error, MCPError | ValidationError):
        return f"answered with something that is not MCP.{_doubt(seen)}"
    if not seen.calling and isinstance(error, RuntimeError):
        return "speaks no version of MCP that is known here."
    logger.warning("An MCP server failed in an unknown way", extra=unexpected(error))
    return f"could not be used ({type(error).__name__}).{_doubt(seen)}"


def _speaks(media: str) -> bool:
    return media.lower().startswith(("application/json", "text/event-stream"))


def _doubt(seen: Seen) -> str:
    return " The call may have had its effect all the same." if seen.calling else ""
