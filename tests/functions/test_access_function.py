"""Tokens for client credentials, and answers to browsers: an event in, an answer out."""

import base64
import io
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from cueline import bootstrap
from cueline.doors.access import Access, caller_of, hashed
from cueline.doors.cors import Cors
from cueline.doors.oauth import MAX_BODY
from cueline.engine.ports import Key, Ports, Secret
from cueline.errors import Unauthorized, Unavailable
from functions.access import app
from tests.clock import FakeClock
from tests.gateway import REQUEST_ID, Answer, Context, event

FORM = "application/x-www-form-urlencoded"
CLIENT = {"client_id": "k1", "client_secret": "hush", "grant_type": "client_credentials"}
HALF_HOUR = 1_800_000


@pytest.fixture
def access(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> Access:
    """With the key `k1`, whose one secret is `hush`."""
    ports.keys.put(Key("k1", "Ops", (Secret(hashed("hush")),), 1))
    made = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "access", lambda: made)
    return made


def call(given: dict[str, Any]) -> Answer:
    response = app.lambda_handler(given, Context())  # type: ignore[arg-type]
    return Answer(response["statusCode"], response["headers"], response["body"])


def form(
    given: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    path: str = "/oauth2/token",
) -> Answer:
    text = urlencode(given)
    return call(event("POST", path, text, headers={"content-type": FORM, **(headers or {})}))


def basic(client_id: str, secret: str) -> dict[str, str]:
    told = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {told}"}


def comes_in(access: Access, token: str) -> bool:
    try:
        return caller_of({"authorization": f"Bearer {token}"}, access) == "k1"
    except Unauthorized:
        return False


# --- tokens --------------------------------------------------------------------------------------


def test_a_key_s_id_and_secret_give_a_token_for_half_an_hour(
    access: Access, clock: FakeClock
) -> None:
    answer = form(CLIENT)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"] == REQUEST_ID
    assert set(answer.json) == {"access_token", "token_type", "expires_in"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 1800)
    token = answer.json["access_token"]
    assert comes_in(access, token)
    assert "hush" not in token
    clock.ms += HALF_HOUR - 1
    assert comes_in(access, token)
    clock.ms += 1
    assert not comes_in(access, token)


def test_json_will_do_and_so_will_the_other_path(access: Access) -> None:
    for path in ("/oauth2/token", "/oauth/token"):
        assert comes_in(access, form(CLIENT, path=path).json["access_token"])
        answer = call(event("POST", path, CLIENT))
        assert comes_in(access, answer.json["access_token"])


def test_json_may_leave_the_grant_out_as_a_published_client_does(access: Access) -> None:
    given = {name: CLIENT[name] for name in ("client_id", "client_secret")}
    answer = call(event("POST", "/oauth2/token", given))
    assert comes_in(access, answer.json["access_token"])
    assert form(given).json["error"] == "invalid_request"
    other = call(event("POST", "/oauth2/token", given | {"grant_type": "password"}))
    assert other.json["error"] == "unsupported_grant_type"


def test_http_basic_will_do(access: Access) -> None:
    grant = {"grant_type": "client_credentials"}
    for more in ({}, {"client_id": "k1"}, {"client_id": ""}):
        answer = form({**grant, **more}, basic("k1", "hush"))
        assert comes_in(access, answer.json["access_token"])
    assert form(grant, basic("k1", "%68ush")).status == 200  # urlencoded, says the RFC
    assert form(grant, basic("k1", "hash")).json["error"] == "invalid_client"


def test_a_key_in_another_header_changes_nothing(access: Access) -> None:
    """Clients send the key that they found in their environment along."""
    assert form(CLIENT, {"x-api-key": "foreign", "Authorization": "Bearer x"}).status == 200


def test_a_token_lives_no_longer_than_its_secret(access: Access, clock: FakeClock) -> None:
    access.keys.put(Key("k2", "Ops", (Secret(hashed("brief"), clock.ms + 60_500),), 1))
    answer = form(CLIENT | {"client_id": "k2", "client_secret": "brief"})
    assert answer.json["expires_in"] == 60
    clock.ms += 60_500
    assert not comes_in(access, answer.json["access_token"])
    assert form(CLIENT | {"client_id": "k2", "client_secret": "brief"}).status == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_secret": "wrong"}, {"client_id": "k2"}, {"client_secret": ""}, {"client_id": ""},
        {"client_secret": "k1.hush"}, {"client_secret": "x" * 5000}, {"client_id": "k1\x00"},
        {"client_id": "é"}, {"client_secret": hashed("hush")},
    ],
)  # fmt: skip
def test_a_wrong_client_is_401_with_a_challenge(access: Access, wrong: dict[str, str]) -> None:
    answer = form(CLIENT | wrong)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert answer.json["error_description"]
    assert answer.headers["www-authenticate"] == 'Basic realm="cueline"'
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "given", ["!", "k1", base64.b64encode(b"k1").decode(), "x" * 5000, "\u20ac"]
)
def test_basic_that_is_none_is_401(access: Access, given: str) -> None:
    answer = form({"grant_type": "client_credentials"}, {"authorization": f"Basic {given}"})
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (urlencode(CLIENT | {"grant_type": "password"}), FORM, "unsupported_grant_type"),
        (urlencode(CLIENT | {"grant_type": ""}), FORM, "invalid_request"),
        (urlencode(CLIENT) + "&client_id=k2", FORM, "invalid_request"),
        (urlencode(CLIENT).ljust(MAX_BODY + 1, "x"), FORM, "invalid_request"),
        ("&".join(f"x{n}=1" for n in range(100)), FORM, "invalid_request"),
        ("client_id=\xe9", FORM, "invalid_request"),
        (urlencode(CLIENT), "text/plain", "invalid_request"),
        ("{", "application/json", "invalid_request"),
        ("[]", "application/json", "invalid_request"),
        (json.dumps(CLIENT | {"client_id": 1}), "application/json", "invalid_request"),
        (None, "application/json", "invalid_request"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(
    access: Access, body: str | None, kind: str, error: str
) -> None:
    answer = call(event("POST", "/oauth2/token", body, headers={"content-type": kind}))
    assert (answer.status, answer.json["error"]) == (400, error)
    description = answer.json["error_description"]
    assert description.isascii()
    assert not set(description) & {'"', "\\"}


def test_a_client_says_who_it_is_in_one_way_only(access: Access) -> None:
    assert form(CLIENT, basic("k1", "hush")).json["error"] == "invalid_request"
    other = {"grant_type": "client_credentials", "client_id": "k2"}
    assert form(other, basic("k1", "hush")).json["error"] == "invalid_request"


def test_a_body_may_come_in_base64(access: Access) -> None:
    given = event("POST", "/oauth2/token", urlencode(CLIENT), headers={"content-type": FORM})
    given |= {"isBase64Encoded": True, "body": base64.b64encode(given["body"].encode()).decode()}
    assert call(given).status == 200
    given["body"] = "=="
    assert call(given).json["error"] == "invalid_request"


def test_everybody_gets_a_token_where_access_is_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "access", lambda: None)
    answer = form(CLIENT | {"client_secret": "whatever"})
    assert (answer.status, answer.json["expires_in"]) == (200, 1800)
    assert caller_of({"authorization": f"Bearer {answer.json['access_token']}"}, None)
    assert form({"client_id": "k1", "grant_type": "client_credentials"}).status == 401


def test_a_store_that_does_not_answer_is_503(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise Unavailable("The store does not answer.")

    monkeypatch.setattr(type(access.keys), "get", down)
    answer = form(CLIENT)
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")


# --- logs ----------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the function and the library log."""
    handler = app.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    before = handler.setStream(stream)
    # The library writes where the function whose module came last does.
    own = logging.StreamHandler(stream)
    logging.getLogger("cueline").addHandler(own)
    yield stream
    logging.getLogger("cueline").removeHandler(own)
    handler.setStream(before)


def test_no_secret_and_no_token_is_in_the_log(
    access: Access, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = form(CLIENT).json["access_token"]
    form({"grant_type": "client_credentials"}, basic("k1", "hush"))
    form(CLIENT | {"client_secret": "hush-hush"}, {"authorization": "Basic hush"})
    call(event("POST", "/oauth2/token", '{"client_secret": "hush'))

    def broken(*_: object) -> None:
        raise ValueError("hush")

    monkeypatch.setattr(type(access.keys), "get", broken)
    answer = form(CLIENT)
    assert (answer.status, answer.json["error"]) == (500, "server_error")
    told = log.getvalue()
    assert "ValueError" in told
    assert told.count('"answered"') == 5
    assert "hush" not in told + answer.text
    assert token not in told
    assert base64.b64encode(b"k1:hush").decode() not in told


# --- browsers ------------------------------------------------------------------------------------


def test_a_browser_may_ask_without_a_key(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "PATCH"}
    answer = call(event("OPTIONS", "/v2/agents/{agent_key}", headers=asked))
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["access-control-allow-origin"] == "https://example.com"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    answer = call(event("OPTIONS", "/v2/agents/{agent_key}", headers={"origin": "null"}))
    assert (answer.status, answer.headers["vary"]) == (204, "origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_may_read_a_token_and_a_refusal(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    for wrong in ({}, {"client_secret": "wrong"}):
        answer = form(CLIENT | wrong, {"origin": "https://example.com"})
        assert answer.headers["access-control-allow-origin"] == "https://example.com"
        answer = form(CLIENT | wrong, {"origin": "https://example.org"})
        assert "access-control-allow-origin" not in answer.headers
