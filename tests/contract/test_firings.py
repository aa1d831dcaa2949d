"""Schedules of triggers: made, made another one, and removed; each sends its message again and
again."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cueline.adapters import aws
from cueline.adapters.firings import EventBridgeFirings
from cueline.engine.background import Background
from cueline.errors import InvalidRequest, Unavailable
from tests.contract.backends import (
    FAILED_ARN,
    INTAKE_ARN,
    ROLE_ARN,
    SCHEDULES,
    Backend,
    hooked,
    scheduler_client,
)

DAILY = ("cron(30 8 * * ? *)", "Europe/Berlin", '{"trigger": "trg_1", "text": "Grüße"}')
HOURLY = ("rate(1 hour)", "UTC", '{"trigger": "trg_1"}')
ONCE = ("at(2026-12-24T18:00:00)", "Asia/Tokyo", '{"trigger": "trg_1"}')


def made(name: str = "a") -> Any:
    return scheduler_client().get_schedule(GroupName=SCHEDULES, Name=name)


def refusing(*calls: tuple[str, str]) -> ExitStack:
    """The first tries of these operations, one after the other, are refused with these codes."""
    stack = ExitStack()
    for operation in {operation for operation, _ in calls}:
        left = [code for name, code in calls if name == operation]

        def refuse(left: list[str] = left, operation: str = operation, **_: object) -> None:
            if not left:
                return
            raise ClientError({"Error": {"Code": left.pop(0), "Message": "No."}}, operation)

        # Before anything is sent: an answer in place of moto's would not keep moto from doing it.
        stack.enter_context(
            hooked(scheduler_client(), f"provide-client-params.scheduler.{operation}", refuse)
        )
    return stack


def test_a_schedule_is_made_and_made_another_one(backend: Backend) -> None:
    firings = backend.background.firings
    firings.put("a", *DAILY)
    firings.put("b-0_.Z", *ONCE)
    assert backend.firings() == {"a": DAILY, "b-0_.Z": ONCE}
    for _ in range(2):
        firings.put("a", *HOURLY)
        assert backend.firings() == {"a": HOURLY, "b-0_.Z": ONCE}


def test_one_that_was_removed_is_gone_until_it_is_made_again(backend: Backend) -> None:
    firings = backend.background.firings
    firings.remove("a")
    firings.put("a", *DAILY)
    firings.put("b", *DAILY)
    for _ in range(2):
        firings.remove("a")
        assert backend.firings() == {"b": DAILY}
    firings.put("a", *HOURLY)
    assert backend.firings() == {"a": HOURLY, "b": DAILY}


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "a#b", "ü", "a\n"])
def test_a_name_is_one_that_the_service_takes(background: Background, name: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        background.firings.put(name, *DAILY)
    with pytest.raises(ValueError, match="schedule"):
        background.firings.remove(name)


# --- EventBridge Scheduler -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [(None, DAILY, "NONE"), (HOURLY, DAILY, "NONE"), (None, ONCE, "DELETE")],
)
def test_a_schedule_is_for_the_intake_queue(
    table: Backend, before: tuple[str, str, str] | None, given: tuple[str, str, str], after: str
) -> None:
    if before:
        table.background.firings.put("a", *before)
    table.background.firings.put("a", *given)
    assert made()["ActionAfterCompletion"] == after
    assert made()["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = made()["Target"]
    assert (target["Arn"], target["RoleArn"]) == (INTAKE_ARN, ROLE_ARN)
    assert target["DeadLetterConfig"] == {"Arn": FAILED_ARN}
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 3_600


def test_a_change_says_all_that_a_schedule_is(table: Backend) -> None:
    """What it leaves out, the service sets to its own default."""
    seen: dict[str, Any] = {}

    def see(params: dict[str, Any], model: Any, **_: object) -> None:
        seen[model.name] = {k: v for k, v in params.items() if k != "ClientToken"}

    with hooked(scheduler_client(), "provide-client-params.scheduler", see):
        for given in (DAILY, ONCE):
            table.background.firings.put("a", *given)
    assert seen["CreateSchedule"] == seen["UpdateSchedule"]
    assert seen["UpdateSchedule"]["ActionAfterCompletion"] == "DELETE"


def test_without_a_timezone_it_is_that_of_the_service(table: Backend) -> None:
    table.background.firings.put("a", DAILY[0], "", DAILY[2])
    assert made()["ScheduleExpressionTimezone"] == "UTC"


def test_what_makes_no_schedule_is_the_callers_mistake(table: Backend) -> None:
    firings = table.background.firings
    with (
        refusing(("CreateSchedule", "ValidationException")),
        pytest.raises(InvalidRequest, match="rate") as refused,
    ):
        firings.put("a", "rate(1 fortnight)", "UTC", "{}")
    assert refused.value.fields.keys() == {"schedule"}
    firings.put("a", *DAILY)
    with (
        refusing(("UpdateSchedule", "ValidationException")),
        pytest.raises(InvalidRequest, match="Moon"),
    ):
        firings.put("a", DAILY[0], "Moon/Sea", "{}")
    assert table.firings() == {"a": DAILY}


def test_one_that_goes_while_it_is_changed_is_made_again(table: Backend) -> None:
    firings = table.background.firings
    firings.put("a", *DAILY)

    def remove(**_: object) -> None:
        firings.remove("a")

    with hooked(scheduler_client(), "before-send.scheduler.UpdateSchedule", remove):
        firings.put("a", *HOURLY)
    assert table.firings() == {"a": HOURLY}


def test_one_that_comes_while_it_is_made_is_changed(table: Backend) -> None:
    firings = table.background.firings
    with refusing(("CreateSchedule", "ConflictException")):
        firings.put("a", *HOURLY)
    assert table.firings() == {"a": HOURLY}


def test_whoever_is_in_the_way_for_long_makes_it_unavailable(table: Backend) -> None:
    firings = table.background.firings
    firings.put("a", *DAILY)
    with refusing(("UpdateSchedule", "ConflictException")):
        firings.put("a", *HOURLY)
    with refusing(("DeleteSchedule", "ConflictException")):
        firings.remove("a")
    firings.put("a", *DAILY)
    with (
        refusing(*[("UpdateSchedule", "ConflictException")] * 3),
        pytest.raises(Unavailable, match="at once"),
    ):
        firings.put("a", *HOURLY)
    with (
        refusing(*[("DeleteSchedule", "ConflictException")] * 3),
        pytest.raises(Unavailable, match="at once"),
    ):
        firings.remove("a")
    assert table.firings() == {"a": DAILY}


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("ServiceQuotaExceededException", Unavailable),
        ("ThrottlingException", Unavailable),
        ("AccessDeniedException", ClientError),
        ("ResourceNotFoundException", ClientError),
    ],
)
def test_a_service_that_does_not_take_it_is_unavailable_or_badly_deployed(
    table: Backend, code: str, raised: type[Exception]
) -> None:
    """Where the group is missing, nothing is found when a schedule is to be made in it."""
    with refusing(*[("CreateSchedule", code)] * 5), pytest.raises(raised):
        table.background.firings.put("a", *DAILY)
    assert table.firings() == {}


@pytest.mark.parametrize("already", [False, True])
def test_what_was_done_is_done_though_its_answer_was_lost(table: Backend, already: bool) -> None:
    firings = table.background.firings
    if already:
        firings.put("a", *HOURLY)
    writes: list[tuple[Callable[[], None], dict[str, Any]]] = [
        (lambda: firings.put("a", *DAILY), {"a": DAILY}),
        (lambda: firings.remove("a"), {}),
    ]
    for write, then in writes:
        left = [0.0]

        def lose(left: list[float] = left, **_: object) -> float | None:
            return left.pop() if left else None

        with hooked(scheduler_client(), "needs-retry.scheduler", lose):
            write()
        assert not left
        assert table.firings() == then


def test_no_client_is_made_before_the_first_schedule(table: Backend) -> None:
    asked: list[object] = []

    def client() -> Any:
        asked.append(None)
        return scheduler_client()

    firings = EventBridgeFirings(client, SCHEDULES, ROLE_ARN, INTAKE_ARN, FAILED_ARN)
    assert not asked
    firings.put("a", *DAILY)
    assert asked
    assert table.firings() == {"a": DAILY}


@pytest.mark.parametrize("missing", range(4))
def test_a_deployment_without_a_scheduler_says_so(missing: int) -> None:
    names = [SCHEDULES, ROLE_ARN, INTAKE_ARN, FAILED_ARN]
    names[missing] = ""
    firings = EventBridgeFirings(aws.scheduler_client, *names)
    with pytest.raises(Unavailable, match="no scheduler"):
        firings.put("a", *DAILY)
    firings.remove("a")
