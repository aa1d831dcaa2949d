"""When a trigger fires by itself, as its owner writes it."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.adapters.memory.background import MemoryFirings, memory_background
from cueline.doors.background_triggers.arming import arm, firing_name, settle
from cueline.doors.background_triggers.schedules import due, fired, parse, planned
from cueline.engine.background import Background, BackgroundTrigger
from cueline.errors import InvalidRequest, Unavailable
from tests.clock import FakeClock

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: ZoneInfo | None = None) -> int:
    """Of what clocks show in that zone, or in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp() * 1000)


def told(time: int, zone: str = "UTC") -> str:
    return f"{datetime.fromtimestamp(time / 1000, ZoneInfo(zone)):%Y-%m-%dT%H:%M}" if time else ""


MADE = ms("2026-11-27T20:47:30")  # a Friday


def trigger(schedule: str = "hourly", timezone: str = "") -> BackgroundTrigger:
    return BackgroundTrigger(
        "t1", created_at=MADE, updated_at=MADE, schedule=schedule, timezone=timezone
    )


@pytest.fixture
def background() -> Background:
    return memory_background(FakeClock())


def made(background: Background) -> dict[str, tuple[str, str, str]]:
    assert isinstance(background.firings, MemoryFirings)
    return background.firings.made


@pytest.mark.parametrize(
    ("schedule", "expression", "first"),
    [
        ("quarterhourly", "cron(2,17,32,47 * * * ? *)", "2026-11-27T21:02"),
        ("halfhourly", "cron(17,47 * * * ? *)", "2026-11-27T21:17"),
        ("hourly", "cron(47 * * * ? *)", "2026-11-27T21:47"),
        ("twicedaily", "cron(47 8,20 * * ? *)", "2026-11-28T08:47"),
        ("daily", "cron(47 20 * * ? *)", "2026-11-28T20:47"),
        ("twiceweekly", "cron(47 20 ? * 2,6 *)", "2026-11-30T20:47"),
        ("weekly", "cron(47 20 ? * 6 *)", "2026-12-04T20:47"),
        ("twicemonthly", "cron(47 20 13,27 * ? *)", "2026-12-13T20:47"),
        ("monthly", "cron(47 20 27 * ? *)", "2026-12-27T20:47"),
        ("Hourly ", "cron(47 * * * ? *)", "2026-11-27T21:47"),
        ("PT1M", "cron(* * * * ? *)", "2026-11-27T20:48"),
        ("PT20M", "cron(7,27,47 * * * ? *)", "2026-11-27T21:07"),
        ("PT24H", "cron(47 20 * * ? *)", "2026-11-28T20:47"),
        ("P1DT0S", "cron(47 20 * * ? *)", "2026-11-28T20:47"),
        ("P1W", "cron(47 20 ? * 6 *)", "2026-12-04T20:47"),
        ("PT7M", "rate(7 minutes)", "2026-11-27T20:54"),
        ("PT90M", "rate(90 minutes)", "2026-11-27T22:17"),
        ("P1M", "rate(43200 minutes)", "2026-12-27T20:47"),
        ("2026-12-24", "at(2026-12-24T00:00:00)", "2026-12-24T00:00"),
        ("2026-12-24T18:00:00.5+01:00", "at(2026-12-24T17:00:01)", "2026-12-24T17:00"),
        ("2026-12-24 18:00", "at(2026-12-24T18:00:00)", "2026-12-24T18:00"),
        ("2026-12-24T18:00Z", "at(2026-12-24T18:00:00)", "2026-12-24T18:00"),
        ("9:05", "cron(5 9 * * ? *)", "2026-11-28T09:05"),
        ("20:48", "cron(48 20 * * ? *)", "2026-11-27T20:48"),
        ("*/15 * * * *", "cron(0,15,30,45 * * * ? *)", "2026-11-27T21:00"),
        ("30 9 * * mon-fri", "cron(30 9 ? * 2-6 *)", "2026-11-30T09:30"),
        ("30 9 * * 0", "cron(30 9 ? * 1 *)", "2026-11-29T09:30"),
        ("30 9 * * 7", "cron(30 9 ? * 1 *)", "2026-11-29T09:30"),
        ("30 9 * * 5-7", "cron(30 9 ? * 1,6-7 *)", "2026-11-28T09:30"),
        ("0 0 1 jan,JUL *", "cron(0 0 1 1,7 ? *)", "2027-01-01T00:00"),
        ("0 0 29 2 *", "cron(0 0 29 2 ? *)", "2028-02-29T00:00"),
        ("1-59 * 2-31 * *", "cron(1-59 * 2-31 * ? *)", "2026-11-27T20:48"),
        ("* * * * *", "cron(* * * * ? *)", "2026-11-27T20:48"),
        (
            "0,1,3,4 0-22/2 */10 * *",
            "cron(0-1,3-4 0,2,4,6,8,10,12,14,16,18,20,22 1,11,21,31 * ? *)",
            "2026-12-01T00:00",
        ),
        ("* * */1 * 0-6", "cron(* * * * ? *)", "2026-11-27T20:48"),
    ],
)
def test_a_schedule_comes_as_it_is_written(schedule: str, expression: str, first: str) -> None:
    read = parse(schedule, "", MADE)
    assert (read.expression, read.timezone) == (expression, "UTC")
    assert told(read.next(MADE)) == first


@pytest.mark.parametrize("schedule", ["", "never", " ", "NEVER"])
def test_no_schedule_never_comes(schedule: str) -> None:
    assert parse(schedule, "Europe/Berlin", MADE).next(MADE) == 0


@pytest.mark.parametrize(
    "schedule",
    [
        *("sometimes", "24:00", "9:5", "9.30", "99", "PT", "P", "PT30S", "PT90S", "PT1.5H", "P2Y"),
        *(
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* * 0 * *",
            "* * 30 2 *",
            "*/0 * * * *",
            "@daily",
        ),
        *("0 0 L * *", "0 0 LW * *", "0 0 * * 5L", "0 0 * * 1#2", "0 0 ? * 1", "0 0 15W * *"),
        *("0 0 13 * 5", "0 0 1-31 * 1", "0 0 */2 * 1"),
        *(
            "2026-13-01",
            "2026-12-24T25:00",
            "2026-12-24Tnoon",
            "0001-01-01T00:00+14:00",
            "2026-W52",
        ),
        *("9999-12-31T23:59-14:00", "\u0661\u0662:\u0660\u0660", "* " * 200),
    ],
)
def test_what_is_no_schedule_is_refused_by_name(schedule: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(schedule, "", MADE)
    assert "schedule" in refused.value.fields


@pytest.mark.parametrize(
    "zone", ["Berlin", "Europe", "CEST+1:00", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 60]
)
def test_what_is_no_time_zone_is_refused_by_name(zone: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse("hourly", zone, MADE)
    assert "timezone" in refused.value.fields


def test_times_of_day_are_on_the_clocks_of_the_time_zone() -> None:
    read = parse("09:30", "America/New_York", MADE)
    assert read.timezone == "America/New_York"
    assert told(read.next(MADE)) == "2026-11-28T14:30"
    assert told(parse("2026-12-24T18:00", "Asia/Kolkata", 0).next(MADE)) == "2026-12-24T12:30"


def test_real_time_does_not_heed_the_time_zone() -> None:
    assert parse("daily", "Asia/Kolkata", MADE) == parse("daily", "", MADE)


def test_a_time_of_day_that_clocks_leave_out_does_not_come_on_that_day() -> None:
    read = parse("02:30", "Europe/Berlin", MADE)  # on 2027-03-28 02:00 becomes 03:00
    before = read.next(ms("2027-03-27T00:00", BERLIN))
    assert told(before, "Europe/Berlin") == "2027-03-27T02:30"
    assert told(read.next(before), "Europe/Berlin") == "2027-03-29T02:30"


def test_a_time_of_day_that_comes_twice_fires_the_first_time_only() -> None:
    read = parse("02:30", "Europe/Berlin", MADE)  # on 2027-10-31 03:00 becomes 02:00
    first = read.next(ms("2027-10-30T03:00", BERLIN))
    assert told(first) == "2027-10-31T00:30"
    assert told(read.next(first)) == "2027-11-01T01:30"
    halfway = ms("2027-10-31T01:10")  # the clocks show 02:10 for the second time
    assert told(read.next(halfway)) == "2027-11-01T01:30"


def test_many_times_of_day_go_on_after_clocks_were_set() -> None:
    read = parse("*/30 * * * *", "Europe/Berlin", MADE)
    spring = [ms("2027-03-28T00:15")]
    autumn = [ms("2027-10-31T00:15")]
    for times in (spring, autumn):
        while len(times) < 4:
            times.append(read.next(times[-1]))
    assert [told(t) for t in spring[1:]] == [
        *("2027-03-28T00:30", "2027-03-28T01:00", "2027-03-28T01:30"),
    ]
    assert [told(t) for t in autumn[1:]] == [
        *("2027-10-31T00:30", "2027-10-31T02:00", "2027-10-31T02:30"),
    ]


def test_what_repeats_in_real_time_heeds_no_clocks() -> None:
    read = parse("daily", "Europe/Berlin", ms("2027-03-27T12:00"))
    assert told(read.next(ms("2027-03-27T12:00"))) == "2027-03-28T12:00"


def test_a_date_time_that_clocks_leave_out_comes_as_much_later() -> None:
    read = parse("2027-03-28T02:30", "Europe/Berlin", MADE)
    assert read.expression == "at(2027-03-28T01:30:00)"
    assert told(read.next(MADE), "Europe/Berlin") == "2027-03-28T03:30"


def test_of_a_date_time_that_comes_twice_the_first_is_meant() -> None:
    assert parse("2027-10-31T02:30", "Europe/Berlin", 0).expression == "at(2027-10-31T00:30:00)"


def test_a_date_time_that_has_passed_never_comes() -> None:
    assert parse("2026-11-27T20:47:30Z", "", MADE).next(MADE) == 0


@given(
    st.sampled_from(["hourly", "02:30", "*/7 1-3 * * *", "PT11M", "0 0 31 * *", "twicemonthly"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
    st.integers(MADE, MADE + 3 * 366 * 86_400_000),
)
def test_the_next_time_is_later_and_none_is_in_between(
    schedule: str, zone: str, after: int
) -> None:
    read = parse(schedule, zone, MADE)
    coming = read.next(after)
    assert coming > after
    if not read.every:
        assert read.next(coming - 1) == coming
        assert read.next((after + coming) // 2) in (coming, read.next(coming))


# --- arming --------------------------------------------------------------------------------------


def test_who_has_a_schedule_is_fired_by_it(background: Background) -> None:
    armed = arm(background, trigger("09:30", "Europe/Berlin"), MADE)
    assert told(armed.next_at) == "2026-11-28T08:30"
    expression, zone, message = made(background)[firing_name("t1")]
    assert (expression, zone) == ("cron(30 9 * * ? *)", "Europe/Berlin")
    assert message == (
        '{"trigger": "t1", "scheduled": true, "at": "<aws.scheduler.scheduled-time>"}'
    )
    assert arm(background, armed, MADE) == armed


@pytest.mark.parametrize(
    "after",
    [trigger("never"), replace(trigger(), paused="too often"), trigger("2026-11-27T20:00")],
    ids=["never", "paused", "passed"],
)
def test_who_is_not_to_be_fired_any_more_is_not(
    background: Background, after: BackgroundTrigger
) -> None:
    arm(background, trigger(), MADE)
    assert arm(background, after, MADE).next_at == 0
    assert not made(background)


def test_the_names_of_firings_are_short_and_each_trigger_has_its_own() -> None:
    names = {firing_name(f"schedule.{'a' * 50}.{'b' * 49}{n}") for n in range(9)}
    assert len(names) == 9
    assert max(map(len, names)) <= 64


def test_what_was_fired_knows_when_it_comes_next() -> None:
    once = fired(planned(trigger(), MADE), MADE + 3_600_000)
    assert (once.last_at, told(once.next_at)) == (MADE + 3_600_000, "2026-11-27T22:47")
    assert fired(trigger("2026-11-27T21:00"), ms("2026-11-27T21:00")).next_at == 0


def test_what_comes_late_does_not_turn_back_when_it_was_fired_last() -> None:
    late = replace(trigger(), last_at=MADE + 5)
    assert fired(late, MADE).last_at == MADE + 5


def test_a_rate_does_not_run_as_soon_as_it_is_made() -> None:
    rate = planned(trigger("PT7M"), MADE)
    assert not due(rate, MADE + 30_000)
    assert due(rate, MADE + 7 * 60_000)
    rate = fired(rate, MADE + 7 * 60_000 + 30_000)
    assert due(rate, MADE + 14 * 60_000)


def test_whatever_has_no_rate_is_always_due() -> None:
    assert due(planned(trigger("daily"), MADE), MADE)


def test_settling_arms_what_is_stored(background: Background) -> None:
    background.triggers.create(trigger())
    settle(background, "t1", MADE)
    assert firing_name("t1") in made(background)
    background.triggers.remove("t1")
    settle(background, "t1", MADE)
    assert not made(background)


def test_whoever_arms_last_arms_what_was_written_last(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    background.triggers.create(trigger())
    put = background.firings.put

    def overtaken(name: str, expression: str, timezone: str, message: str) -> None:
        monkeypatch.setattr(background.firings, "put", put)
        background.triggers.replace(replace(trigger("daily"), version=1))
        settle(background, "t1", MADE)
        put(name, expression, timezone, message)

    monkeypatch.setattr(background.firings, "put", overtaken)
    settle(background, "t1", MADE)
    assert made(background)[firing_name("t1")][0] == "cron(47 20 * * ? *)"


def test_settling_gives_up_where_others_never_stop_changing(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(range(100))
    monkeypatch.setattr(
        background.triggers, "get", lambda _: replace(trigger(), version=next(versions))
    )
    with pytest.raises(Unavailable):
        settle(background, "t1", MADE)
