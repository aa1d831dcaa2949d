"""Background triggers, the sessions that they keep, their runs, and what was delivered to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.trigger_texts import DELIVERED, trigger_from_json, trigger_to_json
from cueline.engine.background import Background, BackgroundTrigger, Kept, Run
from cueline.errors import (
    IdempotencyKeyReused,
    InvalidPageKey,
    InvalidRequest,
    TooLarge,
    Unavailable,
)
from tests.contract.backends import (
    BACKENDS,
    SESSION,
    TABLE,
    Backend,
    Loss,
    agent,
    answer,
    atomic_calls,
    hooked,
    in_threads,
    session,
)

NOW = 1_750_000_000_000
DAY = 86_400_000
TRIGGER = BackgroundTrigger("trg_1", NOW, NOW)
FULL = BackgroundTrigger(
    id="schedule.support.a-b_c",
    created_at=NOW,
    updated_at=NOW + 1,
    caller="key1",
    name="Grüße",
    description="Says hello\nto everybody.",
    meta={"a": {"b": [1, None, "ü"]}},
    agent_key="support",
    authenticate=False,
    generation=3,
    session_duration=0,
    schedule="daily",
    timezone="Europe/Berlin",
    text="Hello.",
    policy="skip",
    delay=5,
    max_age=60,
    tries=1,
    pause_after=0,
    failures=2,
    paused="2 runs in a row failed.",
    last_at=NOW + 2,
    next_at=NOW + 3,
    mark="m",
)
KEPT = Kept(TRIGGER.id, "k" * 64, "s1", NOW + DAY)
RUN = Run(TRIGGER.id, "run_01975e0b400", SESSION, 5, 7, NOW)
BODY, OTHER = "b" * 64, "c" * 64
NO_NAMES = ["", "a b", "a/b", "a#b", "a\n", "x" * 501, "x" * 3000, "ü", "\N{SNOWMAN}", "\ud800"]


# --- triggers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [TRIGGER, FULL])
def test_everything_about_a_trigger_comes_back(
    background: Background, trigger: BackgroundTrigger
) -> None:
    assert background.triggers.get(trigger.id) is None
    assert background.triggers.create(trigger)
    assert background.triggers.get(trigger.id) == trigger
    assert [*background.triggers.all()] == [trigger]


def test_an_id_is_given_once(background: Background) -> None:
    assert background.triggers.create(TRIGGER)
    assert not background.triggers.create(replace(TRIGGER, name="Another"))
    assert background.triggers.get(TRIGGER.id) == TRIGGER


def test_an_update_goes_over_the_version_that_it_read(background: Background) -> None:
    triggers = background.triggers
    first, second = replace(TRIGGER, name="1", version=1), replace(TRIGGER, name="2", version=2)
    assert not triggers.replace(first)
    triggers.create(TRIGGER)
    assert not triggers.replace(second)
    assert triggers.replace(first)
    assert not triggers.replace(replace(first, name="too late"))
    assert triggers.replace(second)
    assert triggers.get(TRIGGER.id) == second
    assert [*triggers.all()] == [second]


def test_one_that_was_removed_is_gone_until_it_is_made_again(background: Background) -> None:
    triggers = background.triggers
    assert not triggers.remove(TRIGGER.id)
    triggers.create(TRIGGER)
    assert triggers.remove(TRIGGER.id)
    assert not triggers.remove(TRIGGER.id)
    assert triggers.get(TRIGGER.id) is None
    assert [*triggers.all()] == []
    assert not triggers.replace(replace(TRIGGER, version=1))
    assert triggers.create(FULL)
    assert triggers.create(TRIGGER)


def test_all_are_listed_the_oldest_first_and_nothing_else_is(backend: Backend) -> None:
    backend.ports.agents.create(agent())
    assert backend.ports.sessions.create(session(), 0)
    made = [replace(TRIGGER, id=name, created_at=at) for name, at in (("c", 9), ("b", 10))]
    made += [replace(TRIGGER, id=name, created_at=10) for name in ("d", "a")]
    for one in made:
        backend.background.triggers.create(one)
    backend.background.runs.put(RUN)
    assert [one.id for one in backend.background.triggers.all()] == ["c", "a", "b", "d"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_anybody_may_have_sent_names_nothing(background: Background, name: str) -> None:
    triggers, runs = background.triggers, background.runs
    assert triggers.get(name) is None
    assert not triggers.remove(name)
    assert runs.get(name, RUN.id) is None
    assert runs.get(TRIGGER.id, name) is None
    assert runs.list(name, 10, None) == []
    with pytest.raises(ValueError, match="called"):
        triggers.create(replace(TRIGGER, id=name))
    with pytest.raises(ValueError, match="called"):
        runs.put(replace(RUN, id=name))
    with pytest.raises(InvalidPageKey):
        runs.list(TRIGGER.id, 10, name)


def test_one_that_fits_into_no_item_is_refused(background: Background) -> None:
    with pytest.raises(TooLarge):
        background.triggers.create(replace(TRIGGER, text="x" * 400_000))
    with pytest.raises(InvalidRequest, match="surrogate"):
        background.triggers.create(replace(TRIGGER, name="\ud800"))
    background.triggers.create(TRIGGER)
    with pytest.raises(TooLarge):
        background.triggers.replace(replace(TRIGGER, text="ü" * 200_000, version=1))
    assert background.triggers.get(TRIGGER.id) == TRIGGER


def test_what_is_given_out_is_not_what_is_kept(background: Background) -> None:
    given: dict[str, Any] = {"a": [1]}
    background.triggers.create(replace(TRIGGER, meta=given))
    given["a"].append(2)
    found = background.triggers.get(TRIGGER.id)
    assert found
    found.meta["a"].append(3)
    again = background.triggers.get(TRIGGER.id)
    assert again
    assert again.meta == {"a": [1]}


def test_one_that_another_version_of_this_has_written_can_be_read() -> None:
    text = trigger_to_json(FULL).replace('"delay": 5', '"unknown": 1')
    assert trigger_from_json(text, FULL.id, FULL.created_at, 4) == replace(FULL, delay=0, version=4)


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_what_was_done_is_done_though_its_answer_was_lost(backend: Backend, loss: Loss) -> None:
    triggers, runs = backend.background.triggers, backend.background.runs
    later, moved = replace(TRIGGER, name="later", version=1), replace(RUN, offset=9, version=1)
    for write, then in (
        (lambda: triggers.create(TRIGGER), (TRIGGER, None)),
        (lambda: triggers.replace(later), (later, None)),
        (lambda: runs.put(RUN), (later, RUN)),
        (lambda: runs.replace(moved), (later, moved)),
        (lambda: triggers.remove(TRIGGER.id), (None, moved)),
    ):
        try:
            # Nothing knows its own write in memory.
            assert backend.losing(loss, write) is not False or not backend.client
        except Unavailable:
            assert loss == "cut"
        assert (triggers.get(TRIGGER.id), runs.get(TRIGGER.id, RUN.id)) == then


# --- kept sessions -------------------------------------------------------------------------------


def test_who_comes_first_says_which_session_is_gone_on_with(background: Background) -> None:
    later = replace(KEPT, session_key="s2", until=NOW + 2 * DAY)
    assert background.kept.claim(KEPT, NOW) == KEPT
    assert background.kept.claim(later, NOW + 1) == KEPT
    assert background.kept.claim(KEPT, NOW + 1) == KEPT
    for other in (replace(KEPT, key="l" * 64), replace(KEPT, trigger="trg_2")):
        assert background.kept.claim(replace(other, session_key="s3"), NOW).session_key == "s3"
    assert background.kept.claim(later, NOW + 1) == KEPT


def test_a_session_that_was_kept_long_enough_is_as_if_it_had_never_been(
    background: Background,
) -> None:
    later = replace(KEPT, session_key="s2", until=NOW + 2 * DAY)
    background.kept.claim(KEPT, NOW)
    assert background.kept.claim(later, KEPT.until - 1) == KEPT
    assert background.kept.claim(later, KEPT.until) == later
    assert background.kept.claim(KEPT, KEPT.until) == later


def test_a_session_that_was_deleted_is_gone_on_with_no_more(background: Background) -> None:
    second, third = replace(KEPT, session_key="s2"), replace(KEPT, session_key="s3")
    assert background.kept.claim(second, NOW, over="s1") == second
    assert background.kept.claim(third, NOW, over="s1") == second
    assert background.kept.claim(third, NOW, over="s2") == third
    assert background.kept.claim(second, NOW, over="s2") == third
    assert background.kept.claim(second, NOW) == third


@pytest.mark.parametrize("over", ["", "s1"])
@pytest.mark.parametrize("kind", list(BACKENDS))
def test_of_many_who_claim_at_once_all_get_the_same(
    kind: str, over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    with BACKENDS[kind]() as backend:
        background = backend.background
        if over:
            background.kept.claim(KEPT, NOW)
        kept: list[Kept] = []
        delivered: list[str] = []

        def work(n: int) -> None:
            new = replace(KEPT, session_key=f"n{n}", until=NOW + DAY + n)
            kept.append(background.kept.claim(new, NOW, over))
            delivered.append(background.deliveries.claim(TRIGGER.id, "k", BODY, f"n{n}", NOW))

        in_threads(work)
        assert (len(kept), len(set(kept))) == (20, 1)
        assert (len(delivered), len(set(delivered))) == (20, 1)


@pytest.mark.parametrize("over", ["", "s0"])
@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_whoever_claims_again_because_the_answer_was_lost_gets_the_same(
    backend: Backend, loss: Loss, over: str
) -> None:
    background = backend.background
    if over:
        background.kept.claim(replace(KEPT, session_key=over), NOW)
    claims = (
        (lambda: background.kept.claim(KEPT, NOW, over), KEPT),
        (lambda: background.deliveries.claim(TRIGGER.id, "k", BODY, "s1", NOW), "s1"),
    )
    for claim, then in claims:
        try:
            assert backend.losing(loss, claim) == then
        except Unavailable:
            assert loss == "cut"
    again = replace(KEPT, session_key="s2")
    assert background.kept.claim(again, NOW, over) == KEPT
    assert background.deliveries.claim(TRIGGER.id, "k", BODY, "s2", NOW) == "s1"


# --- deliveries ----------------------------------------------------------------------------------


def test_a_repeat_finds_the_session_of_the_first_delivery(background: Background) -> None:
    claim = background.deliveries.claim
    assert claim(TRIGGER.id, "k", BODY, "s1", NOW) == "s1"
    assert claim(TRIGGER.id, "k", BODY, "s2", NOW + 1) == "s1"
    assert claim(TRIGGER.id, "l", BODY, "s3", NOW) == "s3"
    assert claim("trg_2", "k", OTHER, "s4", NOW) == "s4"
    assert background.kept.claim(replace(KEPT, key="k"), NOW).session_key == "s1"


def test_a_key_that_comes_with_another_body_is_refused(background: Background) -> None:
    claim = background.deliveries.claim
    claim(TRIGGER.id, "k", BODY, "s1", NOW)
    with pytest.raises(IdempotencyKeyReused):
        claim(TRIGGER.id, "k", OTHER, "s2", NOW)
    assert claim(TRIGGER.id, "k", BODY, "s3", NOW) == "s1"


def test_a_key_is_free_again_after_a_day(background: Background) -> None:
    claim = background.deliveries.claim
    assert DELIVERED == DAY
    claim(TRIGGER.id, "k", BODY, "s1", NOW)
    assert claim(TRIGGER.id, "k", BODY, "s2", NOW + DELIVERED - 1) == "s1"
    assert claim(TRIGGER.id, "k", OTHER, "s2", NOW + DELIVERED) == "s2"
    assert claim(TRIGGER.id, "k", OTHER, "s3", NOW + 2 * DELIVERED - 1) == "s2"


def test_it_is_known_when_a_key_was_delivered_first(background: Background) -> None:
    deliveries = background.deliveries
    assert deliveries.claimed_at(TRIGGER.id, "k", NOW) == 0
    deliveries.claim(TRIGGER.id, "k", BODY, "s1", NOW)
    deliveries.claim(TRIGGER.id, "k", BODY, "s1", NOW + 5)
    assert deliveries.claimed_at(TRIGGER.id, "k", NOW + DELIVERED - 1) == NOW
    assert deliveries.claimed_at(TRIGGER.id, "k", NOW + DELIVERED) == 0
    assert deliveries.claimed_at(TRIGGER.id, "l", NOW) == 0
    assert deliveries.claimed_at("trg_2", "k", NOW) == 0


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [RUN, replace(RUN, offset=0, earlier=(3, 0, 12), version=3)])
def test_everything_about_a_run_comes_back(background: Background, run: Run) -> None:
    assert background.runs.get(run.trigger, run.id) is None
    background.runs.put(run)
    assert background.runs.get(run.trigger, run.id) == run
    assert background.runs.get("trg_2", run.id) is None
    assert background.runs.list(run.trigger, 10, None) == [run]


def test_whoever_takes_a_run_down_again_changes_nothing(background: Background) -> None:
    moved = replace(RUN, offset=9, earlier=(7,), version=1)
    background.runs.put(RUN)
    background.runs.put(replace(RUN, created_at=NOW + 1))
    assert background.runs.get(RUN.trigger, RUN.id) == RUN
    background.runs.replace(moved)
    background.runs.put(RUN)
    assert background.runs.get(RUN.trigger, RUN.id) == moved


def test_a_run_is_moved_by_one_who_read_it(background: Background) -> None:
    moved = replace(RUN, offset=9, earlier=(7,), version=1)
    assert not background.runs.replace(moved)
    background.runs.put(RUN)
    assert not background.runs.replace(replace(moved, version=2))
    assert background.runs.replace(moved)
    assert not background.runs.replace(replace(moved, offset=10))
    assert background.runs.get(RUN.trigger, RUN.id) == moved


def test_runs_are_listed_the_newest_first_part_by_part(background: Background) -> None:
    names = [f"run_{n:03x}" for n in range(7)]
    for name in (names[3], *names[:3], *names[4:]):
        background.runs.put(replace(RUN, id=name))
    for other in ("trg_", "trg_1.", "trg_2"):
        background.runs.put(replace(RUN, trigger=other))
    background.triggers.create(TRIGGER)

    def listed(limit: int, before: str | None) -> list[str]:
        return [run.id for run in background.runs.list(TRIGGER.id, limit, before)]

    assert listed(100, None) == names[::-1]
    assert listed(3, None) == names[:3:-1]
    assert listed(3, names[4]) == [names[3], names[2], names[1]]
    assert listed(3, names[1]) == [names[0]]
    assert listed(3, names[0]) == []
    assert listed(2, "run_0025") == [names[2], names[1]]
    assert listed(0, None) == []
    assert background.runs.list("trg_3", 3, None) == []


# --- the table -----------------------------------------------------------------------------------


@contextmanager
def asked(table: Backend) -> Iterator[list[tuple[str, Any]]]:
    """The calls inside, and whether each is strongly consistent."""
    seen: list[tuple[str, Any]] = []

    def see(params: dict[str, Any], model: Any, **_: object) -> None:
        seen.append((model.name, params.get("ConsistentRead")))

    assert table.client
    with hooked(table.client, "provide-client-params.dynamodb", see):
        yield seen


def test_an_event_costs_few_calls_and_none_lags_behind_the_writes(table: Backend) -> None:
    background = table.background
    background.triggers.create(TRIGGER)
    with asked(table) as seen:
        background.triggers.get(TRIGGER.id)
        background.deliveries.claim(TRIGGER.id, "k", BODY, "s1", NOW)
        background.kept.claim(KEPT, NOW)
        background.runs.put(RUN)
    assert seen == [("GetItem", True), *[("PutItem", None)] * 3]
    with asked(table) as seen:
        background.runs.get(RUN.trigger, RUN.id)
        background.runs.list(RUN.trigger, 10, None)
    assert seen == [("GetItem", True), ("Query", True)]


def test_what_counts_no_more_is_left_to_the_table(table: Backend) -> None:
    background = table.background
    background.triggers.create(TRIGGER)
    background.runs.put(RUN)
    background.kept.claim(replace(KEPT, until=NOW + 1), NOW)
    background.deliveries.claim(TRIGGER.id, "k", BODY, "s1", NOW)
    assert table.client
    found = {item["sk"]["S"]: item for item in table.client.scan(TableName=TABLE)["Items"]}
    ends = {sk: int(item["ttl"]["N"]) * 1000 for sk, item in found.items() if "ttl" in item}
    assert ends.keys() == {"KEPT", "DELIVERY"}
    assert NOW + 1 < ends["KEPT"] < NOW + DAY
    assert NOW + DELIVERED < ends["DELIVERY"] < NOW + DELIVERED + DAY


def test_a_name_that_none_can_have_is_not_asked_for(table: Backend) -> None:
    with asked(table) as seen:
        for name in NO_NAMES:
            table.background.triggers.get(name)
            table.background.runs.get(TRIGGER.id, name)
            table.background.runs.list(name, 10, None)
    assert seen == []


def test_whoever_is_not_told_what_is_there_does_not_guess(table: Backend) -> None:
    def refuse(**_: object) -> Any:
        return answer(400, __type="ConditionalCheckFailedException", message="The request failed")

    assert table.client
    with (
        hooked(table.client, "before-send.dynamodb.PutItem", refuse),
        pytest.raises(Unavailable, match="what is there"),
    ):
        table.background.kept.claim(KEPT, NOW)
