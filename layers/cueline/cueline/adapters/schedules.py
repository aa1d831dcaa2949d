"""Wake-ups at a time that is far away, each a schedule of EventBridge Scheduler that runs once.

It is sent within the minute after its time, and the schedule is removed then: its name is free
again. Under the name of one that waits nothing is made, so that who asks twice is answered once.

AWS does not document what becomes of a time that has passed; by all accounts the schedule is
refused. The engine asks for times at least a quarter of an hour ahead, and sends what is nearer
through the queue.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cueline.adapters.answers import answering, code_of
from cueline.adapters.wake_ups import checked_name, wake_up_to_json
from cueline.engine.ports import WakeUp
from cueline.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_scheduler.type_defs import CreateScheduleInputTypeDef

RETRIES = 30
"""Sending costs nothing and runs nothing, and what comes late is judged by the log: so it is tried
for as long as the queue may be away. The service waits longer from try to try."""
TRIED_FOR = 3_600
"""Seconds. Then it is a dead letter, and an alarm."""
TAKEN = "ConflictException"
"""It is there already; or somebody is changing it at this moment."""


class EventBridgeScheduler:
    """The service, as far as it sends messages to one queue."""

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


class EventBridgeSchedules(EventBridgeScheduler):
    def at(self, name: str, when: int, wake_up: WakeUp) -> None:
        if not self._deployed:
            raise Unavailable("This deployment has no scheduler for what is to be said later.")
        message = wake_up_to_json(wake_up)
        schedule = self._schedule(checked_name(name), expression(when), "UTC", message)
        refused(lambda: self._client().create_schedule(**schedule), TAKEN)


def refused(call: Callable[[], object], *expected: str) -> str:
    """Which of the expected codes it was refused with; empty where it was done."""
    with answering("EventBridge Scheduler"):
        try:
            call()
        except ClientError as error:
            if code_of(error) not in expected:
                raise
            return code_of(error)
    return ""


def expression(when: int) -> str:
    """Ms since 1970, rounded up to a second: it must not come before its time."""
    time = datetime.fromtimestamp(-(-when // 1000), UTC)
    return f"at({time:%Y-%m-%dT%H:%M:%S})"
