"""OAuth 2.0 client credentials: a key's id and secret for an access token.

As RFC 6749 says in sections 2.3.1 (the client's id and secret), 4.4 (the grant) and 5 (answers).
"""

import base64
import binascii
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from cueline.doors.access import MAX_CREDENTIAL, OPEN, Access, new_token, secret_of
from cueline.doors.body import raw_body, read_json
from cueline.errors import InvalidRequest, Unavailable, unexpected

logger = logging.getLogger(__name__)

GRANT = "client_credentials"
TOKEN_SECONDS = 1800
MAX_BODY = 10_000
"""Characters, far above what a client has to say."""
MAX_FIELDS = 20

_NOT_DESCRIBABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
# The answer tells of a secret: nobody on the way may keep it.
_UNKEPT = {"cache-control": "no-store", "pragma": "no-cache"}


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=lambda: dict(_UNKEPT))


class _Refused(Exception):  # noqa: N818  (the RFC's own word is the error's code)
    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def token_answer(
    headers: Mapping[str, str],
    body: str | None,
    is_base64: bool,
    access: Callable[[], Access | None],
) -> TokenAnswer:
    """Header names are lower case; `body` is as API Gateway renders it.

    Where access is not checked (None), every client gets a token.
    """
    try:
        given = _parameters(headers.get("content-type", ""), body or "", is_base64)
        client_id, secret = _client(headers.get("authorization", ""), given)
        _check_grant(given)
        return _granted(client_id, secret, access())
    except _Refused as refused:
        return _refusal(refused.code, str(refused))
    except InvalidRequest as error:
        return _refusal("invalid_request", error.message)
    except Unavailable as error:
        return TokenAnswer(503, _error("temporarily_unavailable", error.message))
    except Exception as error:  # its message may carry the secret
        logger.error("unexpected error", extra=unexpected(error))  # noqa: TRY400
        return TokenAnswer(500, _error("server_error", "Something failed. It has been logged."))


def _granted(client_id: str, secret: str, access: Access | None) -> TokenAnswer:
    if access is None:
        return _token(OPEN, TOKEN_SECONDS)
    fits = len(client_id) + len(secret) < MAX_CREDENTIAL
    known = secret_of(client_id, secret, access) if fits else None
    if not known:
        raise _Refused("invalid_client", "No live API key has this client_id and client_secret.")
    now = access.clock.now()
    expires_at = now + TOKEN_SECONDS * 1000
    if known.expires_at:
        expires_at = min(expires_at, known.expires_at)
    return _token(new_token(client_id, known, expires_at, access), (expires_at - now) // 1000)


def _token(token: str, seconds: int) -> TokenAnswer:
    return TokenAnswer(200, {"access_token": token, "token_type": "Bearer", "expires_in": seconds})


# --- what the client sent ------------------------------------------------------------------------


def _parameters(content_type: str, rendered: str, is_base64: bool) -> dict[str, str]:
    """Those that have a value; the RFC counts the others as left out."""
    if len(rendered) > MAX_BODY:
        raise _Refused("invalid_request", f"The body is longer than {MAX_BODY:,} characters.")
    body = raw_body(rendered, is_base64)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        # A published client sends JSON without the grant, of which there is but one.
        found = {"grant_type": GRANT}
        for name, value in read_json(body, content_type).items():
            if not isinstance(value, str | None):
                raise _Refused("invalid_request", "Every parameter must be a string.")
            if value:
                found[name] = value
        return found
    if kind != "application/x-www-form-urlencoded":
        raise _Refused(
            "invalid_request", "Send a form (application/x-www-form-urlencoded) or JSON."
        )
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _Refused("invalid_request", "The form cannot be read.") from None
    named = dict(pairs)
    if len(named) < len(pairs):
        raise _Refused("invalid_request", "A parameter is there twice.")
    return named


def _client(authorization: str, given: Mapping[str, str]) -> tuple[str, str]:
    """Its id and secret, from HTTP Basic or from the body, but not from both."""
    scheme, _, basic = authorization.partition(" ")
    if scheme.lower() != "basic":
        if "client_id" not in given or "client_secret" not in given:
            raise _Refused("invalid_client", "Send client_id and client_secret.")
        return given["client_id"], given["client_secret"]
    if "client_secret" in given:
        raise _Refused("invalid_request", "Send the client_secret as HTTP Basic or in the body.")
    client_id, secret = _basic(basic.strip())
    if given.get("client_id", client_id) != client_id:
        raise _Refused("invalid_request", "The two client_ids differ.")
    return client_id, secret


def _basic(encoded: str) -> tuple[str, str]:
    if len(encoded) <= 2 * MAX_CREDENTIAL:
        try:
            told = base64.b64decode(encoded, validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            told = ""
        client_id, colon, secret = told.partition(":")
        if colon:
            return unquote_plus(client_id), unquote_plus(secret)
    raise _Refused("invalid_client", "HTTP Basic must be the base64 of client_id:client_secret.")


def _check_grant(given: Mapping[str, str]) -> None:
    if "grant_type" not in given:
        raise _Refused("invalid_request", "Send grant_type=client_credentials.")
    if given["grant_type"] != GRANT:
        raise _Refused("unsupported_grant_type", "The only grant_type is client_credentials.")


# --- what it is answered -------------------------------------------------------------------------


def _refusal(code: str, why: str) -> TokenAnswer:
    if code != "invalid_client":
        return TokenAnswer(400, _error(code, why))
    # API Gateway renames it, to x-amzn-remapped-www-authenticate.
    challenge = {"www-authenticate": 'Basic realm="cueline"'}
    return TokenAnswer(401, _error(code, why), _UNKEPT | challenge)


def _error(code: str, why: str) -> dict[str, Any]:
    return {"error": code, "error_description": _NOT_DESCRIBABLE.sub(" ", why)}
