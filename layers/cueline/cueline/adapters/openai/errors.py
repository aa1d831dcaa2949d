"""What an OpenAI-compatible provider fails with, told as ModelError."""

import email.utils
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import httpcore2
import httpx2
import openai

from cueline.adapters.openai.event_stream import malformed, object_of
from cueline.errors import ModelError

_REJECTED = ("model_rejected", False)
_UNAVAILABLE = ("model_unavailable", True)
# A code says more than the status: a spent quota is a 429 that no retry mends. kind, retryable.
_BY_CODE: dict[str, tuple[str, bool]] = {
    "context_length_exceeded": ("context_limit_exceeded", False),
    "exceed_context_size_error": ("context_limit_exceeded", False),  # llama.cpp
    "content_filter": ("model_refused", False),
    "content_policy_violation": ("model_refused", False),
    "bio_policy": ("model_refused", False),
    "cyber_policy": ("model_refused", False),
    "misalignment_policy_violation": ("model_refused", False),
    "image_content_policy_violation": ("model_refused", False),
    "insufficient_quota": ("model_rate_limited", False),
}
# Errors inside a stream have no status, so their code or type decides.
_IN_STREAM: dict[str, tuple[str, bool]] = {
    "rate_limit_exceeded": ("model_rate_limited", True),
    "rate_limit_error": ("model_rate_limited", True),
    "invalid_api_key": ("model_unauthorized", False),
    "authentication_error": ("model_unauthorized", False),
    "permission_error": ("model_unauthorized", False),
    "invalid_prompt": ("model_rejected", False),
    "invalid_request_error": ("model_rejected", False),
    "model_not_found": ("model_rejected", False),
    "not_found_error": ("model_rejected", False),
    "timeout": ("model_timeout", True),
}
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|gsk|key|Bearer)[-_ ][\w*.\-]{6,}")
_LONGEST_MESSAGE = 500


def translate(error: Exception, secret: str) -> ModelError:
    """Any exception of a model call, as the one kind that may leave an adapter."""
    match error:
        case ModelError():
            return error
        case openai.APITimeoutError() | httpx2.TimeoutException() | httpcore2.TimeoutException():
            return ModelError(
                "model_timeout", "The model provider did not answer in time.", retryable=True
            )
        case openai.APIStatusError():
            return _from_status(error, secret)
        case openai.APIConnectionError():
            if isinstance(error.__cause__, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):
                return rejected("The call to the model provider could not be sent.")
            return ModelError(
                "model_unavailable", "The model provider cannot be reached.", retryable=True
            )
        case httpx2.DecodingError():
            return malformed("a body that cannot be decompressed")
        case httpx2.HTTPError() | httpx2.StreamError():
            return cut()
        case _:
            # Nothing but what the provider sent can have caused it, as the request is out by now.
            return malformed(f"something unexpected ({type(error).__name__})")


def rejected(message: str) -> ModelError:
    return ModelError("model_rejected", message, retryable=False)


def cut() -> ModelError:
    return ModelError("model_cut", "The model's answer was cut off before its end.", retryable=True)


def refused() -> ModelError:
    return ModelError(
        "model_refused", "The model provider's content filter stopped the answer.", retryable=False
    )


def from_event(error: object, secret: str) -> ModelError:
    """An error object that came inside a stream, after the 200."""
    if isinstance(error, str):
        error = {"message": error}
    fields = object_of(error)
    code, kind = fields.get("code"), fields.get("type")
    if re.fullmatch("[45][0-9][0-9]", str(code)):
        return _from_fields(int(str(code)), fields, secret, None)
    for name in (code, kind):
        found = _IN_STREAM.get(str(name)) or _BY_CODE.get(str(name))
        if found:
            return _made(*found, fields, secret, None)
    # An error halfway is the provider's trouble unless it says otherwise.
    is_ours = str(code).startswith("invalid_")
    return _made(*(_REJECTED if is_ours else _UNAVAILABLE), fields, secret, None)


def _from_status(error: openai.APIStatusError, secret: str) -> ModelError:
    body = error.body
    fields = body if isinstance(body, Mapping) else {"message": error.response.text or None}
    found = _from_fields(error.status_code, fields, secret, retry_after(error.response.headers))
    if error.response.headers.get("x-should-retry") == "false":
        found.retryable = False
    return found


def _from_fields(
    status: int, fields: Mapping[str, Any], secret: str, after: float | None
) -> ModelError:
    kind, retryable = _by_status(status)
    for name in (fields.get("code"), fields.get("type")):
        kind, retryable = _BY_CODE.get(str(name), (kind, retryable))
    # vLLM has no code for it, so this one message is read: without it nobody would compact.
    if kind == "model_rejected" and "maximum context length" in str(fields.get("message")):
        kind = "context_limit_exceeded"
    return _made(kind, retryable, fields, secret, after, status)


def _by_status(status: int) -> tuple[str, bool]:
    if status in {401, 403}:
        return "model_unauthorized", False
    if status == 429:
        return "model_rate_limited", True
    if status in {408, 409} or status >= 500:
        return _UNAVAILABLE
    return _REJECTED


_SAYS = {
    "model_rejected": "The model provider rejected the request",
    "model_rate_limited": "The model provider's rate limit is reached",
    "model_unavailable": "The model provider failed",
    "model_timeout": "The model provider gave up in time-out",
    "model_refused": "The model provider's content filter refused the request",
    "context_limit_exceeded": "The conversation does not fit into the model's context window",
}


def _made(
    kind: str,
    retryable: bool,
    fields: Mapping[str, Any],
    secret: str,
    after: float | None,
    status: int | None = None,
) -> ModelError:
    with_status = f" (HTTP {status})" if status else ""
    if kind == "model_unauthorized":
        # The provider's own words quote the key.
        message = f"The model provider refuses the key of this deployment{with_status}."
        return ModelError(kind, message, retryable=False)
    said = fields.get("message")
    details = f": {scrubbed(said, secret)}" if isinstance(said, str) and said.strip() else "."
    return ModelError(
        kind,
        f"{_SAYS[kind]}{with_status}{details}",
        retryable=retryable,
        retry_after=after if retryable else None,
    )


def scrubbed(text: str, secret: str) -> str:
    """A provider's words without anything that looks like a key, and of a bounded length."""
    text = text[: 20 * _LONGEST_MESSAGE]  # bounds the regex, and an HTML error page
    if len(secret) >= 4:
        text = text.replace(secret, "[key]")
    text = _KEY_LIKE.sub("[key]", text).strip()
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                when = email.utils.parsedate_to_datetime(value)
                if when.tzinfo is None:
                    when = when.replace(tzinfo=UTC)
                seconds = when.timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
