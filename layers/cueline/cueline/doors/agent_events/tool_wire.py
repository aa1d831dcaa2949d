"""Tool configurations in requests: shapes that the published clients read, with more in them.

type               is, and has beside what the public schema knows
dynamic_vectara    `tol_<function>`: a Python function shipped with the bundle; or `http`
lambda             `function_name`, `parameters`
mcp                `server`, `tool_name`
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from cueline.doors.agent_events.schemas import ArgumentSchema
from cueline.doors.agent_events.wire import Template
from cueline.doors.strict import UNION, Name, RareWire
from cueline.engine.agent import OWN_HEADERS, TOOL_FUNCTION, TOOL_FUNCTIONS, TOOL_SECRETS
from cueline.errors import NotBuilt

PREFIX = "tol_"
NOT_BUILT = frozenset(
    {
        "corpora_search",
        "web_search",
        "web_get",
        "sub_agent",
        "artifact_create",
        "artifact_read",
        "artifact_grep",
        "image_read",
        "document_conversion",
        "get_document_text",
    }
)
"""Types that the public schema has."""

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_PUBLIC_FUNCTION = re.compile(r"(?:[A-Za-z]\w*\.)?[A-Za-z]\w*", re.ASCII)
"""With the module that it is in, where several have one of that name."""
_HEADER = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]{1,100}")
_CREDENTIAL = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|credential|signature|(?:api|access)[-_]?key"
    r"|(?:^|[-_])(?:auth|session|sid|jwt|key|sig)(?:$|[-_])",
    re.IGNORECASE,
)
_CREDENTIAL_VALUE = re.compile(r"\s*(?:bearer|basic|digest|token)\s", re.IGNORECASE)
_REFERENCE = re.compile(r"(?:session|agent)\.metadata(?:\.[^.\s]{1,100}){1,10}")


# --- types of fields -----------------------------------------------------------------------------


def _tool_id(value: str) -> str:
    if not re.fullmatch(rf"{PREFIX}[0-9A-Za-z_.-]{{1,100}}", value):
        raise ValueError(f"must be `{PREFIX}` and up to 100 letters, digits, `_`, `-` or `.`")
    return value


def _url(value: str) -> str:
    """Raises nothing that shows the URL: it may carry what it should not."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and a host")
    if parts.hostname.endswith("."):
        raise ValueError("must not have a dot at the end of its host: secrets are a host's by name")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be printable ASCII without spaces; escape the rest with %")
    if "@" in parts.netloc:
        raise ValueError(f"must carry no user name or password. {_WHERE_SECRETS_GO}")
    for name, given in parse_qsl(parts.query):
        if _CREDENTIAL.search(name) and not _PLACEHOLDER.search(given):
            raise ValueError(
                f"must carry no credentials in its query, as `{name[:50]}` looks like. Send them "
                f"as a header. {_WHERE_SECRETS_GO}. If it is none, write `{{...}}` there and give "
                "it in `argument_override`"
            )
    if "{" in parts.scheme + parts.netloc + parts.fragment:
        raise ValueError("may have `{...}` in its path and query only")
    if set("{}") & set(_PLACEHOLDER.sub("", value)) or "{}" in value:
        raise ValueError("must have a name in letters, digits and `_` in each `{...}`")
    return value


_WHERE_SECRETS_GO = (
    f"Put the value in Secrets Manager, under a name that begins with `{TOOL_SECRETS}<host>/`, and "
    "give that name in `secret_headers`"
)


def _header_names(headers: Mapping[str, str]) -> None:
    names = [name.lower() for name in headers]
    for name in names:
        if not _HEADER.fullmatch(name):
            raise ValueError("has a name that no header may have")
        if name in OWN_HEADERS:
            raise ValueError(f"must not have `{name}`, which is made for each request")
    if len(set(names)) < len(names):
        raise ValueError("names a header twice")


def _headers(headers: dict[str, str]) -> dict[str, str]:
    _header_names(headers)
    for name, value in headers.items():
        if _CREDENTIAL.search(name) or _CREDENTIAL_VALUE.match(value):
            raise ValueError(f"must not have credentials, as `{name}` is. {_WHERE_SECRETS_GO}")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(f"has a value for `{name}` that no header may have")
    return headers


def _secret_headers(headers: dict[str, str]) -> dict[str, str]:
    _header_names(headers)
    for name, secret in headers.items():
        if not re.fullmatch(rf"{TOOL_SECRETS}[0-9A-Za-z/_+=.@-]{{1,400}}", secret):
            raise ValueError(
                f"needs for `{name}` the name of a secret in Secrets Manager, which begins with "
                f"`{TOOL_SECRETS}`: the deployment may read no others"
            )
    return headers


def _function_name(value: str) -> str:
    if not TOOL_FUNCTION.fullmatch(value):
        raise ValueError(
            "must be the name or ARN of a Lambda function whose name begins with "
            f"`{TOOL_FUNCTIONS}`: the deployment may invoke no others"
        )
    return value


def _overrides(arguments: dict[str, Any]) -> dict[str, Any]:
    for name, value in arguments.items():
        for reference in _references(value):
            if not (isinstance(reference, str) and _REFERENCE.fullmatch(reference)):
                raise ValueError(
                    f'must have, for `{name}`, a value or {{"$ref": "session.metadata.<field>"}}; '
                    "write `$$ref` for a plain `$ref`"
                )
    return arguments


def _references(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and set(value) == {"$ref"}:
        yield value["$ref"]
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _references(inner)


Url = Annotated[str, Field(max_length=2_000), AfterValidator(_url)]
Headers = Annotated[dict[str, str], Field(max_length=50), AfterValidator(_headers)]
SecretHeaders = Annotated[dict[str, str], Field(max_length=50), AfterValidator(_secret_headers)]


# --- tools ---------------------------------------------------------------------------------------


class Remote(RareWire):
    """Where a tool is, and what is sent with each request to it."""

    url: Url
    headers: Headers | None = None
    secret_headers: SecretHeaders | None = None

    @field_validator("secret_headers")
    @classmethod
    def _of_the_host(
        cls, secret: dict[str, str] | None, info: ValidationInfo
    ) -> dict[str, str] | None:
        host = urlsplit(info.data.get("url", "")).hostname
        own = f"{TOOL_SECRETS}{host}/"
        if host and not all(name.startswith(own) for name in (secret or {}).values()):
            raise ValueError(
                f"must name secrets of this host, which begin with `{own}`: a secret is "
                "sent to no other"
            )
        return secret

    @field_validator("secret_headers")
    @classmethod
    def _once(cls, secret: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        plain = {name.lower() for name in info.data.get("headers") or ()}
        if twice := sorted(plain & {name.lower() for name in secret or ()}):
            raise ValueError(f"must not have `{twice[0]}`, which `headers` has")
        return secret


class Http(Remote):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    parameters: ArgumentSchema | None = None
    """Left out, they are what the URL names."""


class Server(Remote):
    @field_validator("url")
    @classmethod
    def _fixed(cls, url: str) -> str:
        if "{" in url:
            raise ValueError("must not have `{...}`")
        return url


class ToolFields(RareWire):
    tool_id: Annotated[str, AfterValidator(_tool_id)]
    description_template: Template | None = None
    argument_override: Annotated[dict[str, Any], AfterValidator(_overrides)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=240)] | None = None
    approval: Literal["never", "required"] | None = None
    repeatable: bool | None = None


class DynamicVectara(ToolFields):
    type: Literal["dynamic_vectara"]
    http: Annotated[Http | None, Field(validate_default=True)] = None

    @field_validator("http")
    @classmethod
    def _something(cls, http: Http | None, info: ValidationInfo) -> Http | None:
        if http is None:
            function = str(info.data.get("tool_id", f"{PREFIX}x")).removeprefix(PREFIX)
            if not _PUBLIC_FUNCTION.fullmatch(function):
                raise ValueError(f"is required, where tool_id is not `{PREFIX}<Python function>`")
        elif http.parameters:
            given = info.data.get("argument_override") or {}
            known = {*http.parameters.get("properties", {}), *given}
            for name in _PLACEHOLDER.findall(http.url):
                if name not in known:
                    raise ValueError(f"needs `{name}`, which its URL names, in its parameters")
        return http


class Lambda(ToolFields):
    type: Literal["lambda"]
    function_name: Annotated[str, AfterValidator(_function_name)]
    parameters: ArgumentSchema | None = None


class Mcp(ToolFields):
    type: Literal["mcp"]
    server: Server
    tool_name: Annotated[Name, Field(max_length=128)] | None = None


def _type(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        return None
    if kind in NOT_BUILT:
        raise NotBuilt(f"The tool type `{kind}`")
    return UNION + kind


Tool = DynamicVectara | Lambda | Mcp
ToolConfiguration = Annotated[
    Annotated[DynamicVectara, Tag(f"{UNION}dynamic_vectara")]
    | Annotated[Lambda, Tag(f"{UNION}lambda")]
    | Annotated[Mcp, Tag(f"{UNION}mcp")],
    Discriminator(
        _type,
        custom_error_type="tool_type",
        custom_error_message="must be an object with a `type`: dynamic_vectara, lambda or mcp",
    ),
]
