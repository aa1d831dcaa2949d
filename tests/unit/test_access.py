"""Who may come in: keys, their two secrets, and access tokens."""

import hmac
from collections.abc import Callable
from typing import Any

import pytest

from cueline.adapters.cached import CachedKeys
from cueline.adapters.memory import memory_ports
from cueline.doors import access as module
from cueline.doors.access import MAX_CREDENTIAL, Access, caller_of, hashed, new_token, secret_of
from cueline.engine.ports import Key, Secret
from cueline.errors import Unauthorized
from tests.clock import FakeClock

SIGNING = b"s" * 64
HOUR = 3_600_000


def key(*secrets: tuple[str, int], key_id: str = "k1") -> Key:
    return Key(key_id, "Ops", tuple(Secret(hashed(text), at) for text, at in secrets), 1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def access(clock: FakeClock) -> Access:
    """With the key `k1`, whose secrets are `new` and, for one hour more, `old`."""
    keys = memory_ports(clock).keys
    keys.put(key(("new", 0), ("old", clock.ms + HOUR)))
    return Access(CachedKeys(keys, clock, 60), clock, lambda: SIGNING)


def asks(access: Access | None, **headers: str) -> str:
    return caller_of({name.replace("_", "-"): value for name, value in headers.items()}, access)


def refused(access: Access, **headers: str) -> bool:
    try:
        asks(access, **headers)
    except Unauthorized:
        return True
    return False


def token(access: Access, text: str = "new", seconds: int = 1800) -> str:
    secret = secret_of("k1", text, access)
    assert secret
    return new_token("k1", secret, access.clock.now() + seconds * 1000, access)


# --- keys ----------------------------------------------------------------------------------------


def test_either_secret_comes_in_by_either_header(access: Access) -> None:
    for text in ("k1.new", "k1.old"):
        assert asks(access, x_api_key=text) == "k1"
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert asks(access, authorization=f"{scheme} {text}") == "k1"


def test_nobody_is_asked_where_access_is_not_checked() -> None:
    assert asks(None) == "anyone"
    assert asks(None, x_api_key="whatever") == "anyone"


@pytest.mark.parametrize(
    "given",
    ["", ".", "k1", "k1.", "k1.newer", "k2.new", ".new", "k1.new.", "k1..new", "K1.new", "new",
     "token.k1", "a.b.c.d", "k1.\ud800", "k\u0661.new", "k1.new\x00"],
)  # fmt: skip
def test_what_is_no_key_does_not_come_in(access: Access, given: str) -> None:
    assert refused(access, x_api_key=given)
    assert refused(access, authorization=f"Bearer {given}")


def test_a_stored_hash_is_not_a_secret(access: Access) -> None:
    assert refused(access, x_api_key=f"k1.{hashed('new')}")
    assert refused(access, x_api_key=f"nobody.{'0' * 64}")


def test_other_schemes_are_not_asked(access: Access) -> None:
    assert refused(access, authorization="Basic k1.new")
    assert refused(access, authorization="k1.new")
    assert asks(access, authorization="Basic eDp5", x_api_key="k1.new") == "k1"


def test_a_bearer_counts_where_both_headers_are_there(access: Access) -> None:
    """A client that was given a token adds the key that it found in its environment."""
    access.keys.put(key(("other", 0), key_id="k2"))
    assert asks(access, authorization="Bearer k1.new", x_api_key="k2.other") == "k1"
    assert asks(access, authorization=f"Bearer {token(access)}", x_api_key="foreign") == "k1"
    assert refused(access, authorization="Bearer k1.wrong", x_api_key="k2.other")
    assert asks(access, authorization="Bearer ", x_api_key="k2.other") == "k2"


def test_a_secret_ends_at_its_time_also_while_its_key_is_remembered(
    access: Access, clock: FakeClock
) -> None:
    clock.ms += HOUR - 1
    assert asks(access, x_api_key="k1.old") == "k1"
    clock.ms += 1
    assert refused(access, x_api_key="k1.old")
    assert asks(access, x_api_key="k1.new") == "k1"


def test_a_revoked_key_is_out_within_a_minute(clock: FakeClock) -> None:
    keys = memory_ports(clock).keys
    keys.put(key(("new", 0)))
    access = Access(CachedKeys(keys, clock, 60), clock, lambda: SIGNING)
    bearer = f"Bearer {token(access)}"
    assert asks(access, x_api_key="k1.new") == asks(access, authorization=bearer) == "k1"
    keys.remove("k1")
    clock.ms += 60_000
    assert refused(access, x_api_key="k1.new")
    assert refused(access, authorization=bearer)


def test_a_new_secret_comes_in_at_once(clock: FakeClock) -> None:
    """Also where the key is remembered without it."""
    keys = memory_ports(clock).keys
    keys.put(key(("old", 0)))
    access = Access(CachedKeys(keys, clock, 60), clock, lambda: SIGNING)
    elsewhere = Access(keys, clock, lambda: SIGNING)
    assert asks(access, x_api_key="k1.old") == "k1"
    assert keys.replace(key(("old", 0)), key(("new", 0)))
    assert asks(access, authorization=f"Bearer {token(elsewhere, 'new')}") == "k1"
    assert asks(access, x_api_key="k1.new") == "k1"
    assert refused(access, x_api_key="k1.old")


def test_what_is_too_long_is_not_even_looked_up(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(_: str, **__: bool) -> None:
        pytest.fail("looked up")

    monkeypatch.setattr(access.keys, "get", looked)
    monkeypatch.setattr(module, "hashed", looked)
    for length in (MAX_CREDENTIAL + 1, 1_000_000):
        given = "k1.".ljust(length, "x")
        assert refused(access, x_api_key=given)
        assert refused(access, authorization=f"Bearer {given}")
        assert refused(access, authorization=f"Bearer {' ' * length}k1.new")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    count = 0
    real = hmac.compare_digest

    def counting(one: Any, other: Any) -> bool:
        nonlocal count
        count += 1
        return real(one, other)

    def taken() -> int:
        nonlocal count
        before, count = count, 0
        return before

    monkeypatch.setattr(hmac, "compare_digest", counting)
    return taken


def test_every_id_and_secret_costs_the_same_comparisons(
    access: Access, compared: Callable[[], int]
) -> None:
    access.keys.put(key(("only", 0), key_id="k2"))
    good = token(access)
    compared()
    for given in ("k1.new", "k1.old", "k2.only"):
        assert asks(access, x_api_key=given)
        assert compared() == 2, given
    for given in ("k1.wrong", "k2.wrong", "nobody.wrong"):
        assert refused(access, x_api_key=given)
        assert compared() == 4, given
    assert asks(access, authorization=f"Bearer {good}")
    assert compared() == 2
    for given in (good.replace("k1", "nobody"), good[:-1] + "?"):
        assert refused(access, authorization=f"Bearer {given}")
        assert compared() == 4, given


# --- tokens --------------------------------------------------------------------------------------


def test_a_token_comes_in_until_its_time(access: Access, clock: FakeClock) -> None:
    bearer = f"Bearer {token(access, seconds=60)}"
    assert asks(access, authorization=bearer) == "k1"
    clock.ms += 60_000
    assert refused(access, authorization=bearer)


def test_a_token_ends_with_its_secret(access: Access, clock: FakeClock) -> None:
    of_old = f"Bearer {token(access, 'old', seconds=3 * 3600)}"
    of_new = f"Bearer {token(access, 'new', seconds=3 * 3600)}"
    clock.ms += HOUR
    assert refused(access, authorization=of_old)
    assert asks(access, authorization=of_new) == "k1"
    before = access.keys.get("k1")
    assert before
    assert access.keys.replace(before, key(("newest", 0)))
    assert refused(access, authorization=of_new)


def test_a_token_cannot_be_changed(access: Access) -> None:
    access.keys.put(key(("new", 0), key_id="k2"))
    given = token(access)
    kind, key_id, expires_at, signature = given.split(".")
    later = str(int(expires_at) + 1)
    for forged in (
        [kind, "k2", expires_at, signature],
        [kind, key_id, later, signature],
        [kind, key_id, f"0{expires_at}", signature[:-1]],
        [kind, key_id, "-1", signature],
        [kind, key_id, "9" * 30, signature],
        [kind, key_id, "\u0661" * 13, signature],
        [kind, key_id, expires_at, signature.upper()],
        [kind, key_id, expires_at, ""],
        [kind, key_id, expires_at, "\ud800"],
        ["t", key_id, expires_at, signature],
    ):
        assert refused(access, authorization=f"Bearer {'.'.join(forged)}"), forged


def test_who_knows_only_the_stored_hash_cannot_sign(access: Access, clock: FakeClock) -> None:
    stored = access.keys.get("k1")
    assert stored
    forger = Access(access.keys, clock, lambda: hashed("new").encode())
    forged = new_token("k1", stored.secrets[0], clock.ms + HOUR, forger)
    assert refused(access, authorization=f"Bearer {forged}")
    nobody = new_token("nobody", Secret("0" * 64), clock.ms + HOUR, access)
    assert refused(access, authorization=f"Bearer {nobody}")
