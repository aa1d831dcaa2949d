"""Schedules of triggers, each one of EventBridge Scheduler, which sends its message to the intake
queue whenever its time comes: at least once, within the minute after it.

One for a single time is removed by the service once that has passed; what is asked for then under
its name is made anew.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cueline.adapters.answers import answering, code_of
from cueline.adapters.schedules import RETRIES, TRIED_FOR
from cueline.adapters.wake_ups import checked_name
from cueline.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_scheduler.type_defs import CreateScheduleInputTypeDef

_log = logging.getLogger(__name__)

_ROUNDS = 3
"""Others may make, change or remove it at the same time; not for long."""
_TAKEN = "ConflictException"
"""It is there already; or somebody is changing it at this moment."""
_ABSENT = "ResourceNotFoundException"


class EventBridgeFirings:
    def __init__(
        self,
        client: "Callable[[], EventBridgeSchedulerClient]",
        group: str,
        role_arn: str,
        queue_arn: str,
        dead_letter_arn: str,
    ) -> None:
        """`client` is asked for at the first schedule: most processes never make one."""
        self._client, self._group, self._role_arn = client, group, role_arn
        self._queue_arn, self._dead_letter_arn = queue_arn, dead_letter_arn
        self._deployed = bool(group and role_arn and queue_arn and dead_letter_arn)

    def put(self, name: str, expression: str, timezone: str, message: str) -> None:
        schedule = self._schedule(checked_name(name), expression, timezone or "UTC", message)
        if not self._deployed:
            raise Unavailable("This deployment has no scheduler for what is done regularly.")
        try:
            for _ in range(_ROUNDS):
                if not _refused(lambda: self._client().create_schedule(**schedule), _TAKEN):
                    return
                if not _refused(
                    lambda: self._client().update_schedule(**schedule), _TAKEN, _ABSENT
                ):
                    return
        except ClientError as error:
            if code_of(error) != "ValidationException":
                raise
            # It may be a mistake in how this is deployed, too: only its own words can tell.
            _log.warning("EventBridge Scheduler refuses a schedule: %s", error)
            raise InvalidRequest(
                f"No schedule can be made of {expression} in {timezone or 'UTC'}.",
                {"schedule": "refused"},
            ) from error
        raise _too_many()

    def remove(self, name: str) -> None:
        checked = checked_name(name)
        if not self._deployed:
            return
        for _ in range(_ROUNDS):
            refused = _refused(
                lambda: self._client().delete_schedule(Name=checked, GroupName=self._group),
                *(_TAKEN, _ABSENT),
            )
            if refused != _TAKEN:
                return
        raise _too_many()

    def _schedule(
        self, name: str, expression: str, timezone: str, message: str
    ) -> "CreateScheduleInputTypeDef":
        """All of it, each time: what a change leaves out is set to the service's own default."""
        return {
            "Name": name,
            "GroupName": self._group,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": timezone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE" if expression.startswith("at(") else "NONE",
            "Target": {
                "Arn": self._queue_arn,
                "RoleArn": self._role_arn,
                "Input": message,
                "RetryPolicy": {
                    "MaximumRetryAttempts": RETRIES,
                    "MaximumEventAgeInSeconds": TRIED_FOR,
                },
                "DeadLetterConfig": {"Arn": self._dead_letter_arn},
            },
        }


def _refused(call: Callable[[], object], *expected: str) -> str:
    """Which of the expected codes it was refused with; empty where it was done."""
    with answering("EventBridge Scheduler"):
        try:
            call()
        except ClientError as error:
            if code_of(error) not in expected:
                raise
            return code_of(error)
    return ""


def _too_many() -> Unavailable:
    return Unavailable("Too many changes to this schedule at once; try again.")
