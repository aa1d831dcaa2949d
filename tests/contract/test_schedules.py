"""Schedules: each sends one wake-up at its time, which may be months away."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.adapters import aws
from cueline.adapters.memory import MemorySchedules
from cueline.adapters.schedules import EventBridgeSchedules, expression
from cueline.engine.ports import WakeUp
from cueline.errors import Unavailable
from tests.contract.backends import (
    FAILED_ARN,
    QUEUE_ARN,
    ROLE_ARN,
    SCHEDULES,
    SESSION,
    Backend,
    answer,
    hooked,
    scheduler_client,
    time_in,
)

SOON = 1_750_003_600_000
LATER = SOON + 300 * 86_400_000
WAKE_UP = WakeUp(SESSION, triggers=(1_750_000_000_000, 7))


def test_a_wake_up_waits_for_its_time(backend: Backend) -> None:
    backend.ports.schedules.at("a", SOON, WAKE_UP)
    backend.ports.schedules.at("b-0_.Z", LATER, WakeUp(SESSION, look={"t": 1}))
    assert backend.waiting() == {
        "a": (SOON, WAKE_UP),
        "b-0_.Z": (LATER, WakeUp(SESSION, look={"t": 1})),
    }
    assert backend.received() == []


def test_whoever_asks_again_under_a_name_changes_nothing(backend: Backend) -> None:
    backend.ports.schedules.at("a", SOON, WAKE_UP)
    backend.ports.schedules.at("a", SOON, WAKE_UP)
    backend.ports.schedules.at("a", LATER, WakeUp("support.other"))
    assert backend.waiting() == {"a": (SOON, WAKE_UP)}


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "a#b", "ü", "a\n"])
def test_a_name_is_one_that_the_service_takes(backend: Backend, name: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        backend.ports.schedules.at(name, SOON, WAKE_UP)
    assert backend.waiting() == {}


# --- in memory -----------------------------------------------------------------------------------


def test_what_is_due_is_given_once_and_the_earliest_first() -> None:
    schedules = MemorySchedules()
    schedules.at("b", SOON + 1, WakeUp(SESSION))
    schedules.at("a", SOON, WAKE_UP)
    schedules.at("c", LATER, WakeUp("support.other"))
    assert schedules.due(SOON - 1) == []
    assert schedules.due(SOON + 1) == [WAKE_UP, WakeUp(SESSION)]
    schedules.at("a", SOON, WAKE_UP)
    assert schedules.due(LATER) == [WakeUp("support.other")]


# --- EventBridge Scheduler -----------------------------------------------------------------------


def test_a_schedule_is_for_the_wake_ups_queue_and_removes_itself(table: Backend) -> None:
    table.ports.schedules.at("a", SOON, WAKE_UP)
    made = scheduler_client().get_schedule(GroupName=SCHEDULES, Name="a")
    assert made["ActionAfterCompletion"] == "DELETE"
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert made["ScheduleExpressionTimezone"] == "UTC"
    target = made["Target"]
    assert (target["Arn"], target["RoleArn"]) == (QUEUE_ARN, ROLE_ARN)
    assert target["DeadLetterConfig"] == {"Arn": FAILED_ARN}
    # Not a day of 185 tries, which is the service's own idea.
    assert target["RetryPolicy"]["MaximumRetryAttempts"] < 185
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 3_600


@given(when=st.integers(0, 4_000_000_000_000))
def test_it_never_comes_before_its_time(when: int) -> None:
    assert 0 <= time_in(expression(when)) - when < 1000


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (402, "ServiceQuotaExceededException"),
    ],
)
def test_a_service_that_does_not_take_it_is_unavailable(
    table: Backend, status: int, code: str
) -> None:
    def refuse(**_: object) -> Any:
        refused = answer(status, Message="Not now.")
        refused.headers["x-amzn-errortype"] = code
        return refused

    with (
        hooked(scheduler_client(), "before-send.scheduler.CreateSchedule", refuse),
        pytest.raises(Unavailable, match="EventBridge Scheduler"),
    ):
        table.ports.schedules.at("a", SOON, WAKE_UP)


def test_one_whose_answer_was_lost_is_made_once(table: Backend) -> None:
    left = [0.0]

    def lose(**_: object) -> float | None:
        return left.pop() if left else None

    with hooked(scheduler_client(), "needs-retry.scheduler", lose):
        table.ports.schedules.at("a", SOON, WAKE_UP)
    assert not left
    assert table.waiting() == {"a": (SOON, WAKE_UP)}


def test_no_client_is_made_before_the_first_schedule(table: Backend) -> None:
    made: list[object] = []

    def client() -> Any:
        made.append(None)
        return scheduler_client()

    schedules = EventBridgeSchedules(client, SCHEDULES, ROLE_ARN, QUEUE_ARN, FAILED_ARN)
    assert not made
    schedules.at("a", SOON, WAKE_UP)
    assert made


@pytest.mark.parametrize("missing", range(4))
def test_a_deployment_without_a_scheduler_says_so(missing: int) -> None:
    names = [SCHEDULES, ROLE_ARN, QUEUE_ARN, FAILED_ARN]
    names[missing] = ""
    schedules = EventBridgeSchedules(aws.scheduler_client, *names)
    with pytest.raises(Unavailable, match="no scheduler"):
        schedules.at("a", SOON, WAKE_UP)
