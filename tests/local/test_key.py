"""The command that makes, lists, rotates and revokes keys, on a stack in moto."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import boto3
import pytest
from moto import mock_aws

from cueline.adapters import aws
from cueline.adapters.dynamodb.keys import DynamoKeys
from cueline.doors.access import Access, caller_of
from cueline.errors import Unauthorized
from local import key as command
from tests.clock import FakeClock
from tests.contract.backends import create_table

DAY = 86_400_000


@dataclass
class Stack:
    run: Callable[..., str]
    """Runs the command and returns what it prints on stdout; it must succeed."""
    fails: Callable[..., str]
    """Runs the command, which must fail; what it says why."""
    clock: FakeClock
    access: Access

    def comes_in(self, text: str) -> bool:
        try:
            caller_of({"x-api-key": text}, self.access)
        except Unauthorized:
            return False
        return True


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    clock = FakeClock()
    monkeypatch.setattr(command, "SystemClock", lambda: clock)
    # CloudFormation in moto wants packages that nothing else here does.
    monkeypatch.setattr(command, "table_of", {"cueline": "cueline"}.__getitem__)

    def run(*given: str) -> str:
        assert command.main(list(given)) == 0, capsys.readouterr().err
        return capsys.readouterr().out.strip()

    def fails(*given: str) -> str:
        capsys.readouterr()
        assert command.main(list(given)) == 1
        told = capsys.readouterr()
        assert not told.out
        return told.err

    with mock_aws():
        aws._session.cache_clear()
        dynamodb = boto3.client("dynamodb")
        create_table(dynamodb, "cueline")
        keys = DynamoKeys(dynamodb, "cueline", clock)
        yield Stack(run, fails, clock, Access(keys, clock, lambda: b""))
    aws._session.cache_clear()


def id_of(text: str) -> str:
    return text.partition(".")[0]


def test_a_made_key_comes_in_and_is_listed_without_its_secret(stack: Stack) -> None:
    text = stack.run("--name", "website")
    assert re.fullmatch(r"key[0-9a-f]{16}\.[0-9A-Za-z_-]{43}", text)
    assert stack.comes_in(text)
    (line,) = stack.run("--list").splitlines()
    assert line == f"{id_of(text)}  made 2025-06-15 15:06 UTC  valid until revoked  website"
    stack.clock.ms += 10_000 * DAY
    assert stack.comes_in(text)


def test_a_key_may_end_by_itself(stack: Stack) -> None:
    text = stack.run("--name", "website", "--expires", "90d")
    assert "valid until 2025-09-13 15:06 UTC" in stack.run("--list")
    stack.clock.ms += 90 * DAY - 1
    assert stack.comes_in(text)
    stack.clock.ms += 1
    assert not stack.comes_in(text)
    assert "expired" in stack.run("--list")


def test_a_rotated_key_has_two_secrets_for_a_day(stack: Stack) -> None:
    old = stack.run("--name", "website")
    new = stack.run("--rotate", id_of(old))
    assert id_of(new) == id_of(old)
    assert stack.comes_in(old)
    assert stack.comes_in(new)
    assert "valid until revoked, the older until 2025-06-16 15:06 UTC" in stack.run("--list")
    stack.clock.ms += DAY
    assert not stack.comes_in(old)
    assert stack.comes_in(new)
    assert stack.comes_in(stack.run("--rotate", id_of(old)))


def test_rotating_lengthens_no_secret_s_life(stack: Stack) -> None:
    old = stack.run("--name", "website", "--expires", "1h")
    stack.run("--rotate", id_of(old))
    stack.clock.ms += DAY // 24
    assert not stack.comes_in(old)


def test_a_key_with_two_live_secrets_is_rotated_only_on_purpose(stack: Stack) -> None:
    """Who lost the new secret and rotates again must not end the one that is in use."""
    old = stack.run("--name", "website")
    new = stack.run("--rotate", id_of(old))
    assert "OVERLAP=0h" in stack.fails("--rotate", id_of(old))
    assert stack.comes_in(old)
    newest = stack.run("--rotate", id_of(old), "--overlap", "0h")
    assert [stack.comes_in(text) for text in (old, new, newest)] == [False, False, True]


def test_a_revoked_key_is_out(stack: Stack) -> None:
    text, other = stack.run("--name", "website"), stack.run("--name", "other")
    assert stack.run("--revoke", id_of(text)) == ""
    assert not stack.comes_in(text)
    assert stack.comes_in(other)
    assert id_of(text) not in stack.run("--list")
    for what in ("--revoke", "--rotate"):
        assert "make keys" in stack.fails(what, id_of(text))


def test_a_key_that_was_revoked_while_it_is_rotated_stays_so(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = stack.run("--name", "website")
    real = command._with_new_secret

    def meanwhile(*given: object) -> object:
        stack.access.keys.remove(id_of(text))
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "_with_new_secret", meanwhile)
    assert "Nothing was done" in stack.fails("--rotate", id_of(text))
    assert not stack.comes_in(text)
    assert stack.run("--list") == ""


def test_a_stack_that_is_not_there_is_named(stack: Stack) -> None:
    assert "Is the stack 'other' deployed?" in stack.fails("--list", "--stack", "other")


@pytest.mark.parametrize(
    "given",
    [[], ["--name", "a", "--list"], ["--name", "a", "--expires", "0d"],
     ["--name", "a", "--expires", "soon"], ["--rotate", "k", "--overlap", "1w"]],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(given: list[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(given)
