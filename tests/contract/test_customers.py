"""Customers: made once, changed by whoever read them last, listed in the order of making."""

from dataclasses import replace

import pytest

from cueline.engine.ports import Customer, Part, Ports
from cueline.errors import TooLarge, Unavailable
from cueline.log.segment import MAX_BYTES
from tests.contract.backends import Backend, Loss

ADA = Customer("ada@example.com", "Ada", 1_750_000_000_000)


def test_everything_about_a_customer_comes_back(ports: Ports) -> None:
    full = replace(ADA, metadata={"plan": "ü", "e": ""}, tags=("b", "a"), version=0)
    assert ports.customers.create(full)
    assert ports.customers.get(ADA.id) == full
    assert ports.customers.get("somebody else") is None


@pytest.mark.parametrize(
    "name", ["a b", "customer#1", "a.b", "#", "\N{SNOWMAN}" * 200, "D#", "CUSTOMER", "guest"]
)
def test_an_id_is_any_text(ports: Ports, name: str) -> None:
    ports.customers.create(ADA)
    odd = Customer(name, "Odd", 1_750_000_000_001)
    assert ports.customers.create(odd)
    assert ports.customers.get(name) == odd
    assert list(ports.customers.all()) == [ADA, odd]
    assert ports.customers.remove(name)
    assert list(ports.customers.all()) == [ADA]


def test_an_id_is_given_once(ports: Ports) -> None:
    assert ports.customers.create(ADA)
    assert not ports.customers.create(replace(ADA, name="Impostor"))
    assert ports.customers.get(ADA.id) == ADA


def test_a_change_names_the_version_that_it_read(ports: Ports) -> None:
    assert not ports.customers.replace(replace(ADA, version=1))
    ports.customers.create(ADA)
    changed = replace(ADA, name="Ada L.", tags=("vip",), version=1)
    assert ports.customers.replace(changed)
    assert not ports.customers.replace(replace(ADA, name="Stale", version=1))
    assert not ports.customers.replace(replace(ADA, name="Early", version=3))
    assert ports.customers.get(ADA.id) == changed
    assert list(ports.customers.all()) == [changed]


def test_one_who_was_removed_is_gone(ports: Ports) -> None:
    ports.customers.create(ADA)
    assert ports.customers.remove(ADA.id)
    assert not ports.customers.remove(ADA.id)
    assert ports.customers.get(ADA.id) is None
    assert not ports.customers.replace(replace(ADA, version=1))
    assert list(ports.customers.all()) == []


def test_the_list_is_in_the_order_of_making(ports: Ports) -> None:
    ids = ["b", "a", "d", "c", "e"]
    for n, of in enumerate(ids):
        ports.customers.create(Customer(of, of.upper(), 1000 + n // 2))
    assert [c.id for c in ports.customers.all()] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_list_goes_on_from_any_place(ports: Ports, newest_first: bool) -> None:
    ids = ["a", "a b", "a#", "a#b", "ab", "\xe4", "\U0001f600"]
    for n, of in enumerate(ids):
        ports.customers.create(Customer(of, of, 1000 + n // 3))
    ordered = ids[::-1] if newest_first else ids
    for n, of in enumerate(ordered):
        after = (1000 + ids.index(of) // 3, of)
        found = ports.customers.all(Part(after, newest_first=newest_first, ahead=1))
        assert [c.id for c in found] == ordered[n + 1 :]


def test_the_list_goes_on_page_by_page(table: Backend) -> None:
    """A page is a megabyte; nobody who stops early pays for the rest."""
    for n in range(4):
        large = Customer(f"c{n}", "C", 1000 + n, {"x": "y" * 300_000})
        table.ports.customers.create(large)
    table.calls.clear()
    found = table.ports.customers.all()
    assert next(found).id == "c0"
    assert table.calls == ["Query"]
    assert [c.id for c in found] == ["c1", "c2", "c3"]
    assert table.calls.count("Query") > 1


def test_one_too_large_is_refused_before_anything_is_written(ports: Ports) -> None:
    with pytest.raises(TooLarge):
        ports.customers.create(replace(ADA, metadata={"x": "y" * MAX_BYTES}))
    assert ports.customers.get(ADA.id) is None
    ports.customers.create(ADA)
    with pytest.raises(TooLarge):
        ports.customers.replace(replace(ADA, tags=("y" * MAX_BYTES,), version=1))
    assert ports.customers.get(ADA.id) == ADA


def test_what_a_reader_does_to_a_customer_changes_nothing(ports: Ports) -> None:
    ports.customers.create(replace(ADA, metadata={"a": "b"}))
    found = ports.customers.get(ADA.id)
    assert found
    assert isinstance(found.metadata, dict)
    found.metadata["a"] = "c"
    assert ports.customers.get(ADA.id) == replace(ADA, metadata={"a": "b"})


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_what_was_done_is_done_though_its_answer_was_lost(table: Backend, loss: Loss) -> None:
    customers = table.ports.customers
    changed = replace(ADA, name="New", version=1)
    for write, then in (
        (lambda: customers.create(ADA), ADA),
        (lambda: customers.replace(changed), changed),
        (lambda: customers.remove(ADA.id), None),
    ):
        if loss == "repeated":
            assert table.losing(loss, write)
        else:
            with pytest.raises(Unavailable):
                table.losing(loss, write)
        assert customers.get(ADA.id) == then
