"""Door 3's WebSocket: who comes in with a ticket, what they find, and what is left when they go."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cueline import bootstrap
from cueline.doors.access import Access, hashed
from cueline.engine import sessions
from cueline.engine.listeners import LONGEST_CONNECTION
from cueline.engine.modes import change_mode
from cueline.engine.ports import Key, Secret, WakeUp
from cueline.errors import Unavailable
from cueline.log.events import Input, Listening
from cueline.log.state import next_batch, offsets
from cueline.log.triggers import Guideline, Trigger
from local.template import ROOT
from tests.contract.backends import BACKENDS, SESSION, atomic_calls, in_threads
from tests.functions.commanding import GATEWAY, ID, PAGE, SECRET, Commanded, commanded, message
from tests.gateway import Context

OPENING = "Greet them by name."
OPENED = Input(
    source="system", trigger=Trigger(guidelines=(Guideline(action=OPENING),)), caller="key1"
)


@pytest.fixture(params=list(BACKENDS))
def talk(request: pytest.FixtureRequest) -> Iterator[Commanded]:
    """Nobody has connected yet."""
    with commanded(request.param, connects=False) as made:
        yield made


@pytest.fixture
def here() -> Iterator[Commanded]:
    """For what no store decides."""
    with commanded("memory", connects=False) as made:
        yield made


def failing_at(
    monkeypatch: pytest.MonkeyPatch, port: object, name: str, *nth: int, done: bool
) -> None:
    """The port's `nth` calls of this name are Unavailable, or their answers are lost."""
    call: Callable[..., Any] = getattr(type(port), name)
    seen = [0]

    def lost(*args: Any, **more: Any) -> Any:
        seen[0] += 1
        if seen[0] not in nth:
            return call(*args, **more)
        if done:
            call(*args, **more)
        raise Unavailable("The answer is lost.")

    monkeypatch.setattr(type(port), name, lost)


def failing(monkeypatch: pytest.MonkeyPatch, port: object, name: str) -> None:
    """Every call of this name is Unavailable."""

    def unavailable(*_: Any, **__: Any) -> Any:
        raise Unavailable("Nobody answers.")

    monkeypatch.setattr(type(port), name, unavailable)


# --- tickets -------------------------------------------------------------------------------------


def test_a_ticket_lets_in_once_and_its_holder_is_told_from_there_on(talk: Commanded) -> None:
    talk.offer()
    assert talk.connect() == 200
    until = talk.ports.clock.now() + LONGEST_CONNECTION * 1000
    assert talk.listening() == [Listening(connection=ID, until=until)]
    assert talk.state.heard_until == until
    found = talk.open()
    assert found
    assert (found.id, found.told, found.expires_at) == (ID, False, until)
    assert talk.connect(gateway="another") == 403
    assert talk.open("another") is None
    assert talk.open() == found
    assert len(talk.listening()) == 1
    assert talk.events() == []
    assert talk.backend.received() == []


def test_of_many_who_come_with_one_ticket_one_comes_in(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    talk.offer(opening=OPENING)
    came: list[int] = []
    in_threads(lambda n: came.append(talk.connect(gateway=f"gw{n}")), count=8)
    assert sorted(came) == [200, *[403] * 7]
    assert len(talk.listening()) == 1
    assert talk.events() == [OPENED]


def test_whoever_comes_back_is_told_what_they_have_missed(talk: Commanded) -> None:
    talk.offer(after=7)
    assert talk.connect() == 200
    assert talk.listening()[0].after == 7


@pytest.mark.parametrize("comes", ["back", "and asks"])
def test_a_session_that_somebody_listens_to_is_kept_as_long_as_they_come(
    talk: Commanded, comes: str
) -> None:
    """What says that somebody listens is its newest event, though nobody says anything."""
    talk.change(tti_minutes=30)
    clock, gateway = talk.backend.clock, ""
    for n in range(12):
        clock.ms += 20 * 60_000
        if comes == "back" or n % 5 == 0:  # the gateway ends each after two hours
            name, gateway = f"{ID}{n}", f"gw{n}="
            talk.offer(name, after=-1)
            assert talk.connect(f"{name}.{SECRET}", gateway) == 200
        else:
            talk.acked({"type": "resume", "data": {"after": 0}}, gateway)
        session = talk.ports.log.tail(SESSION).live(clock.now())
        assert session
        expires = clock.now() // 1000 + 30 * 60
        assert session.collect_at > expires, "the store drops what is still alive"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ID,
        f"{ID}.",
        f"{ID}.wrong",
        f"{ID}.{SECRET}x",
        f"{SESSION}.unknown.{SECRET}",
        f"{SESSION}.{SECRET}",
        f"support.other.r4nd0m.{SECRET}",
        f".{ID}.{SECRET}",
        f"{ID}.{SECRET}\n",
        f"{ID}.{SECRET}\x00",
        f"{ID.upper()}.{SECRET}",
        f"{ID}#.{SECRET}",
        f"{SESSION}.\u0660.{SECRET}",
        "." * 100,
        "x" * 10_000,
        f"{ID}.{'s' * 201}",
        "\ud800",
    ],
)
def test_what_is_no_ticket_lets_nobody_in_and_takes_none_away(talk: Commanded, token: str) -> None:
    talk.offer()
    assert talk.connect(token) == 403
    assert talk.open() is None
    assert talk.listening() == []
    assert talk.connect() == 200


def test_without_a_token_nobody_looks_into_the_table() -> None:
    with commanded("dynamodb", connects=False) as talk:
        talk.backend.calls.clear()
        assert talk.connect("") == 403
        assert talk.connect("x" * 5_000) == 403
        assert talk.backend.calls == []


def test_a_ticket_ends_after_a_minute(talk: Commanded) -> None:
    talk.offer()
    talk.backend.clock.sleep(60)
    assert talk.connect() == 403
    assert talk.listening() == []


def test_a_deleted_connection_lets_nobody_in(talk: Commanded) -> None:
    talk.backend.connections.remove(talk.offer())
    assert talk.connect() == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        (PAGE, 200),
        ("https://evil.example", 403),
        (f"{PAGE}:8443", 403),
        (PAGE.upper(), 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_comes_in_where_it_may(here: Commanded, origin: str | None, status: int) -> None:
    here.offer()
    headers = {} if origin is None else {"origin": origin}
    assert here.connect(**headers) == status
    assert bool(here.open()) is (status == 200)
    if status == 403:
        assert here.connect() == 200  # the ticket is still good


def test_a_key_that_was_taken_back_lets_nobody_in(here: Commanded) -> None:
    access = Access(here.ports.keys, here.ports.clock, lambda: b"")
    here.realtime = replace(here.realtime, access=access)
    here.offer(opening=OPENING)
    assert here.connect() == 403
    assert here.open() is None
    here.ports.keys.put(Key("key1", "app", (Secret(hashed("x")),), 0))
    here.offer(f"{SESSION}.next")
    assert here.connect(f"{SESSION}.next.{SECRET}") == 200
    assert here.events() == []


# --- sessions that are gone ----------------------------------------------------------------------


def deleted(talk: Commanded) -> None:
    sessions.delete(talk.ports, "support", "s1", "trace")


def made_anew(talk: Commanded) -> None:
    deleted(talk)
    sessions.create(talk.ports, talk.session, "trace")


def expired(talk: Commanded) -> None:
    talk.change(tti_minutes=1)
    talk.backend.clock.sleep(60)


@pytest.mark.parametrize("gone", [deleted, made_anew, expired])
def test_a_session_that_is_gone_lets_nobody_in_and_leaves_nothing(
    talk: Commanded, gone: Callable[[Commanded], None]
) -> None:
    now = talk.ports.clock.now()
    talk.offer(opening=OPENING, expires_at=now + 600_000)
    gone(talk)
    before = talk.ports.log.tail(SESSION).head
    assert talk.connect() == 403
    assert talk.ports.log.tail(SESSION).head == before
    assert talk.open() is None
    assert talk.backend.connections.get(ID, now) is None


def test_a_session_that_is_deleted_while_somebody_comes_in_is_gone_too(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.offer(opening=OPENING)
    log = type(talk.ports.log)
    append = log.append

    def late(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(log, "append", append)
        deleted(talk)
        return append(*args, **more)

    monkeypatch.setattr(log, "append", late)
    assert talk.connect() == 403
    assert talk.open() is None
    assert talk.listening() == []


# --- what fails on the way -----------------------------------------------------------------------


@pytest.mark.parametrize("done", [True, False])
def test_whoever_could_not_be_let_in_is_not_there_whatever_was_written(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    talk.offer(opening=OPENING)
    failing_at(monkeypatch, talk.ports.log, "append", 1, done=done)
    assert talk.connect() == 503
    assert talk.open() is None
    assert talk.backend.connections.get(ID, talk.ports.clock.now()) is None
    assert len(talk.listening()) == done
    assert talk.events() == []
    assert talk.connect() == 403


@pytest.mark.parametrize("call", ["remove", "mark_closing"])
@pytest.mark.parametrize("nth", [2, 3])
def test_whoever_was_given_up_meanwhile_does_not_come_in(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, nth: int, call: str
) -> None:
    """After the append that has it told, and after the opening."""
    log = type(talk.ports.log)
    append, count = log.append, iter(range(2, 9))

    def late(*args: Any, **more: Any) -> Any:
        written = append(*args, **more)
        if next(count) == nth:
            getattr(talk.backend.connections, call)(offered)
        return written

    offered = talk.offer(opening=OPENING)
    monkeypatch.setattr(log, "append", late)
    assert talk.connect() == 503
    assert talk.open() is None


def test_whoever_may_have_been_given_up_does_not_come_in(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.offer()
    nth = 2 if talk.backend.calls else 1  # one of them reads it first to open it
    failing_at(monkeypatch, talk.backend.connections, "get", nth, done=False)
    assert talk.connect() == 503
    assert talk.open() is None


@pytest.mark.parametrize("done", [True, False])
def test_a_ticket_whose_taking_was_not_heard_of_is_good_for_the_same_try_only(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    talk.offer(opening=OPENING)
    failing_at(monkeypatch, talk.backend.connections, "open", 1, done=done)
    assert talk.connect() == 503
    assert talk.connect(gateway="another") == (403 if done else 200)
    assert len(talk.events()) == (not done)


def test_rows_that_cannot_be_removed_are_no_failure_of_their_own(
    here: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.offer()
    failing_at(monkeypatch, here.ports.log, "append", 1, done=False)
    failing_at(monkeypatch, here.backend.connections, "remove", 1, done=False)
    assert here.connect() == 503


def test_what_nobody_foresaw_lets_nobody_in_and_is_logged_without_the_token(
    here: Commanded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError(SECRET)

    here.offer(opening=OPENING)
    monkeypatch.setattr(type(here.ports.log), "tail", broken)
    with caplog.at_level(logging.INFO):
        assert here.connect() == 503
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert SECRET not in str([r.__dict__ for r in caplog.records])
    assert here.open() is None


# --- the agent's first words ---------------------------------------------------------------------


def test_the_agent_is_asked_to_open_once_somebody_listens(talk: Commanded) -> None:
    talk.offer(opening=OPENING)
    assert talk.connect() == 200
    found = talk.ports.log.read(SESSION, talk.session.incarnation, -1, 10)
    assert [type(one.event) for one in found] == [Listening, Input]
    assert talk.events() == [OPENED]
    assert talk.backend.received() == [WakeUp(SESSION, guards=2)]


def test_it_is_asked_once_however_often_it_is_told_that_somebody_comes(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    talk.offer(opening=OPENING)
    came: list[int] = []
    in_threads(lambda _: came.append(talk.connect()), count=4)
    assert came == [200] * 4
    assert talk.events() == [OPENED]
    talk.disconnect()
    talk.offer(f"{SESSION}.back")
    assert talk.connect(f"{SESSION}.back.{SECRET}") == 200
    assert talk.events() == [OPENED]


def test_a_client_that_is_quicker_than_the_opening_is_answered_with_it(here: Commanded) -> None:
    here.offer(opening=OPENING)
    here.connect()
    assert here.acked(message())["status"] == "accepted"
    assert [i.offset for i in here.state.pending] == [1, 2]


def test_whoever_opens_waits_for_an_answer_that_is_being_given(here: Commanded) -> None:
    here.run()
    running = here.state.open
    here.offer(opening=OPENING)
    assert here.connect() == 200
    assert here.state.open == running
    assert here.events()[-1] == OPENED


def test_the_application_opens_also_where_people_answer(here: Commanded) -> None:
    change_mode(here.ports, here.session, "manual", "trace")
    here.offer(opening=OPENING)
    assert here.connect() == 200
    assert here.events()[-1] == OPENED


@pytest.mark.parametrize("what", ["session", "agent"])
def test_nobody_opens_who_is_disabled_and_the_client_may_listen(here: Commanded, what: str) -> None:
    if what == "session":
        here.change(enabled=False)
    else:
        agent = here.ports.agents.get("support")
        here.ports.agents.replace(agent.model_copy(update={"enabled": False, "version": 1}))
    here.offer(opening=OPENING)
    assert here.connect() == 200
    assert here.open()
    assert here.events() == []


def test_nobody_opens_where_too_much_waits_and_the_client_may_listen(here: Commanded) -> None:
    here.run()
    for _ in range(10):
        here.append(*(Input(policy="coalesce", texts=("x",)) for _ in range(10)))
    here.offer(opening=OPENING)
    assert here.connect() == 200
    assert OPENED not in here.events()


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("lost", ["append", "wake-up"])
def test_an_opening_that_was_not_heard_of_is_asked_for_again_and_stands_once(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, lost: str, done: bool
) -> None:
    talk.offer(opening=OPENING)
    if lost == "append":
        failing_at(monkeypatch, talk.ports.log, "append", 2, done=done)
    else:
        failing_at(monkeypatch, talk.ports.wake_ups, "send", 1, done=done)
    assert talk.connect() == 200
    assert talk.events() == [OPENED]
    assert WakeUp(SESSION, guards=2) in talk.backend.received()
    assert talk.open()


@pytest.mark.parametrize("done", [True, False])
def test_an_opening_of_which_nothing_is_known_lets_nobody_in_and_stands_once_in_the_end(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    talk.offer(opening=OPENING)
    with monkeypatch.context() as broken:
        failing_at(broken, talk.ports.log, "append", 2, 3, done=done)
        failing_at(broken, talk.ports.log, "keyed", 2, 3, done=False)
        assert talk.connect() == 503
    assert talk.open() is None
    assert len(talk.events()) == done
    talk.offer(f"{SESSION}.next", opening=OPENING)
    assert talk.connect(f"{SESSION}.next.{SECRET}") == 200
    assert talk.events() == [OPENED]
    assert talk.backend.received() == [WakeUp(SESSION, guards=2 if done else 3)]


def test_an_opening_that_nobody_is_woken_for_keeps_no_client_out_and_is_never_stuck(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    talk.offer(opening=OPENING)
    with monkeypatch.context() as broken:
        failing(broken, talk.ports.wake_ups, "send")
        assert talk.connect() == 200
    assert "Nobody was woken for an opening" in caplog.messages
    assert talk.events() == [OPENED]
    assert talk.backend.received() == []
    talk.offer(f"{SESSION}.next", opening=OPENING)
    assert talk.connect(f"{SESSION}.next.{SECRET}", "next") == 200
    assert talk.events() == [OPENED]
    assert talk.backend.received() == [WakeUp(SESSION, guards=2)]
    assert talk.acked(message())["status"] == "accepted"
    assert offsets(next_batch(talk.state, 0)) == (1, 3)


def test_who_comes_back_with_the_same_words_hears_them_once_and_with_others_those(
    talk: Commanded,
) -> None:
    for n, opening in enumerate([OPENING, OPENING, "Say that you are back.", OPENING]):
        talk.offer(f"{SESSION}.c{n}", opening=opening)
        assert talk.connect(f"{SESSION}.c{n}.{SECRET}", f"gw{n}") == 200
    asked = [event.trigger for event in talk.events() if isinstance(event, Input)]
    assert [one and one.guidelines[0].action for one in asked] == [
        OPENING,
        "Say that you are back.",
    ]


# --- the whole way, as the gateway tells it -------------------------------------------------------


def test_the_function_lets_a_client_in_answers_it_and_sees_it_go(
    here: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.commands import app

    monkeypatch.setattr(bootstrap, "realtime", lambda: here.realtime)

    def told(sample: str, **more: Any) -> dict[str, Any]:
        event = json.loads((ROOT / f"events/commands/{sample}.json").read_text())
        event["requestContext"]["connectionId"] = GATEWAY
        return app.lambda_handler({**event, **more}, Context())  # type: ignore[arg-type]

    here.offer(opening=OPENING)
    query = {"queryStringParameters": {"token": f"{ID}.{SECRET}"}}
    assert told("connect", **query)["statusCode"] == 403  # another page
    headers = {"Origin": PAGE, "Sec-WebSocket-Protocol": "other, cueline"}
    spoken = {"Sec-WebSocket-Protocol": "cueline"}
    answer = told("connect", **query, headers=headers)
    assert answer == {"statusCode": 200, "headers": spoken}
    assert told("default") == {"statusCode": 200}
    assert told("default") == {"statusCode": 200}
    acks = [frame["data"] for frame in here.sockets.told(GATEWAY)]
    assert [(a["command_id"], a["status"]) for a in acks] == [
        ("c-1", "accepted"),
        ("c-1", "duplicate"),
    ]
    assert told("disconnect") == {"statusCode": 200}
    assert here.open() is None


# --- who goes ------------------------------------------------------------------------------------


def test_who_has_gone_is_not_there_any_more(talk: Commanded) -> None:
    talk.offer()
    talk.connect()
    for gateway in (GATEWAY, GATEWAY, "unknown"):
        talk.disconnect(gateway)
        assert talk.open() is None
    assert talk.backend.connections.get(ID, talk.ports.clock.now()) is None
    assert talk.connect() == 403
    assert talk.sockets.closed == []


@pytest.mark.parametrize("name", ["at", "remove"])
def test_who_cannot_be_removed_goes_with_the_time(
    here: Commanded, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here.offer()
    here.connect()
    failing_at(monkeypatch, here.backend.connections, name, 1, done=False)
    here.disconnect()
    assert here.open()
    here.backend.clock.sleep(LONGEST_CONNECTION)
    assert here.open() is None
