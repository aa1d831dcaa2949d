"""The deployment's secrets, as functions get them: above all the one that signs access tokens."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from cueline import bootstrap
from cueline.adapters import aws, secrets
from cueline.errors import ModelError, Unavailable
from tests.clock import FakeClock

MINUTE = 60_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeClock]:
    clock = FakeClock(now=0)
    given = SimpleNamespace(token_secret_arn="arn:of-the-secret")
    monkeypatch.setattr(bootstrap, "settings", lambda: given)
    monkeypatch.setattr(bootstrap, "ports", lambda: SimpleNamespace(clock=clock))
    bootstrap._read_signing_secret.cache_clear()
    yield clock
    bootstrap._read_signing_secret.cache_clear()


def test_it_is_read_once_in_five_minutes(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def secret(arn: str) -> str:
        asked.append(arn)
        return f"{len(asked)}" * 64

    monkeypatch.setattr(aws, "secret", secret)
    assert bootstrap.signing_secret() == bootstrap.signing_secret() == b"1" * 64
    clock.ms += 5 * MINUTE
    assert bootstrap.signing_secret() == b"2" * 64
    assert asked == ["arn:of-the-secret"] * 2


@pytest.mark.parametrize("found", ["", "short", "x" * (secrets.SHORTEST - 1)])
@pytest.mark.usefixtures("clock")
def test_nothing_is_signed_with_what_can_be_guessed(
    monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    monkeypatch.setattr(aws, "secret", lambda _: found)
    with pytest.raises(Unavailable):
        bootstrap.signing_secret()


@pytest.mark.usefixtures("clock")
def test_a_secret_that_cannot_be_read_is_no_lasting_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(_: str) -> str:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue")

    monkeypatch.setattr(aws, "secret", denied)
    with pytest.raises(Unavailable):
        bootstrap.signing_secret()
    assert "cannot be read" in caplog.text
    monkeypatch.setattr(aws, "secret", lambda _: "s" * 64)
    assert bootstrap.signing_secret() == b"s" * 64


def test_a_models_secret_that_cannot_be_read_is_an_error_that_an_alarm_can_ring_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(_: str) -> str:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue")

    monkeypatch.setattr(aws, "secret", denied)
    with pytest.raises(ModelError) as failed:
        secrets.of_model("arn")
    assert failed.value.kind == "model_unauthorized"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
