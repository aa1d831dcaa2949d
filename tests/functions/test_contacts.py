"""Door 4: the customers of all doors as contacts."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from cueline.doors.background_triggers.contacts import MAX_CONTACT
from cueline.doors.background_triggers.listing import LINES
from cueline.engine import sessions
from cueline.engine.ports import Customer, Ports
from cueline.log.segment import Session
from tests.clock import FakeClock
from tests.functions.background import agents, ask4, background, made, refused, taken
from tests.functions.conftest import Ask

__all__ = ["agents", "ask4", "background"]

CONTACTS = "/api/v1/contact"
ZOE = {"name": "Zoë", "email": "zoe@example.com", "phone": "+49 1"}


def fetched(ask4: Ask, contact: str) -> dict[str, Any]:
    answer = ask4("GET", f"{CONTACTS}/{contact}/fetch")
    assert answer.status == 200, answer.text
    return dict(answer.json)


def id_of(ask4: Ask, how: str, **fields: Any) -> str:
    answer = ask4("POST", f"{CONTACTS}/{how}", fields)
    assert answer.status == 200, answer.text
    assert {*answer.json} == {"id"}
    return str(answer.json["id"])


def ids(ask4: Ask, **query: Any) -> list[str]:
    answer = ask4("GET", f"{CONTACTS}/list", query=query)
    assert answer.status == 200, answer.text
    return [one["id"] for one in answer.json["items"]]


def test_a_contact_has_what_it_was_made_with(ask4: Ask, clock: FakeClock) -> None:
    more = {"nick": "Z", "preferences": "Tea.", "description": "Kind.", "verifiedAt": 5}
    meta = {"plan": "gold", "age": 30, "deep": {"x": [None]}, "email": "in meta", "contact": ""}
    contact = id_of(ask4, "create", **ZOE, **more, meta=meta)
    assert fetched(ask4, contact) == {
        "id": contact,
        "fingerprint": contact,
        **ZOE,
        **more,
        "meta": meta,
        "createdAt": clock.now(),
        "updatedAt": clock.now(),
    }
    assert UUID(contact).version == 5


def test_a_name_may_join_its_letters_and_a_space_is_a_space(ask4: Ask) -> None:
    contact = id_of(
        ask4, "create", name="\u0639\u0644\u06cc\u200c\u0631\u0636\u0627\xa0Lee", phone="+49\t1"
    )
    assert fetched(ask4, contact)["name"] == "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627 Lee"
    assert fetched(ask4, contact)["phone"] == "+49 1"
    assert (
        id_of(ask4, "ensure", name="\u0639\u0644\u06cc\u200c\u0631\u0636\u0627 Lee", phone="+49 1")
        == contact
    )
    ask4("POST", f"{CONTACTS}/{contact}/update", {"name": "Ann\u202fLee"})
    assert fetched(ask4, contact)["name"] == "Ann Lee"


def test_who_has_only_a_name_is_somebody_new_each_time(ask4: Ask) -> None:
    one, other = (id_of(ask4, "create", name="Zoë") for _ in range(2))
    assert one != other
    assert fetched(ask4, one)["name"] == "Zoë"
    assert "email" not in fetched(ask4, one)


def test_a_contact_without_a_name_is_shown_without_one(ask4: Ask, ports: Ports) -> None:
    for fields, called in (({"email": "a@b.cd"}, "a@b.cd"), ({"phone": "1"}, "1"), ({}, None)):
        contact = id_of(ask4, "create", **fields)
        assert "name" not in fetched(ask4, contact)
        kept = ports.customers.get(contact)
        assert kept
        assert kept.name == (called or contact)


def test_ensuring_makes_a_contact_once(ask4: Ask) -> None:
    first = id_of(ask4, "ensure", fingerprint="user-7", name="Zoë")
    again = id_of(ask4, "ensure", fingerprint="user-7", name="Somebody")
    assert first == again == "user-7"
    assert fetched(ask4, "user-7")["name"] == "Zoë"
    by_mail = id_of(ask4, "ensure", **ZOE)
    assert by_mail == id_of(ask4, "ensure", **ZOE)
    assert by_mail != id_of(ask4, "ensure", **{**ZOE, "name": "Z"})
    assert len(ids(ask4)) == 3


def test_whoever_cannot_be_told_from_others_cannot_be_ensured(ask4: Ask) -> None:
    for fields in ({}, {"name": "Zoë"}, {"fingerprint": ""}, {"fingerprint": None, "nick": "Z"}):
        answer = ask4("POST", f"{CONTACTS}/ensure", fields)
        assert "fingerprint: is required" in refused(answer, 400, "BAD_REQUEST")


def test_a_contact_that_is_there_is_not_made_again_but_a_repeat_finds_it(
    ask4: Ask, clock: FakeClock
) -> None:
    contact = id_of(ask4, "create", **ZOE)
    assert id_of(ask4, "create", **ZOE) == contact, "its client did not hear the answer"
    why = refused(ask4("POST", f"{CONTACTS}/create", {**ZOE, "nick": "Z"}), 409, "CONFLICT")
    assert contact in why
    clock.sleep(61)
    refused(ask4("POST", f"{CONTACTS}/create", ZOE), 409, "CONFLICT")
    assert ids(ask4) == [contact]


def test_a_repeat_under_an_idempotency_key_gives_the_same_contact(
    ask4: Ask, clock: FakeClock
) -> None:
    def made_with(key: str, **fields: Any) -> Any:
        headers = {"idempotency-key": key}
        return ask4("POST", f"{CONTACTS}/create", {"name": "Zoë", **fields}, headers=headers)

    first = made_with("k").json
    clock.sleep(3600)
    assert made_with("k").json == first
    assert made_with("l").json != first
    refused(made_with("k", nick="Z"), 409, "CONFLICT")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"email": "nobody"}, "must be an e-mail address"),
        ({"email": 7}, "email: must be a string"),
        ({"name": " "}, "name: must not be empty"),
        ({"name": "x" * 501}, "name"),
        ({"phone": "1\n2"}, "phone"),
        ({"name": "Zoë\x85"}, "name"),
        ({"nick": "a\0"}, "nick: must not contain control characters"),
        ({"meta": []}, "meta: must be an object"),
        ({"verifiedAt": "now"}, "verifiedAt: must be an integer"),
        ({"fingerprint": "a/b"}, "fingerprint: must be 1 to 200"),
        ({"fingerprint": "guest"}, "fingerprint: must be 1 to 200"),
        ({"nick": "x" * 501}, "nick: string should have at most 500 characters"),
        ({"preferences": "ä" * MAX_CONTACT}, "larger than 32 KB"),
    ],
)
def test_a_contact_that_cannot_be_is_refused(ask4: Ask, fields: dict[str, Any], why: str) -> None:
    there = id_of(ask4, "ensure", fingerprint="there")
    for path in ("create", "ensure", f"{there}/update"):
        given = {"phone": "1", **fields} if path == "ensure" else fields
        answer = ask4("POST", f"{CONTACTS}/{path}", given)
        wanted = "cannot be changed" if "fingerprint" in fields and "update" in path else why
        assert wanted in refused(answer, 400, "BAD_REQUEST")
    assert ids(ask4) == ["there"]


def test_what_is_left_out_of_an_update_stays_and_null_takes_away(
    ask4: Ask, clock: FakeClock
) -> None:
    contact = id_of(ask4, "create", **ZOE, nick="Z", meta={"a": 1, "b": "x"}, verifiedAt=5)
    before = fetched(ask4, contact)
    clock.sleep(1)
    assert id_of(ask4, f"{contact}/update") == contact
    assert fetched(ask4, contact) == before, "nothing has changed"
    id_of(ask4, f"{contact}/update", phone=None, name="", meta={"c": "y"}, fingerprint=contact)
    kept = {name: value for name, value in before.items() if name not in ("phone", "name")}
    after = {**kept, "meta": {"c": "y"}, "updatedAt": clock.now()}
    assert fetched(ask4, contact) == after
    id_of(ask4, f"{contact}/update", verifiedAt=None, meta=None, nick="N", email="z@example.com")
    del after["verifiedAt"]
    assert fetched(ask4, contact) == {
        **after,
        "meta": {},
        "nick": "N",
        "email": "z@example.com",
    }


def test_an_update_that_others_get_in_front_of_keeps_what_they_wrote(
    ask4: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = id_of(ask4, "create", **ZOE)
    written = ports.customers.replace
    raced: list[bool] = []

    def replaced(customer: Customer) -> bool:
        if not raced:
            old = ports.customers.get(contact)
            assert old
            raced.append(written(replace(old, tags=("vip",), version=old.version + 1)))
        return written(customer)

    monkeypatch.setattr(ports.customers, "replace", replaced)
    id_of(ask4, f"{contact}/update", nick="Z")
    kept = ports.customers.get(contact)
    assert kept
    assert (kept.tags, kept.metadata["nick"], kept.version) == (("vip",), "Z", 2)


def test_a_deleted_contact_is_gone_and_its_conversations_stay(ask4: Ask, ports: Ports) -> None:
    contact = id_of(ask4, "create", **ZOE)
    sessions.create(ports, Session("a", "s", 0, "s", 0, customer=contact), "trace")
    assert id_of(ask4, f"{contact}/delete") == contact
    for method, what in (
        ("GET", "fetch"),
        ("POST", "update"),
        ("POST", "delete"),
        ("GET", "conversation/list"),
    ):
        answer = ask4(method, f"{CONTACTS}/{contact}/{what}", {} if method == "POST" else None)
        assert refused(answer, 404, "NOT_FOUND") == f"There is no contact {contact!r}."
    assert ask4("GET", "/v1/conversation/a.s/fetch").json["contactId"] == contact


@pytest.mark.parametrize("contact", ["guest", "nobody", "a%2Fb", "%ff", ".."])
def test_an_unknown_contact_is_not_found(ask4: Ask, contact: str) -> None:
    refused(ask4("GET", f"{CONTACTS}/{contact}/fetch"), 404, "NOT_FOUND")


def test_contacts_are_listed_page_by_page_and_line_by_line(ask4: Ask, clock: FakeClock) -> None:
    for n in range(5):
        clock.sleep(1)
        id_of(ask4, "ensure", fingerprint=f"c{n}", meta={"odd": bool(n % 2)})
    assert ids(ask4) == ["c4", "c3", "c2", "c1", "c0"]
    assert ids(ask4, order="asc", take="2") == ["c0", "c1"]
    assert ids(ask4, order="asc", take="2", cursor="c1") == ["c2", "c3"]
    assert ids(ask4, cursor="c1") == ["c0"]
    assert ids(ask4, cursor="c0") == []
    assert ids(ask4, **{"meta.odd": "true"}) == ["c3", "c1"]
    refused(ask4("GET", f"{CONTACTS}/list", query={"cursor": "x"}), 400, "BAD_REQUEST")
    answer = ask4("GET", f"{CONTACTS}/list", headers={"accept": LINES})
    assert answer.headers["content-type"] == LINES
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["data"]["id"] for one in found] == ["c4", "c3", "c2", "c1", "c0"]


def test_contacts_are_the_customers_of_the_other_doors(ask4: Ask, ask2: Ask) -> None:
    told = {"email": "z@example.com", "plan": "gold", "contact": "by post", "name": "N"}
    body = {"id": "c1", "name": "Zoë", "metadata": told}
    assert ask2("POST", "/customers", body).status == 201
    shown = fetched(ask4, "c1")
    assert (shown["name"], shown["email"]) == ("Zoë", "z@example.com")
    assert shown["meta"] == {"plan": "gold", "contact": "by post"}
    id_of(ask4, "c1/update", phone="1")
    assert fetched(ask4, "c1")["meta"] == {"plan": "gold", "contact": "by post"}
    there = ask2("GET", "/customers/c1").json
    assert there["name"] == "Zoë"
    assert {**there["metadata"], "contact": ""} == {
        "email": "z@example.com",
        "phone": "1",
        "plan": "gold",
        "contact": "",
    }
    assert ask2("PATCH", "/customers/c1", {"metadata": {"set": {"plan": "new"}}}).status < 300
    assert fetched(ask4, "c1")["meta"] == {"plan": "new", "contact": "by post"}


def test_whom_an_event_names_is_a_contact_with_conversations(ask4: Ask) -> None:
    trigger = made(ask4)
    first = taken(ask4, trigger, {"text": "Hi", "contact": ZOE})["conversationId"]
    taken(ask4, trigger, {"text": "Hi"})
    (contact,) = ids(ask4)
    shown = fetched(ask4, contact)
    assert {name: shown[name] for name in ZOE} == ZOE
    assert shown["meta"] == {}
    assert contact == id_of(ask4, "ensure", **ZOE)
    answer = ask4("GET", f"{CONTACTS}/{contact}/conversation/list")
    assert [one["id"] for one in answer.json["items"]] == [first]
    assert answer.json["items"][0]["contactId"] == contact
    nothing = ask4("GET", f"{CONTACTS}/{contact}/conversation/list", query={"botId": "b"})
    assert nothing.json == {"items": []}
