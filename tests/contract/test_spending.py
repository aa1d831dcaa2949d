"""What is spent is counted once at least, and a cap is passed by one reservation at most."""

from typing import TYPE_CHECKING

import pytest

from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb import DynamoSpending
from cueline.engine.ports import Ports, Spend
from cueline.errors import Unavailable
from tests.contract.backends import TABLE, Backend, Loss, atomic_calls, hooked, in_threads

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DAY = "2026-11-21"
NO_CAP = (None, None)
FORTY_DAYS = 40 * 86_400


def test_nothing_is_spent_before_the_first_call(ports: Ports) -> None:
    assert ports.spending.spent("k", DAY) == Spend()


def test_what_is_reserved_adds_up_and_is_settled(ports: Ports) -> None:
    assert ports.spending.reserve("k", DAY, Spend(100, 2_000), NO_CAP)
    assert ports.spending.reserve("k", DAY, Spend(10, 200), NO_CAP)
    ports.spending.settle("k", DAY, Spend(-60, -1_500))
    assert ports.spending.spent("k", DAY) == Spend(50, 700)
    ports.spending.settle("k", DAY, Spend(5, -100))
    ports.spending.settle("k", DAY, Spend(-1, 7))
    assert ports.spending.spent("k", DAY) == Spend(54, 607)


def test_what_nobody_reserved_can_be_settled_too(ports: Ports) -> None:
    ports.spending.settle("k", DAY, Spend(-1, 3))
    assert ports.spending.spent("k", DAY) == Spend(-1, 3)


@pytest.mark.parametrize(
    ("below", "granted"),
    [
        ((None, None), True),
        ((101, None), True),
        ((100, None), False),
        ((None, 2_001), True),
        ((None, 2_000), False),
        ((101, 2_001), True),
        ((101, 2_000), False),
        ((100, 2_001), False),
        ((0, None), False),
    ],
)
def test_a_cap_that_is_reached_refuses(
    ports: Ports, below: tuple[int | None, int | None], granted: bool
) -> None:
    ports.spending.settle("k", DAY, Spend(100, 2_000))
    assert ports.spending.reserve("k", DAY, Spend(1, 1), below) is granted
    assert ports.spending.spent("k", DAY) == (Spend(101, 2_001) if granted else Spend(100, 2_000))


def test_the_first_reservation_may_pass_any_cap_but_zero(ports: Ports) -> None:
    assert not ports.spending.reserve("k", DAY, Spend(1, 1), (0, None))
    assert not ports.spending.reserve("k", DAY, Spend(1, 1), (5, 0))
    assert ports.spending.spent("k", DAY) == Spend()
    assert ports.spending.reserve("k", DAY, Spend(9, 9), (1, 1))
    assert not ports.spending.reserve("k", DAY, Spend(9, 9), (1, 1))


def test_accounts_and_days_are_counted_apart(ports: Ports) -> None:
    ports.spending.settle("k", DAY, Spend(5, 5))
    assert ports.spending.reserve("other", DAY, Spend(1, 1), (5, 5))
    assert ports.spending.reserve("k", "2026-11-22", Spend(2, 2), (5, 5))
    assert not ports.spending.reserve("k", DAY, Spend(1, 1), (5, 5))
    spent = [ports.spending.spent(*of) for of in (("k", DAY), ("other", DAY), ("k", "2026-11-22"))]
    assert spent == [Spend(5, 5), Spend(1, 1), Spend(2, 2)]


def test_fifty_at_once_pass_the_cap_by_less_than_one_reservation(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    granted: list[int] = []

    def reserve(n: int) -> None:
        if backend.ports.spending.reserve("k", DAY, Spend(70, 7), (1_000, None)):
            granted.append(n)

    in_threads(reserve, 50)
    spent = backend.ports.spending.spent("k", DAY)
    assert spent == Spend(70 * len(granted), 7 * len(granted))
    assert 1_000 <= spent.tokens < 1_000 + 70


def test_many_that_settle_at_once_are_all_counted(
    table: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    client = table.client
    assert client
    in_threads(
        lambda n: DynamoSpending(client, TABLE, SystemClock()).settle("k", DAY, Spend(-n, n))
    )
    assert table.ports.spending.spent("k", DAY) == Spend(-190, 190)


@pytest.mark.parametrize("loss", ["none", "repeated", "cut"])
def test_a_lost_answer_counts_a_reservation_once_at_least(backend: Backend, loss: Loss) -> None:
    spending = backend.ports.spending
    try:
        assert backend.losing(loss, lambda: spending.reserve("k", DAY, Spend(10, 10), (99, 99)))
    except Unavailable:
        assert loss == "cut"
    assert spending.spent("k", DAY).tokens in ((10,) if loss == "none" else (10, 20))


@pytest.mark.parametrize("loss", ["none", "repeated", "cut"])
def test_a_lost_answer_takes_nothing_off_twice(table: Backend, loss: Loss) -> None:
    spending = table.ports.spending
    spending.reserve("k", DAY, Spend(100, 100), NO_CAP)
    spending.settle("k", DAY, Spend(-1, 0))
    try:
        table.losing(loss, lambda: spending.settle("k", DAY, Spend(-60, 2)))
    except Unavailable:
        assert loss == "cut"
    spent = spending.spent("k", DAY)
    assert spent.tokens == 39 or (loss == "cut" and spent.tokens == 99)
    assert spent.cost >= 102


def test_where_others_settle_before_the_repeat_too_much_is_counted_not_too_little(
    table: Backend,
) -> None:
    spending, client = table.ports.spending, table.client
    assert client
    spending.reserve("k", DAY, Spend(100, 100), NO_CAP)
    left = ["one"]

    def lose(**_: object) -> float | None:
        """The answer of the first; another settles before the client tries again."""
        if not left:
            return None
        left.clear()
        spending.settle("k", DAY, Spend(-5, 0))
        return 0.0

    with hooked(client, "needs-retry.dynamodb.UpdateItem", lose):
        spending.settle("k", DAY, Spend(-60, 0))
    assert spending.spent("k", DAY) == Spend(35, 100)


def test_a_process_that_knows_nothing_of_the_account_settles_as_well(table: Backend) -> None:
    assert table.client
    for n in range(3):
        DynamoSpending(table.client, TABLE, table.clock).settle("k", DAY, Spend(-n, 0))
    assert table.ports.spending.spent("k", DAY) == Spend(-3, 0)


def test_each_step_is_one_call(table: Backend) -> None:
    spending = table.ports.spending
    for _ in range(3):
        spending.reserve("k", DAY, Spend(10, 10), (99, 99))
        spending.settle("k", DAY, Spend(-5, -5))
    assert table.calls == ["UpdateItem"] * 6


def test_the_table_drops_it_forty_days_after_the_last_change(table: Backend) -> None:
    table.ports.spending.reserve("k", DAY, Spend(10, 10), NO_CAP)
    table.clock.sleep(1_000)
    table.ports.spending.settle("k", DAY, Spend(-5, 0))
    [item] = _items(table.client)
    assert (item["pk"]["S"], item["sk"]["S"]) == ("spend#k", f"D#{DAY}")
    assert int(item["ttl"]["N"]) == table.clock.now() // 1000 + FORTY_DAYS


def _items(client: "DynamoDBClient | None") -> list[dict[str, dict[str, str]]]:
    assert client
    found: list[dict[str, dict[str, str]]] = client.scan(TableName=TABLE)["Items"]  # type: ignore[assignment]
    return found
