"""One HTTP request to whatever a tool's URL names, through the guard."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from cueline.adapters.tools.found import Found, ToolError
from cueline.adapters.tools.guard import Network, Refused
from cueline.adapters.tools.secrets import Secrets, hidden
from cueline.engine.agent import OWN_HEADERS, HttpTool
from cueline.engine.tools import ToolResult

PLACEHOLDER = re.compile(r"\{(\w+)\}")
TEXT = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|yaml)|application/(.*[.-])?"
    r"(json|ndjson|jsonl|yaml|javascript|x-www-form-urlencoded)"
)


def http_tool(name: str, configured: HttpTool, network: Network, secrets: Secrets) -> Found:
    """Raises ToolError where the configuration is one that no request can be made from."""
    url = urlsplit(configured.url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ToolError("Its URL is not one of http or https.")
    if PLACEHOLDER.search(url.netloc):
        raise ToolError("Its URL has a placeholder in the host, where none may be.")
    taken = {header.lower() for header in (*configured.headers, *configured.secret_headers)}
    if taken & OWN_HEADERS:
        raise ToolError(f"It may not set {', '.join(sorted(taken & OWN_HEADERS))}.")
    placeholders = list(dict.fromkeys(PLACEHOLDER.findall(url.path + "?" + url.query)))
    return Found(
        name=name,
        # Not its path, which is a secret where it is that of a webhook.
        description=f"{configured.method} {url.scheme}://{url.netloc.rpartition('@')[2]}",
        parameters=configured.parameters or _parameters(placeholders),
        run=partial(_run, configured, placeholders, network, secrets),
    )


def _parameters(placeholders: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in placeholders},
        "required": placeholders,
    }


def _run(
    configured: HttpTool,
    placeholders: list[str],
    network: Network,
    secrets: Secrets,
    given: Mapping[str, Any],
    seconds: float,
) -> ToolResult:
    others = {name: value for name, value in given.items() if name not in placeholders}
    queries = configured.method in {"GET", "DELETE"}
    url = _url(configured.url, given, others if queries else {})
    secret = secrets.headers(configured.secret_headers, url, network)
    host = urlsplit(configured.url).hostname
    try:
        with network.client(seconds, {**configured.headers, **secret}) as client:
            body = None if queries else others
            response = client.request(configured.method, url, json=body)
    except Refused as error:
        raise ToolError(str(error)) from None
    except httpx2.TimeoutException:
        raise ToolError(f"{host} did not answer in time.") from None
    except httpx2.ConnectError:
        raise ToolError(f"{host} cannot be reached.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL):
        raise ToolError(f"The request to {host} failed.") from None
    return _result(response, secret)


# --- the request ---------------------------------------------------------------------------------


def _url(template: str, given: Mapping[str, Any], query: Mapping[str, Any]) -> str:
    url = urlsplit(template)
    path = "/".join(_segment(part, given) for part in url.path.split("/"))
    own = PLACEHOLDER.sub(partial(_filled, given), url.query)
    more = urlencode(
        [
            (name, _text(one))
            for name, value in query.items()
            for one in (value if isinstance(value, list) else [value])
            if one is not None
        ],
        quote_via=quote,
    )
    return url._replace(path=path, query="&".join(filter(None, (own, more))), fragment="").geturl()


def _segment(template: str, given: Mapping[str, Any]) -> str:
    filled = PLACEHOLDER.sub(partial(_given, given), template)
    # These would ask for another resource than the one that the URL is of; some servers take an
    # escaped slash for a plain one.
    if filled != template and (filled in {"", "."} or ".." in re.split(r"[/\\]", filled)):
        raise ToolError(f"{template} in the URL must not become {filled[:100]!r}.")
    return PLACEHOLDER.sub(partial(_filled, given), template)


def _filled(given: Mapping[str, Any], placeholder: re.Match[str]) -> str:
    return quote(_given(given, placeholder), safe="")


def _given(given: Mapping[str, Any], placeholder: re.Match[str]) -> str:
    name = placeholder[1]
    if given.get(name) is None:
        raise ToolError(f"The argument {name!r} is missing.")
    return _text(given[name])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


# --- the answer ----------------------------------------------------------------------------------


def _result(response: httpx2.Response, secret: Mapping[str, str]) -> ToolResult:
    kind = response.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    failed = response.status_code >= 400
    if response.content and not TEXT.fullmatch(kind):
        text = f"The answer is {kind}, which is no text."
        return ToolResult(f"HTTP {response.status_code}. {text}", error=True)
    text = hidden(response.text, secret.values())
    if failed or not text:
        text = f"HTTP {response.status_code}\n{text}".rstrip()
    return ToolResult(text, error=failed)
