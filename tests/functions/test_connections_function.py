"""Door 3's REST function: connections made and ended, and what was said in their sessions."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cueline import bootstrap
from cueline.adapters.memory.connections import MemoryConnections
from cueline.doors.access import Access, hashed
from cueline.doors.client_commands import transcript
from cueline.doors.client_commands.realtime import Realtime, SocketEvent
from cueline.doors.client_commands.routes import ROUTES
from cueline.doors.client_commands.socket_events import command, connect
from cueline.doors.cors import Cors
from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.listeners import GRANTS, LONGEST_CONNECTION, Connection
from cueline.engine.marks import mark_event
from cueline.engine.modes import change_mode
from cueline.engine.ports import Customer, Key, Ports, Secret
from cueline.engine.removal import remove_events
from cueline.engine.settings import change_settings
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    CompactionAsked,
    Decision,
    Event,
    Finished,
    Input,
    InputsFailed,
    Listening,
    ModelCalled,
    PartlyAnswered,
    Posted,
    Recorded,
    Spoke,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.settings import Settings
from cueline.log.state import MAX_PENDING
from cueline.log.triggers import Participant, Trigger
from functions.connections import app
from tests.clock import FakeClock
from tests.functions.conftest import Ask, logged_by
from tests.gateway import REQUEST_ID, Answer, Context, event
from tests.listening import Sockets

CONNECTIONS = "/public/agents/a/connections"
URL = "wss://example.com/v1"
DOOR_1 = {"tool_configurations": {}, "model": {"name": "m"}}
MINUTE = 60_000
OPEN_UNTIL = LONGEST_CONNECTION * 1000


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
def realtime(ports: Ports, sockets: Sockets) -> Realtime:
    return Realtime(ports, MemoryConnections(ports.clock), sockets, None, URL)


@pytest.fixture
def ask3(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks door 3, which is open."""
    monkeypatch.setattr(bootstrap, "realtime", lambda: realtime)

    def send(method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return Answer.of(app.lambda_handler(event(method, path, body, **more), Context()))  # type: ignore[arg-type]

    return send


@pytest.fixture(autouse=True)
def agents(ask: Ask) -> None:
    for key in ("a", "b"):
        made = ask("POST", "/v2/agents", {**DOOR_1, "key": key, "name": key.upper()})
        assert made.status == 201, made.text


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    with logged_by(app.logger) as stream:
        yield stream


def offered(ask3: Ask, **fields: Any) -> dict[str, Any]:
    """The connection, as it is shown."""
    return dict(made(ask3, **fields)["connection"])


def made(ask3: Ask, **fields: Any) -> dict[str, Any]:
    answer = ask3("POST", CONNECTIONS, fields)
    assert answer.status == 201, answer.text
    return dict(answer.json)


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What the token says to a client."""
    return dict(json.loads(base64.b64decode(answer["token"], validate=True)))


def refused(answer: Answer, status: int, code: str = "") -> str:
    """The message."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert body["request_id"] == REQUEST_ID
    assert {*body} - {"fields"} == {"code", "message", "retryable", "request_id"}
    assert code in ("", body["code"])
    return str(body["message"])


def stored(realtime: Realtime, connection: dict[str, Any]) -> Connection:
    found = realtime.connections.get(connection["id"], realtime.ports.clock.now())
    assert found
    return found


def opened(realtime: Realtime, answer: dict[str, Any], gateway: str = "g1") -> Connection:
    """As somebody who dials what the token says would open it, and be told of the log."""
    connection, _, secret = told(answer)["token"].rpartition(".")
    now = realtime.ports.clock.now()
    found = realtime.connections.open(connection, hashed(secret), gateway, now, now + OPEN_UNTIL)
    assert found
    say(realtime.ports, found.session, Listening(connection=found.id, until=found.expires_at))
    listening = realtime.connections.tell(found)
    assert listening
    return listening


def session_in(ports: Ports, session: str) -> Session:
    found = ports.log.tail(session).live(ports.clock.now())
    assert found
    return found


def log(ports: Ports, session: str) -> list[Recorded]:
    head = ports.log.tail(session).head
    return list(ports.log.read(session, head.incarnation, -1, 10_000))


def events(ports: Ports, session: str) -> list[Event]:
    return [one.event for one in log(ports, session)]


def say(ports: Ports, session: str, *new: Event) -> int:
    """Appends to the session; the offset of the first."""
    writer = Writer(ports.log, ports.clock, session, "trace")
    _, written = writer.append(ports.log.tail(session).head, lambda *_: new)
    assert written
    return written.at


def shown(ask3: Ask, session: str, **query: Any) -> dict[str, Any]:
    answer = ask3("GET", f"/public/sessions/{session}", query=query)
    assert answer.status == 200, answer.text
    return dict(answer.json)


def items(ask3: Ask, session: str, **query: Any) -> list[dict[str, Any]]:
    return list(shown(ask3, session, **query)["conversation"]["items"])


def spoken(ask3: Ask, session: str, **query: Any) -> list[tuple[str, str]]:
    """Who says what."""
    return [(one["role"], one["text"]) for one in items(ask3, session, **query)]


@pytest.fixture
def session(ask: Ask) -> str:
    """One that door 1 has made."""
    assert ask("POST", "/v2/agents/a/sessions", {"key": "s"}).status == 201
    return "a.s"


# --- making --------------------------------------------------------------------------------------


def test_a_connection_is_offered_to_a_new_session_of_the_guest(
    ask3: Ask, realtime: Realtime, ports: Ports
) -> None:
    answer = made(ask3, channelType="websocket")
    connection = answer["connection"]
    session, _, name = connection["id"].rpartition(".")
    assert re.fullmatch(r"[0-9a-z]+", name)
    assert connection == {
        "id": connection["id"],
        "sessionId": session,
        "agentId": "a",
        "channelType": "websocket",
        "modality": "text",
        "grants": ["user_messages", "system_messages", "settings"],
        "createdAt": "2025-06-15T15:06:40.000Z",
        "expiresAt": "2025-06-15T15:07:40.000Z",
    }
    assert stored(realtime, connection) == Connection(
        id=connection["id"],
        session=session,
        incarnation=session_in(ports, session).incarnation,
        caller="",
        grants=GRANTS,
        created_at=ports.clock.now(),
        expires_at=ports.clock.now() + MINUTE,
    )
    new = session_in(ports, session)
    assert (new.name, new.customer, new.metadata) == ("Connection", "guest", {})
    assert log(ports, session) == []
    assert [*ports.customers.all()] == []


def test_the_token_says_what_to_dial_and_only_its_hash_is_kept(
    ask3: Ask, realtime: Realtime, ports: Ports, logged: io.StringIO
) -> None:
    answer = made(ask3)
    token = told(answer)
    ticket = token["token"]
    assert token == {
        "url": f"{URL}?token={ticket}",
        "token": ticket,
        "connection": {"id": answer["connection"]["id"]},
        "expiresAt": answer["connection"]["expiresAt"],
    }
    assert re.fullmatch(r"[0-9A-Za-z._-]+", ticket), "it goes into an address as it is"
    connection, _, secret = ticket.rpartition(".")
    assert connection == answer["connection"]["id"]
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    now = ports.clock.now()
    for wrong in (secret, hashed("other")):
        assert not realtime.connections.open(connection, wrong, "g", now, now + 1)
    assert hashed(secret) == hashlib.sha256(secret.encode()).hexdigest()
    assert realtime.connections.open(connection, hashed(secret), "g", now, now + 1)
    assert secret not in repr(stored(realtime, answer["connection"]))
    assert answer["connection"]["id"] not in logged.getvalue()
    assert secret not in logged.getvalue()
    assert told(made(ask3))["token"] != ticket


def test_every_field_is_kept(ask3: Ask, realtime: Realtime, ports: Ports) -> None:
    connection = offered(
        ask3,
        channelType="websocket",
        modality="text",
        externalClientId="client-1_A",
        externalClientProfile={"name": "Zoë", "plan": "gold", "age": 30, "deep": {"x": [None]}},
        initialSpeech="Greet them by name.",
        tags={"team": "blue", "empty": ""},
        disableIdleTimeout=True,
        grants=["settings", "user_messages", "settings"],
    )
    assert connection["externalClientId"] == "client-1_A"
    assert connection["tags"] == {"team": "blue", "empty": ""}
    assert connection["grants"] == ["user_messages", "settings"]
    kept = stored(realtime, connection)
    assert kept.opening == "Greet them by name."
    assert kept.grants == ("user_messages", "settings")
    assert kept.after is None
    session = session_in(ports, connection["sessionId"])
    assert session.customer == "client-1_A"
    assert session.metadata == {"tags": {"team": "blue", "empty": ""}}
    known = ports.customers.get("client-1_A")
    assert known
    assert known == Customer(
        "client-1_A", "Zoë", ports.clock.now(), {"name": "Zoë", "plan": "gold"}
    )


def test_null_is_as_if_it_were_not_there(ask3: Ask) -> None:
    nothing = dict.fromkeys(
        (
            *("channelType", "modality", "externalClientId", "externalClientProfile"),
            *("initialSpeech", "tags", "disableIdleTimeout", "sessionId", "grants", "after"),
        )
    )
    assert offered(ask3, **nothing)["grants"] == [*GRANTS]


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"channelType": "webrtc"}, "channelType", "the only one there is; voice is not built."),
        ({"channelType": "sip"}, "channelType", "must be `websocket`, the only one there is."),
        ({"channelType": ""}, "channelType", "must be `websocket`, the only one there is."),
        (
            {"channelType": "WEBSOCKET"},
            "channelType",
            "must be `websocket`, the only one there is.",
        ),
        ({"channelType": 1}, "channelType", "must be a string"),
        ({"modality": "audio"}, "modality", "the only one there is; audio is not built."),
        ({"modality": "video"}, "modality", "the only one there is; video is not built."),
        ({"modality": "Text"}, "modality", "must be `text`, the only one there is."),
        ({"externalClientId": ""}, "externalClientId", "1 to 32 letters"),
        ({"externalClientId": "x" * 33}, "externalClientId", "1 to 32 letters"),
        ({"externalClientId": "a.b"}, "externalClientId", "1 to 32 letters"),
        ({"externalClientId": "a\n"}, "externalClientId", "1 to 32 letters"),
        ({"externalClientId": 7}, "externalClientId", "must be a string"),
        ({"externalClientId": "guest"}, "externalClientId", "stands for everybody"),
        ({"externalClientProfile": []}, "externalClientProfile", "must be an object"),
        ({"externalClientProfile": "x"}, "externalClientProfile", "must be an object"),
        ({"externalClientProfile": {"x": "ä" * 4096}}, "externalClientProfile", "than 8 KB"),
        ({"initialSpeech": ""}, "initialSpeech", "must not be empty"),
        ({"initialSpeech": " \n"}, "initialSpeech", "must not be empty"),
        (
            {"initialSpeech": "x" * 4001},
            "initialSpeech",
            "must not be longer than 4,000 characters",
        ),
        ({"initialSpeech": "a\0"}, "initialSpeech", "control characters"),
        ({"initialSpeech": ["hi"]}, "initialSpeech", "must be a string"),
        ({"tags": ["a"]}, "tags", "must be an object"),
        ({"tags": {"a": 1}}, "tags.a", "must be a string"),
        ({"tags": {"a": None}}, "tags.a", "must be a string"),
        ({"tags": {"a": "x" * 201}}, "tags", "value of the tag 'a' must not be longer than 200"),
        ({"tags": {"n" * 201: "x"}}, "tags", "nnn' must not be longer than 200 characters"),
        ({"tags": {"": "x"}}, "tags", "must have names that are not empty"),
        ({"tags": {" ": "x"}}, "tags", "must have names that are not empty"),
        (
            {"tags": {"a": "x\0"}},
            "tags",
            "value of the tag 'a' must not contain control characters",
        ),
        ({"tags": {"a\x1b": "x"}}, "tags", "the name 'a\\x1b' must not contain control"),
        (
            {"tags": {str(n): "" for n in range(21)}},
            "tags",
            "must not be more than 20, here are 21",
        ),
        ({"tags": {str(n): "€" * 200 for n in range(20)}}, "tags", "than 8 KB"),
        ({"disableIdleTimeout": "yes"}, "disableIdleTimeout", "must be true or false"),
        ({"disableIdleTimeout": 1}, "disableIdleTimeout", "must be true or false"),
        ({"grants": []}, "grants", "must not be empty"),
        ({"grants": "settings"}, "grants", "must be an array"),
        (
            {"grants": ["everything"]},
            "grants",
            "there is no 'everything'; there are `user_messages`, `",
        ),
        ({"grants": [1]}, "grants.0", "must be a string"),
        ({"sessionId": 1}, "sessionId", "must be a string"),
        ({"after": 0}, "after", "goes with sessionId"),
        ({"after": -2, "sessionId": "a.s"}, "after", "must be the offset of an event, or -1"),
        ({"after": "0", "sessionId": "a.s"}, "after", "must be an integer"),
        ({"after": 0.0, "sessionId": "a.s"}, "after", "must be an integer"),
        ({"after": True, "sessionId": "a.s"}, "after", "must be an integer"),
        ({"tags": {"a": "b"}, "sessionId": "a.s"}, "tags", "go with a new session"),
        ({"chanelType": "websocket"}, "chanelType", "is not a field of this request"),
        ({"channel_type": "websocket"}, "channel_type", "is not a field of this request"),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    ask3: Ask, ports: Ports, fields: dict[str, Any], field: str, why: str
) -> None:
    answer = ask3("POST", CONNECTIONS, fields)
    message = refused(answer, 422, "invalid_request")
    assert f"{field}: " in message
    assert why in message
    assert all(name.startswith(field) for name in answer.json["fields"])
    assert [*ports.sessions.all()] == []
    assert [*ports.customers.all()] == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "is empty"),
        ("", "is empty"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"modality":"text","modality":"text"}', "names a field twice"),
        ('{"externalClientProfile":{"x":NaN}}', "NaN is no JSON number"),
        ('{"externalClientProfile":{"x":"\\ud800"}}', "surrogate"),
        ('{"externalClientProfile":' + '{"x":' * 40 + "1" + "}" * 41, "nested deeper"),
        ('{"initialSpeech":"' + "x" * 1024 * 1024 + '"}', "larger than 1024 KB"),
    ],
)
def test_a_body_that_is_no_request_is_refused(ask3: Ask, body: str | None, why: str) -> None:
    assert why in refused(ask3("POST", CONNECTIONS, body), 422, "invalid_request")


def test_a_form_is_refused(ask3: Ask) -> None:
    form = ask3("POST", CONNECTIONS, "{}", headers={"content-type": "text/plain"})
    assert "content-type" in refused(form, 422)


def test_a_body_in_base64_is_read(ask3: Ask, realtime: Realtime) -> None:
    request = event("POST", CONNECTIONS, base64.b64encode(b'{"grants":["settings"]}').decode())
    request["isBase64Encoded"] = True
    answer = Answer.of(app.lambda_handler(request, Context()))  # type: ignore[arg-type]
    assert answer.json["connection"]["grants"] == ["settings"]


# --- whom it is for ------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["nope", "not%20a%20key", "x" * 51])
def test_an_unknown_agent_has_no_connections(ask3: Ask, ports: Ports, agent: str) -> None:
    body = {"externalClientId": "c", "externalClientProfile": {"x": 1}}
    refused(ask3("POST", f"/public/agents/{agent}/connections", body), 404, "agent_not_found")
    assert [*ports.customers.all()] == []


def test_a_disabled_agent_has_no_connections(ask: Ask, ask3: Ask, ports: Ports) -> None:
    assert ask("PATCH", "/v2/agents/a", {"enabled": False}).status == 200
    message = refused(ask3("POST", CONNECTIONS, {}), 403, "forbidden")
    assert message == "The agent 'a' is disabled; enable it to talk to it."
    assert [*ports.sessions.all()] == []


def test_a_known_client_stays_as_it_is(ask2: Ask, ask3: Ask, ports: Ports) -> None:
    ask2("POST", "/customers", {"id": "c", "name": "Alice", "metadata": {"x": "1"}})
    profile = {"name": "Somebody else"}
    connection = offered(ask3, externalClientId="c", externalClientProfile=profile)
    known = ports.customers.get("c")
    assert known
    assert (known.name, known.metadata) == ("Alice", {"x": "1"})
    assert ask2("GET", f"/sessions/{connection['sessionId']}").json["customer_id"] == "c"


@pytest.mark.parametrize("name", [None, "", "  ", 7, "a\0b", "x" * 501])
def test_a_client_without_a_name_is_called_by_its_id(ask3: Ask, ports: Ports, name: Any) -> None:
    offered(ask3, externalClientId="c", externalClientProfile={"name": name})
    known = ports.customers.get("c")
    assert known
    assert known.name == "c"


def test_a_client_made_here_is_a_customer_of_door_2(ask2: Ask, ask3: Ask) -> None:
    offered(ask3, externalClientId="c")
    assert ask2("GET", "/customers/c").json.items() >= {"id": "c", "name": "c"}.items()


def test_the_profile_is_context_for_the_agent_and_asks_for_nothing(ask3: Ask, ports: Ports) -> None:
    profile = {"name": "Zoë", "n": 1, "odd": 'a\0"b'}
    connection = offered(ask3, externalClientProfile=profile)
    [known] = events(ports, connection["sessionId"])
    assert isinstance(known, Input)
    before, _, text = known.texts[0].partition("{")
    assert before == "What is known of the user: "
    assert json.loads("{" + text) == profile
    assert known == Input(policy="silent", source="system", texts=known.texts)
    assert spoken(ask3, connection["sessionId"]) == [("system", known.texts[0])]


@pytest.mark.parametrize("profile", [None, {}])
def test_nothing_known_is_nothing_told(ask3: Ask, ports: Ports, profile: Any) -> None:
    connection = offered(ask3, externalClientProfile=profile)
    assert log(ports, connection["sessionId"]) == []


def test_a_profile_of_the_largest_size_is_taken(ask3: Ask, ports: Ports) -> None:
    profile = {"x": "ä" * ((8 * 1024 - len('{"x": ""}')) // 2)}
    connection = offered(ask3, externalClientId="c", externalClientProfile=profile)
    assert len(events(ports, connection["sessionId"])) == 1


# --- joining -------------------------------------------------------------------------------------


def test_a_session_of_door_1_is_joined(
    ask: Ask, ask3: Ask, realtime: Realtime, ports: Ports, session: str
) -> None:
    connection = offered(ask3, sessionId=session, initialSpeech="Say that you are back.")
    assert connection["id"].startswith("a.s.")
    assert connection["sessionId"] == session
    assert "externalClientId" not in connection
    kept = stored(realtime, connection)
    assert (kept.session, kept.opening) == (session, "Say that you are back.")
    assert kept.incarnation == session_in(ports, session).incarnation
    assert len([*ports.sessions.all()]) == 1


def test_a_session_of_door_2_is_joined_by_who_it_is_with(ask2: Ask, ask3: Ask) -> None:
    fields = {"agent_id": "a", "customer_id": "c", "metadata": {"tags": {"x": "1", "n": 2}}}
    session = ask2("POST", "/sessions", fields).json["id"]
    for given in ({}, {"externalClientId": "c"}):
        connection = offered(ask3, sessionId=session, **given)
        assert connection["externalClientId"] == "c"
        assert connection["tags"] == {"x": "1"}
    wrong = ask3("POST", CONNECTIONS, {"sessionId": session, "externalClientId": "d"})
    assert "externalClientId: is not who this session is with" in refused(wrong, 422)


def test_a_session_made_here_is_joined_again_and_again(ask3: Ask) -> None:
    first = offered(ask3, externalClientId="c", tags={"t": "1"})
    again = offered(ask3, sessionId=first["sessionId"])
    assert again["id"] != first["id"]
    assert again.items() >= {"sessionId": first["sessionId"], "tags": {"t": "1"}}.items()


def test_the_profile_is_told_to_a_session_that_is_joined(
    ask3: Ask, ports: Ports, session: str
) -> None:
    say(ports, session, Input(texts=("Hello",)))
    offered(ask3, sessionId=session, externalClientProfile={"page": "checkout"})
    assert spoken(ask3, session) == [
        ("user", "Hello"),
        ("system", 'What is known of the user: {"page": "checkout"}'),
    ]


def test_a_profile_that_the_agent_knows_is_not_told_again(
    ask3: Ask, ports: Ports, clock: FakeClock
) -> None:
    profile = {"name": "Jane", "plan": "gold"}
    session = offered(ask3, externalClientProfile=profile)["sessionId"]
    for given in (profile, dict(reversed(profile.items())), None):
        offered(ask3, sessionId=session, externalClientProfile=given)
    assert len(events(ports, session)) == 1
    offered(ask3, sessionId=session, externalClientProfile={**profile, "plan": "blue"})
    told = [event.texts[0] for event in events(ports, session) if isinstance(event, Input)]
    assert [text[-6:-2] for text in told] == ["gold", "blue"]
    other = offered(ask3, externalClientProfile=profile)["sessionId"]
    assert len(events(ports, other)) == 1
    clock.ms += 25 * 60 * MINUTE
    offered(ask3, sessionId=session, externalClientProfile=profile)
    assert len(events(ports, session)) == 3


def test_what_people_answer_gets_the_profile_too(ask3: Ask, ports: Ports, session: str) -> None:
    change_mode(ports, session_in(ports, session), "manual", "trace")
    offered(ask3, sessionId=session, externalClientProfile={"x": 1})
    assert isinstance(events(ports, session)[-1], Input)


def test_too_much_that_nobody_has_answered_keeps_a_profile_out(
    ask3: Ask, realtime: Realtime, ports: Ports, session: str
) -> None:
    for _ in range(2 * MAX_PENDING):
        say(ports, session, Input(policy="silent", source="system", texts=("more",)))
    body = {"sessionId": session, "externalClientProfile": {"x": 1}}
    answer = ask3("POST", CONNECTIONS, body)
    refused(answer, 429, "rate_limit_exceeded")
    assert answer.json["retryable"]
    assert answer.headers["retry-after"] == "5"


def test_what_was_missed_is_asked_for_by_its_offset(
    ask3: Ask, realtime: Realtime, ports: Ports, session: str
) -> None:
    say(ports, session, Input(texts=("one",)), Input(texts=("two",)))
    for after in (-1, 0, 1):
        assert stored(realtime, offered(ask3, sessionId=session, after=after)).after == after
    for after in (2, 2**62):
        wrong = ask3("POST", CONNECTIONS, {"sessionId": session, "after": after})
        assert "after: must be the offset of an event of this session" in refused(wrong, 422)


@pytest.mark.parametrize("other", ["a.nope", "b.s", "nope.s", "s", "a.s.x", "", "a.\0", "x" * 500])
def test_a_session_that_is_not_there_is_not_joined(ask3: Ask, session: str, other: str) -> None:
    answer = ask3("POST", CONNECTIONS, {"sessionId": other})
    assert len(refused(answer, 404, "session_not_found")) < 300


def test_a_session_of_another_agent_is_not_joined(ask: Ask, ask3: Ask) -> None:
    ask("POST", "/v2/agents/b/sessions", {"key": "s"})
    answer = ask3("POST", CONNECTIONS, {"sessionId": "b.s"})
    refused(answer, 404, "session_not_found")


def test_a_session_that_another_agent_answers_is_joined_by_either(
    ask2: Ask, ask3: Ask, session: str
) -> None:
    assert ask2("PATCH", f"/sessions/{session}", {"agent_id": "b"}).status == 200
    for agent in ("a", "b"):
        path = f"/public/agents/{agent}/connections"
        answer = ask3("POST", path, {"sessionId": session})
        assert answer.status == 201
        assert answer.json["connection"]["agentId"] == "b"


def test_a_session_that_is_over_is_not_joined_or_shown(
    ask: Ask, ask3: Ask, clock: FakeClock, session: str
) -> None:
    ask("POST", "/v2/agents/a/sessions", {"key": "e", "tti_minutes": 5})
    assert ask("DELETE", "/v2/agents/a/sessions/s").status == 204
    clock.ms += 5 * MINUTE
    for over in (session, "a.e"):
        refused(ask3("POST", CONNECTIONS, {"sessionId": over}), 404, "session_not_found")
        refused(ask3("GET", f"/public/sessions/{over}"), 404, "session_not_found")


def test_a_disabled_session_is_not_joined(ask: Ask, ask3: Ask, session: str) -> None:
    ask("PATCH", "/v2/agents/a/sessions/s", {"enabled": False})
    message = refused(ask3("POST", CONNECTIONS, {"sessionId": session}), 403, "forbidden")
    assert message == "The session 's' is disabled; enable it to go on."
    assert shown(ask3, session)["status"] == "pending"


def test_a_session_that_is_deleted_meanwhile_is_not_joined(
    ask3: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch, session: str
) -> None:
    look = type(ports.log).tail

    def deleted_after_it(*args: Any) -> Any:
        seen = look(*args)
        monkeypatch.setattr(type(ports.log), "tail", look)
        sessions.delete(ports, "a", "s", "trace")
        return seen

    monkeypatch.setattr(type(ports.log), "tail", deleted_after_it)
    body = {"sessionId": session, "externalClientProfile": {"x": 1}}
    refused(ask3("POST", CONNECTIONS, body), 404, "session_not_found")


# --- what is lost on the way ---------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "/v1", "?x", "https://example.com/v1"])
def test_what_nobody_could_dial_is_not_given_out_and_nothing_is_made_for_it(
    ask3: Ask, realtime: Realtime, ports: Ports, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    undialled = replace(realtime, url=url)
    monkeypatch.setattr(bootstrap, "realtime", lambda: undialled)
    answer = ask3("POST", CONNECTIONS, {"externalClientId": "c"})
    assert "Set CONNECTIONS_URL" in refused(answer, 503, "unavailable")
    assert [*ports.sessions.all()] == []
    assert [*ports.customers.all()] == []


@pytest.mark.parametrize("write", ["session", "customer", "profile", "offer"])
def test_whoever_gets_no_answer_asks_again(
    ask3: Ask, realtime: Realtime, ports: Ports, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    port, name = {
        "session": (ports.sessions, "create"),
        "customer": (ports.customers, "create"),
        "profile": (ports.log, "append"),
        "offer": (realtime.connections, "offer"),
    }[write]
    call = getattr(type(port), name)

    def lost(*args: Any) -> Any:
        monkeypatch.setattr(type(port), name, call)
        call(*args)
        raise Unavailable("The answer is lost.")

    monkeypatch.setattr(type(port), name, lost)
    body = {"externalClientId": "c", "externalClientProfile": {"x": "1"}}
    first = ask3("POST", CONNECTIONS, body)
    assert refused(first, 503, "unavailable") == "The answer is lost."
    assert first.json["retryable"]
    assert first.headers["retry-after"] == "5"
    connection = offered(ask3, **body)
    assert stored(realtime, connection)
    assert len(events(ports, connection["sessionId"])) == 1
    assert [one.id for one in ports.customers.all()] == ["c"]
    for session in ports.sessions.all():
        assert shown(ask3, session.id)["status"] == "pending"


# --- ending --------------------------------------------------------------------------------------


def test_an_offered_connection_is_void_once_it_is_deleted(
    ask3: Ask, realtime: Realtime, sockets: Sockets, ports: Ports
) -> None:
    answer = made(ask3)
    path = f"/public/connections/{answer['connection']['id']}"
    gone = ask3("DELETE", path)
    assert (gone.status, gone.text) == (204, "")
    connection, _, secret = told(answer)["token"].rpartition(".")
    now = ports.clock.now()
    assert not realtime.connections.open(connection, hashed(secret), "g1", now, now + 1)
    assert sockets.closed == []
    refused(ask3("DELETE", path), 404, "connection_not_found")


def test_an_open_connection_is_closed(
    ask3: Ask, realtime: Realtime, sockets: Sockets, ports: Ports
) -> None:
    answer = made(ask3)
    session = answer["connection"]["sessionId"]
    opened(realtime, answer, "g1")
    other = made(ask3, sessionId=session)
    opened(realtime, other, "g2")
    assert ask3("DELETE", f"/public/connections/{answer['connection']['id']}").status == 204
    assert sockets.closed == ["g1"]
    assert sockets.told("g1") == [
        {
            "event": "session_closing",
            "data": {
                "reason": "connection_aborted",
                "reconnect_after_ms": None,
                "closes_at": "2025-06-15T15:06:40.000Z",
            },
        }
    ]
    assert sockets.told("g2") == []
    assert not realtime.connections.at("g1", ports.clock.now())
    assert realtime.connections.at("g2", ports.clock.now())
    assert shown(ask3, session)["status"] == "started"
    ports.clock.sleep(60)
    assert ask3("DELETE", f"/public/connections/{other['connection']['id']}").status == 204
    assert shown(ask3, session)["status"] == "closed"


def unavailable(*_: Any) -> None:
    raise Unavailable("DynamoDB does not answer.")


@pytest.mark.parametrize("call", ["mark_closing", "remove"])
def test_a_connection_can_be_deleted_again_where_its_row_was_left(
    ask3: Ask, realtime: Realtime, sockets: Sockets, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    answer, offer = made(ask3), made(ask3)
    opened(realtime, answer)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryConnections, call, unavailable)
        refused(ask3("DELETE", f"/public/connections/{offer['connection']['id']}"), 503)
        path = f"/public/connections/{answer['connection']['id']}"
        assert ask3("DELETE", path).status == (204 if call == "remove" else 503)
    assert sockets.closed == (["g1"] if call == "remove" else [])
    for one in (answer, offer):
        path = f"/public/connections/{one['connection']['id']}"
        assert ask3("DELETE", path).status == 204
        refused(ask3("DELETE", path), 404)


def test_a_connection_that_cannot_be_closed_now_is_nobody_s_any_more(
    ask3: Ask, realtime: Realtime, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = made(ask3)
    session = answer["connection"]["sessionId"]
    connection = opened(realtime, answer)
    path = f"/public/connections/{connection.id}"
    with monkeypatch.context() as patch:
        patch.setattr(Sockets, "close", lambda *_: "busy")
        sockets.answering("g1", ["busy"])
        assert ask3("DELETE", path).status == 204
    assert stored(realtime, answer["connection"]).closing
    now = realtime.ports.clock.now()
    assert realtime.connections.of(session, connection.incarnation, now) == []
    command(realtime, SocketEvent("g1", "req", body=json.dumps({"type": "ping"})))
    assert sockets.told("g1") == []
    assert sockets.closed == ["g1"]
    refused(ask3("DELETE", path), 404)


def test_whoever_opens_what_is_being_deleted_does_not_come_in(
    ask3: Ask, realtime: Realtime, sockets: Sockets, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the mark, its client is told; opened after it, it is not let in."""
    mark = MemoryConnections.mark_closing
    for before in (True, False):
        answer = made(ask3, initialSpeech="Greet them.")
        session = answer["connection"]["sessionId"]
        came = SocketEvent("g1", "req", query={"token": told(answer)["token"]})

        def late(*given: Any, before: bool = before, came: SocketEvent = came) -> None:
            if before:
                assert connect(realtime, came) == 200
            mark(*given)
            if not before:
                assert connect(realtime, came) == 403

        monkeypatch.setattr(MemoryConnections, "mark_closing", late)
        assert ask3("DELETE", f"/public/connections/{answer['connection']['id']}").status == 204
        assert sockets.events("g1") == ["session_closing"]
        assert sockets.closed == ["g1"]
        assert len(events(ports, session)) == (2 if before else 0)
        assert realtime.connections.at("g1", ports.clock.now()) is None


@pytest.mark.parametrize("wait", [MINUTE, OPEN_UNTIL])
def test_a_connection_that_has_expired_is_not_there(
    ask3: Ask, realtime: Realtime, clock: FakeClock, wait: int
) -> None:
    answer = made(ask3)
    if wait > MINUTE:
        opened(realtime, answer)
    clock.ms += wait
    path = f"/public/connections/{answer['connection']['id']}"
    refused(ask3("DELETE", path), 404, "connection_not_found")


@pytest.mark.parametrize(
    "other", ["nope", "a.s", "a.s.nope", "a.s.NOPE", "a.s.x.y", "%00", "%FF", "x" * 500]
)
def test_what_is_no_connection_is_not_found(ask3: Ask, session: str, other: str) -> None:
    message = refused(ask3("DELETE", f"/public/connections/{other}"), 404, "connection_not_found")
    assert message.startswith("There is no connection ")
    assert len(message) < 300


def test_a_connection_of_a_deleted_session_can_be_ended(
    ask: Ask, ask3: Ask, sockets: Sockets, realtime: Realtime, session: str
) -> None:
    answer = made(ask3, sessionId=session)
    opened(realtime, answer)
    ask("DELETE", "/v2/agents/a/sessions/s")
    assert ask3("DELETE", f"/public/connections/{answer['connection']['id']}").status == 204
    assert sockets.closed == ["g1"]


# --- the session ---------------------------------------------------------------------------------


def test_a_session_is_shown_by_its_own_id_and_by_a_connection_s(ask3: Ask) -> None:
    connection = offered(ask3, externalClientId="c", tags={"t": "1"})
    session = connection["sessionId"]
    assert shown(ask3, session) == {
        "id": session,
        "agentId": "a",
        "sessionType": "websocket",
        "modality": "text",
        "status": "pending",
        "externalClientId": "c",
        "tags": {"t": "1"},
        "settings": {},
        "createdAt": "2025-06-15T15:06:40.000Z",
        "cost": 0.0,
        "conversation": {"items": [], "before": None},
    }
    assert shown(ask3, connection["id"]) == shown(ask3, session)
    ask3("DELETE", f"/public/connections/{connection['id']}")
    assert shown(ask3, connection["id"]) == shown(ask3, session)


def test_a_session_is_as_far_as_its_connections_are(
    ask3: Ask, realtime: Realtime, ports: Ports, clock: FakeClock
) -> None:
    answer = made(ask3)
    session = answer["connection"]["sessionId"]
    assert shown(ask3, session)["status"] == "pending"
    connection = opened(realtime, answer)
    assert shown(ask3, session)["status"] == "started"
    clock.ms += MINUTE
    assert shown(ask3, session)["status"] == "started"
    realtime.connections.remove(connection)
    assert shown(ask3, session)["status"] == "closed"
    # One that has just opened, and has not been told of the log yet.
    until = clock.ms + OPEN_UNTIL
    say(ports, session, Listening(connection=f"{session}.x", until=until))
    assert shown(ask3, session)["status"] == "started"
    clock.ms += MINUTE
    assert shown(ask3, session)["status"] == "closed"


def test_the_settings_and_the_cost_are_those_of_now(ask3: Ask, ports: Ports, session: str) -> None:
    for change in (Settings(instructions="Be kind."), Settings(temperature=0.5)):
        writer = Writer(ports.log, ports.clock, session, "trace")
        change_settings(ports, writer, ports.log.tail(session), change)
    said = Input(texts=("Hello",))
    at = say(ports, session, said)
    say(
        ports,
        session,
        TurnBegan(turn="t", inputs=(at,)),
        ModelCalled(turn="t", cost=1_500_000),
        Answered(turn="t", inputs=(at,), text="Hi"),
    )
    answer = shown(ask3, session)
    assert answer["settings"] == {"instructions": "Be kind.", "temperature": 0.5}
    assert answer["cost"] == 0.0015


@pytest.mark.parametrize("other", ["nope", "a.nope", "nope.s", "a.s.UP", "%FF", "x" * 500])
def test_what_is_no_session_is_not_found(ask3: Ask, session: str, other: str) -> None:
    assert len(refused(ask3("GET", f"/public/sessions/{other}"), 404, "session_not_found")) < 300


def test_a_session_made_anew_shows_nothing_of_the_one_before(
    ask: Ask, ask3: Ask, ports: Ports, clock: FakeClock, session: str
) -> None:
    say(ports, session, Input(texts=("old",)))
    ask("DELETE", "/v2/agents/a/sessions/s")
    clock.ms += MINUTE
    assert ask("POST", "/v2/agents/a/sessions", {"key": "s"}).status == 201
    assert spoken(ask3, session) == []


# --- what was said -------------------------------------------------------------------------------


def test_what_was_said_is_shown_in_the_order_of_the_log(
    ask3: Ask, ports: Ports, clock: FakeClock, session: str
) -> None:
    ann = Participant(id="p", display_name="Ann")
    say(
        ports,
        session,
        Input(texts=("Hello", "Anybody?")),
        TurnBegan(turn="t1", inputs=(0,)),
        Thinking(turn="t1", text="secret thought"),
        Spoke(turn="t1", text="I look."),
        ToolInput(turn="t1", call="c", tool="look", arguments='{"q":"secret"}'),
        ToolOutput(turn="t1", call="c", tool="look", output="secret"),
        Spoke(turn="t1", text="", part=1),
    )
    clock.ms += 1999
    say(ports, session, Answered(turn="t1", inputs=(0,), text="Found it.", part=1))
    say(
        ports,
        session,
        Posted(source="person", text="I help.", participant=ann),
        Posted(source="on_behalf", text="Really."),
        Posted(source="user", text="Thanks."),
        Posted(kind="status", source="ai_agent", data={"status": "typing"}),
        Posted(kind="custom", source="system", data={"text": "secret"}),
        Input(policy="silent", source="system", texts=("They look at page 2.",)),
        Input(skills=("skill",)),
        Input(source="system", trigger=Trigger()),
        Input(call="c", policy="decision", decision=Decision(verdict="approve", note="secret")),
        Input(compact=CompactionAsked(message="secret")),
    )
    say(
        ports,
        session,
        TurnBegan(turn="t2", inputs=(14,)),
        TurnInterrupted(turn="t2", inputs=(14,)),
        PartlyAnswered(turn="t2", text="Half a"),
        TurnBegan(turn="t3", inputs=(15,)),
        TurnFailed(
            turn="t3", inputs=(15,), code="c", message="m", retryable=True, text="Then", part=2
        ),
        Input(texts=("Once more",)),
    )
    say(
        ports,
        session,
        TurnBegan(turn="t4", inputs=(25,)),
        Finished(turn="t4", inputs=(25,)),
        InputsFailed(inputs=(16,)),
    )
    assert spoken(ask3, session) == [
        ("user", "Hello\n\nAnybody?"),
        ("agent", "I look."),
        ("agent", "Found it."),
        ("agent", "I help."),
        ("agent", "Really."),
        ("user", "Thanks."),
        ("system", "They look at page 2."),
        ("agent", "Half a"),
        ("agent", "Then"),
        ("user", "Once more"),
    ]
    listed = items(ask3, session)
    incarnation = session_in(ports, session).incarnation
    assert listed[0] == {
        "id": event_id(session, incarnation, 0),
        "role": "user",
        "text": "Hello\n\nAnybody?",
        "timestamp": 1_750_000_000,
        "offset": 0,
    }
    assert listed[2] == {
        "id": "t1-1",
        "role": "agent",
        "text": "Found it.",
        "timestamp": 1_750_000_001,
        "offset": 7,
    }
    assert [one.get("author") for one in listed[3:6]] == ["person", "on_behalf", None]
    assert [one["id"] for one in listed if one["role"] == "agent" and "author" not in one] == [
        *("t1-0", "t1-1", "t2-0", "t3-2"),
    ]
    assert "secret" not in json.dumps(listed)


def test_a_failure_that_had_said_nothing_is_no_message(
    ask3: Ask, ports: Ports, session: str
) -> None:
    say(
        ports,
        session,
        Input(texts=("Hello",)),
        TurnBegan(turn="t", inputs=(0,)),
        TurnFailed(turn="t", inputs=(0,), code="c", message="m", retryable=True),
        PartlyAnswered(turn="t", text=" \n"),
    )
    assert spoken(ask3, session) == [("user", "Hello")]


def test_what_is_hidden_erased_or_removed_is_not_shown(
    ask3: Ask, ports: Ports, session: str
) -> None:
    for text in ("hidden", "erased", "stays", "removed", "removed too"):
        say(ports, session, Posted(text=text))
    found = session_in(ports, session)
    mark_event(ports, found, 0, "hidden", "trace")
    mark_event(ports, found, 1, "erased", "trace")
    remove_events(ports, found, 3, "trace")
    say(ports, session, Posted(text="after"))
    assert spoken(ask3, session) == [("user", "stays"), ("user", "after")]
    mark_event(ports, found, 0, None, "trace")
    assert spoken(ask3, session)[0] == ("user", "hidden")


# --- page by page --------------------------------------------------------------------------------


def numbered(ports: Ports, session: str, count: int) -> None:
    for n in range(0, count, 10):
        say(ports, session, *(Posted(text=str(n + m)) for m in range(10)))


def test_the_newest_messages_are_shown_and_those_before_on_demand(
    ask3: Ask, ports: Ports, session: str
) -> None:
    numbered(ports, session, 500)
    query: dict[str, str] = {"limit": "120"}
    pages: list[list[str]] = []
    while True:
        conversation = shown(ask3, session, **query)["conversation"]
        pages.insert(0, [one["text"] for one in conversation["items"]])
        if conversation["before"] is None:
            break
        query["before"] = str(conversation["before"])
    assert [len(page) for page in pages] == [20, 120, 120, 120, 120]
    assert [text for page in pages for text in page] == [str(n) for n in range(500)]


def test_a_thousand_messages_are_shown_at_once(ask3: Ask, ports: Ports, session: str) -> None:
    numbered(ports, session, 1200)
    conversation = shown(ask3, session)["conversation"]
    assert [one["text"] for one in conversation["items"]] == [str(n) for n in range(200, 1200)]
    assert conversation["before"] == 200
    older = shown(ask3, session, before="200")["conversation"]
    assert [one["text"] for one in older["items"]] == [str(n) for n in range(200)]
    assert older["before"] is None


def test_an_answer_is_not_larger_than_it_may_be(
    ask3: Ask, ports: Ports, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(30):
        say(ports, session, Posted(text=f"{n}" + "x" * 200_000))
    listed = items(ask3, session)
    assert 10 < len(listed) < 25
    assert listed[-1]["text"].startswith("29")
    before = shown(ask3, session)["conversation"]["before"]
    assert before == listed[0]["offset"]


def test_a_long_search_ends_and_says_where_it_goes_on(
    ask3: Ask, ports: Ports, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "READ_SECONDS", 0.0)
    numbered(ports, session, 500)
    conversation = shown(ask3, session)["conversation"]
    assert len(conversation["items"]) == transcript.STRETCH
    assert conversation["before"] == 300


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(({"limit": limit}, "limit") for limit in ("0", "1001", "many", "", "-1", "1.0", "٣")),
        *(({"before": before}, "before") for before in ("-1", "x", "", "1e3", "9" * 5_000)),
    ],
)
def test_a_wrong_query_is_refused_by_name(
    ask3: Ask, session: str, query: dict[str, str], field: str
) -> None:
    answer = ask3("GET", f"/public/sessions/{session}", query=query)
    why = {
        "limit": "limit: must be an integer from 1 to 1,000.",
        "before": "before: must be the offset of an event: an integer, 0 or more.",
    }[field]
    assert refused(answer, 422, "invalid_request") == f"The request is not valid: {why}"


def test_other_places_are_no_mistake(ask3: Ask, ports: Ports, session: str) -> None:
    numbered(ports, session, 10)
    assert len(items(ask3, session, before="99999999999")) == 10
    assert items(ask3, session, before="0") == []
    assert len(items(ask3, session, limit=["5", "2"], other="x")) == 2


# --- who may ask ---------------------------------------------------------------------------------


@pytest.fixture
def guarded(realtime: Realtime, ports: Ports, monkeypatch: pytest.MonkeyPatch, ask3: Ask) -> Ask:
    for name in ("k1", "k2"):
        ports.keys.put(Key(name, "Ops", (Secret(hashed(f"secret {name}")),), 1))
    checked = replace(realtime, access=Access(ports.keys, ports.clock, lambda: b"s" * 64))
    monkeypatch.setattr(bootstrap, "realtime", lambda: checked)
    return ask3


def test_every_route_wants_a_key(guarded: Ask) -> None:
    for route in ROUTES:
        refused(guarded(route.method, route.path, {}), 401, "unauthorized")
        wrong = guarded(route.method, route.path, {}, headers={"x-api-key": "k1.wrong"})
        refused(wrong, 401)


def test_whoever_made_a_connection_pays(guarded: Ask, realtime: Realtime) -> None:
    for name in ("k1", "k2"):
        for header in ("X-Api-Key", "authorization"):
            key = f"{'Bearer ' if header == 'authorization' else ''}{name}.secret {name}"
            answer = guarded("POST", CONNECTIONS, {}, headers={header: key})
            assert answer.status == 201, answer.text
            assert stored(realtime, answer.json["connection"]).caller == name


# --- every route ---------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_answers_in_the_door_s_shape(ask3: Ask, route: Any) -> None:
    answer = ask3(route.method, route.path.replace("{", "").replace("}", ""), {})
    assert answer.headers["x-request-id"] == REQUEST_ID
    refused(answer, 404)


def test_an_unknown_route_is_not_found(ask3: Ask) -> None:
    refused(ask3("GET", "/public/connections"), 404, "not_found")
    refused(ask3("PUT", "/public/sessions/a.s"), 404)
    refused(ask3("GET", "/public/sessions/"), 404)


def test_what_fails_unexpectedly_tells_nothing(
    ask3: Ask, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("what a user said")

    monkeypatch.setattr(MemoryConnections, "offer", broken)
    answer = ask3("POST", CONNECTIONS, {})
    message = refused(answer, 500, "internal_error")
    assert message == "Something failed inside Cueline. It has been logged."
    assert '"error":"ValueError"' in logged.getvalue()
    assert "what a user said" not in logged.getvalue()


def test_a_page_of_a_named_origin_may_read_answers_and_errors(
    ask3: Ask, monkeypatch: pytest.MonkeyPatch, session: str
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    for path, status in ((f"/public/sessions/{session}", 200), ("/public/sessions/none", 404)):
        answer = ask3("GET", path, headers={"Origin": "https://example.com"})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "https://example.com"
