"""Schedules of triggers, each one of EventBridge Scheduler, which sends its message to the intake
queue whenever its time comes: at least once, within the minute after it.

One for a single time is removed by the service once that has passed; what is asked for then under
its name is made anew.
"""

import logging

from botocore.exceptions import ClientError

from cueline.adapters.answers import code_of
from cueline.adapters.schedules import TAKEN, EventBridgeScheduler, refused
from cueline.adapters.wake_ups import checked_name
from cueline.errors import InvalidRequest, Unavailable

_log = logging.getLogger(__name__)

_ROUNDS = 3
"""Others may make, change or remove it at the same time; not for long."""
_ABSENT = "ResourceNotFoundException"


class EventBridgeFirings(EventBridgeScheduler):
    def put(self, name: str, expression: str, timezone: str, message: str) -> None:
        schedule = self._schedule(checked_name(name), expression, timezone or "UTC", message)
        if not self._deployed:
            raise Unavailable("This deployment has no scheduler for what is done regularly.")
        try:
            for _ in range(_ROUNDS):
                if not refused(lambda: self._client().create_schedule(**schedule), TAKEN):
                    return
                if not refused(lambda: self._client().update_schedule(**schedule), TAKEN, _ABSENT):
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
            answer = refused(
                lambda: self._client().delete_schedule(Name=checked, GroupName=self._group),
                *(TAKEN, _ABSENT),
            )
            if answer != TAKEN:
                return
        raise _too_many()


def _too_many() -> Unavailable:
    return Unavailable("Too many changes to this schedule at once; try again.")
