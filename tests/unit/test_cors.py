"""Which web pages may call the doors."""

import pytest

from cueline.doors.cors import Cors
from cueline.settings import Settings

NAMED = ["https://example.com", "http://localhost:3000"]
# A browser sends an origin in lower case, without a path, and without the port of its scheme.
FOREIGN = [
    None, "", "null", "*", "https://example.org", "http://example.com", "https://example.com:8443",
    "https://example.com:443", "https://example.com/", "https://EXAMPLE.com", "https://www.example.com",
    "https://example.com.evil.org", "https://evil.org/https://example.com", "http://localhost",
    "http://localhost:3001", "https://example.com,http://localhost:3000", " https://example.com",
]  # fmt: skip


def cors(given: str) -> Cors:
    """As the environment gives it."""
    named = {"table_name": "t", "wake_ups_url": "u", "allowed_origins": given}
    return Cors(Settings.model_validate(named).allowed_origins)


@pytest.fixture
def named() -> Cors:
    return cors("https://Example.com, http://localhost:3000")


@pytest.mark.parametrize("origin", NAMED)
def test_a_named_origin_may_read_and_send(named: Cors, origin: str) -> None:
    answer = named.headers(origin)
    assert answer["access-control-allow-origin"] == origin
    assert answer["access-control-expose-headers"] == "x-request-id, retry-after"
    asked = named.preflight(origin)
    assert answer.items() <= asked.items()
    assert asked["access-control-allow-methods"] == "GET, POST, PATCH, PUT, DELETE"
    assert set(asked["access-control-allow-headers"].split(", ")) == {
        "content-type", "authorization", "x-api-key", "customer-id", "x-source", "idempotency-key",
        "request-timeout", "request-timeout-millis", "x-fern-language", "x-fern-runtime",
        "x-fern-runtime-version",
    }  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_no_other_origin_is_told_anything(named: Cors, origin: str | None) -> None:
    assert named.headers(origin) == named.preflight(origin) == {"vary": "origin"}


@pytest.mark.parametrize("origin", [*NAMED, *FOREIGN])
def test_nothing_is_said_where_no_origin_is_named(origin: str | None) -> None:
    assert Cors().headers(origin) == Cors().preflight(origin) == {}


def test_a_browser_is_never_asked_for_its_own_credentials(named: Cors) -> None:
    assert "access-control-allow-credentials" not in named.preflight(NAMED[0])
