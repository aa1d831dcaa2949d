"""When a trigger fires by itself: what its owner writes, as EventBridge Scheduler reads it.

A schedule is one of

* `never`, or nothing at all;
* a keyword (`hourly`), or an ISO 8601 duration (`PT90M`): again and again in real time, whatever
  clocks do. A month of a duration has 30 days, a year 365;
* `HH:MM`, or five fields of cron (`30 9 * * mon-fri`): on the clocks of the time zone;
* an ISO 8601 date or date-time: once; without an offset it is on the clocks of the time zone.

Where clocks are set forward, a time of day that is left out does not come on that day; where they
are set back, one that comes twice fires the first time only: so does EventBridge Scheduler. A
date-time that is left out comes as much later as clocks are set forward, and the first of two is
meant.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cueline.engine.background import BackgroundTrigger
from cueline.errors import InvalidRequest

MINUTE = 60_000
LONGEST = 366 * 24 * 60
"""Minutes from one firing to the next."""
MOST_CHARACTERS = 200

_EVERY = {
    "quarterhourly": 15,
    "halfhourly": 30,
    "hourly": 60,
    "twicedaily": 12 * 60,
    "daily": 24 * 60,
    "weekly": 7 * 24 * 60,
}
_HOW = (
    "is `never`, quarterhourly, halfhourly, hourly, twicedaily, daily, twiceweekly, weekly, "
    "twicemonthly or monthly; a time `HH:MM`; five fields of cron; or an ISO 8601 duration, date "
    "or date-time"
)
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\S*(?: \d\S*)?", re.ASCII)
_DURATION = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,4})D)?"
    r"(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?",
    re.ASCII,
)
_SECONDS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,49}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """`expression` is EventBridge Scheduler's, on the clocks of `timezone`; one of the others says
    the same."""

    expression: str = ""
    timezone: str = "UTC"
    cron: str = ""
    every: int = 0
    """Milliseconds."""
    once: int = 0
    """Milliseconds since 1970, UTC."""

    def next(self, after: int) -> int:
        """When it fires first after that, in ms since 1970; 0 is never. What has a period that no
        clock shows counts from `after`."""
        if self.cron:
            return _next(self.cron, ZoneInfo(self.timezone), after)
        if self.every:
            return after + self.every
        return self.once if self.once > after else 0


def parse(schedule: str, timezone: str, anchor: int) -> Schedule:
    """What repeats in real time does so as counted from `anchor`, in ms since 1970.

    Raises InvalidRequest.
    """
    zone = _zone(timezone or "UTC")
    text = schedule.strip()
    if len(text) > MOST_CHARACTERS:
        raise _invalid("schedule", f"has more than {MOST_CHARACTERS} characters")
    word = text.lower()
    if word in ("", "never"):
        return Schedule()
    if word in _EVERY:
        return _steady(_EVERY[word], anchor)
    if word in ("twiceweekly", "twicemonthly", "monthly"):
        return _cron(_twice(word, anchor), ZoneInfo("UTC"))
    if found := _TIME.fullmatch(text):
        return _cron(f"{int(found[2])} {int(found[1])} * * *", zone)
    if found := _DURATION.fullmatch(text):
        return _steady(_minutes(found), anchor)
    if _DATE.fullmatch(text):
        return _once(text, zone)
    if len(text.split()) == 5:
        return _cron(text, zone)
    raise _invalid("schedule", _HOW)


def schedule_of(trigger: BackgroundTrigger) -> Schedule:
    return parse(trigger.schedule, trigger.timezone, trigger.created_at)


def next_at(trigger: BackgroundTrigger, now: int) -> int:
    """When it is fired next, in ms since 1970; 0 is never. Raises InvalidRequest."""
    return 0 if trigger.paused else schedule_of(trigger).next(now)


def planned(trigger: BackgroundTrigger, now: int) -> BackgroundTrigger:
    """With `next_at` as it is from now on. Raises InvalidRequest."""
    return replace(trigger, next_at=next_at(trigger, now))


def due(trigger: BackgroundTrigger, at: int) -> bool:
    """Whether what was fired at `at` is to be run.

    EventBridge Scheduler fires what has a rate as soon as it is made, and again after each period.
    """
    period = schedule_of(trigger).every
    return not period or at >= trigger.next_at - period // 2


def fired(trigger: BackgroundTrigger, now: int) -> BackgroundTrigger:
    """As it is once it was fired at `now`."""
    return planned(replace(trigger, last_at=max(trigger.last_at, now)), now)


def _steady(minutes: int, anchor: int) -> Schedule:
    """On UTC's clock where that shows the same each time: then it is known when it comes."""
    at = datetime.fromtimestamp(anchor // 1000, UTC)
    if not 0 < minutes <= LONGEST:
        raise _invalid("schedule", "must be at least a minute, and not more than a year")
    if 60 % minutes == 0:
        cron = f"{_from(at.minute, minutes, 60)} * * * *"
    elif minutes % 60 == 0 and (24 * 60) % minutes == 0:
        cron = f"{at.minute} {_from(at.hour, minutes // 60, 24)} * * *"
    elif minutes == _EVERY["weekly"]:
        cron = f"{at.minute} {at.hour} * * {at.isoweekday()}"
    else:
        return Schedule(f"rate({minutes} minutes)", every=minutes * MINUTE)
    return _cron(cron, ZoneInfo("UTC"))


def _from(start: int, step: int, end: int) -> str:
    return ",".join(map(str, range(start % step, end, step)))


def _twice(word: str, anchor: int) -> str:
    """Every month has its first 28 days."""
    at = datetime.fromtimestamp(anchor // 1000, UTC)
    if word == "twiceweekly":
        days = f"* * {at.isoweekday()},{(at.isoweekday() + 2) % 7 + 1}"
    elif word == "twicemonthly":
        days = f"{(at.day - 1) % 14 + 1},{(at.day - 1) % 14 + 15} * *"
    else:
        days = f"{min(at.day, 28)} * *"
    return f"{at.minute} {at.hour} {days}"


def _minutes(duration: re.Match[str]) -> int:
    seconds = sum(int(n or 0) * s for n, s in zip(duration.groups(), _SECONDS, strict=True))
    if seconds % 60:
        raise _invalid("schedule", "must be whole minutes")
    return seconds // 60


def _once(text: str, zone: ZoneInfo) -> Schedule:
    """In UTC, so that it does not matter what EventBridge Scheduler makes of a time left out."""
    try:
        time = datetime.fromisoformat(text)
        seconds = -int(-(time if time.tzinfo else time.replace(tzinfo=zone)).timestamp() // 1)
        utc = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise _invalid("schedule", _HOW) from None
    return Schedule(f"at({utc:%Y-%m-%dT%H:%M:%S})", once=1000 * seconds)


def _cron(text: str, zone: ZoneInfo) -> Schedule:
    from cronsim import CronSim, CronSimError  # only who has a schedule pays for the import

    try:
        read = CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001
    except CronSimError as error:
        raise _invalid("schedule", f"is no cron expression: {str(error).lower()}") from None
    weekdays = {day % 7 + 1 for day in read.weekdays if isinstance(day, int)}
    if min(read.days) < 0 or any(isinstance(day, tuple) for day in read.weekdays):
        raise _invalid("schedule", "may have numbers and names, and `*`, `,`, `-` and `/`")
    written = text.split()
    any_day = written[2].startswith("*") and len(read.days) == 31
    any_weekday = len(weekdays) == 7 and (any_day or written[4].startswith("*"))
    if not (any_day or any_weekday):
        # Cron means either of them, and EventBridge Scheduler cannot.
        why = "names days of the month and of the week; write `*` for one of them"
        raise _invalid("schedule", why)
    days = "*" if any_day and any_weekday else "?" if any_day else _field(read.days, 31)
    fields = (
        _field(read.minutes, 60),
        _field(read.hours, 24),
        days,
        _field(read.months, 12),
        "?" if any_weekday else _field(weekdays, 7),
        "*",
    )
    return Schedule(f"cron({' '.join(fields)})", zone.key, cron=text)


def _field(values: Collection[int], all_of_them: int) -> str:
    """As a list of ranges, which means the same to everybody who reads cron, and is never longer
    than an expression may be."""
    if len(values) == all_of_them:
        return "*"
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def _next(cron: str, zone: ZoneInfo, after: int) -> int:
    """Among the times of day of that zone's clocks, those that are there, each once."""
    from cronsim import CronSim

    for wall in CronSim(cron, datetime.fromtimestamp(after / 1000, zone).replace(tzinfo=None)):
        time = wall.replace(tzinfo=zone)
        there = time.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
        found = round(time.timestamp() * 1000)
        if there and found > after:
            return found
    return 0


def _zone(name: str) -> ZoneInfo:
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        pass
    raise _invalid("timezone", "is not the name of a time zone, as in `Europe/Berlin`")


def _invalid(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"The {field} {why}.", {field: why})
