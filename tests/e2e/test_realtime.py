"""The realtime door on the local stack: every command in every state, cut connections, many
listeners, and whatever may be sent over a WebSocket."""

import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.e2e.conftest import Running
from tests.e2e.test_local_stack import AGENT, message, unique
from tests.talking_live import Live, message_in

__all__ = ["unique"]

TOKEN_MS = 150
"""Of a slow agent, which says its answer in a few seconds."""
Make = Callable[..., Live]


@pytest.fixture
def make(api: httpx.Client, unique: str) -> Iterator[Make]:
    """Clients of one agent of the test's own."""
    api.post("/v2/agents", json={**AGENT, "key": unique, "model": {"name": unique}})
    made: list[Live] = []

    def one(**more: Any) -> Live:
        made.append(Live(api, unique, **more))
        return made[-1]

    yield one
    for client in made:
        client.close()


@pytest.fixture
def live(make: Make) -> Live:
    return make().connect()


def slow(stack: Running, model: str, token_ms: int = TOKEN_MS) -> None:
    """The agent's next answer takes its time."""
    told = {"model": model, "faults": [{"kind": "delay", "token_ms": token_ms}]}
    httpx.post(f"{stack.practice_url}/faults", json=told).raise_for_status()


def speaking(stack: Running, live: Live) -> str:
    """The agent is in the middle of an answer; the id of that."""
    slow(stack, live.agent)
    before = len(live.frames)
    assert live.say("Tell me something.")["status"] == "accepted"
    delta = live.message("delta", since=before)
    return str(delta["response_id"])


def ended(live: Live, response: str) -> dict[str, Any]:
    """How it ended."""
    over = {"state": "ended", "response_id": response}
    live.until(lambda f: f["event"] == "talk_state_changed" and over.items() <= f["data"].items())

    def ends(frame: dict[str, Any]) -> bool:
        said = message_in(frame)
        is_end = said.get("action") in ("completed", "cancelled", "failed")
        return is_end and said.get("response_id") == response

    return message_in(live.until(ends))


def answers(live: Live) -> list[dict[str, Any]]:
    return [m for m in live.seen("completed") if m["role"] == "assistant"]


def transcript(live: Live) -> list[tuple[str, str]]:
    found = live.http.get(f"/public/sessions/{live.session}").raise_for_status().json()
    return [(item["role"], item["text"]) for item in found["conversation"]["items"]]


def ping_until_closed(live: Live) -> None:
    for _ in range(200):
        live.send(type="ping", data={})
        time.sleep(0.05)


# --- every command in every state ----------------------------------------------------------------


def test_a_message_is_answered_token_by_token_and_then_as_a_whole(live: Live) -> None:
    assert live.say("Hello!")["status"] == "accepted"
    whole = live.message("completed", role="assistant")
    actions = [m["action"] for m in map(message_in, live.frames) if m.get("role") == "assistant"]
    assert actions[0] == "created"
    assert "delta" in actions
    assert actions[-1] == "completed"
    assert live.texts[whole["item_id"]] == whole["content"]
    assert "You said “Hello!”" in whole["content"]
    assert transcript(live) == [("user", "Hello!"), ("agent", whole["content"])]


@pytest.mark.parametrize("role", ["user", "system"])
def test_a_message_that_wants_no_answer_gets_none_and_is_known_to_the_next(
    live: Live, role: str
) -> None:
    assert live.say("The cart has socks.", role, trigger=False)["status"] == "applied"
    time.sleep(1)
    assert live.seen("created") == []
    live.say("What is in it?")
    live.message("completed", role="assistant")
    assert [said for said, _ in transcript(live)] == [role, "user", "agent"]


def test_the_agent_greets_when_the_application_says_so(live: Live) -> None:
    assert live.say("The user has come; greet them.", "system")["status"] == "accepted"
    live.message("completed", role="assistant")
    assert [m for m in live.seen("completed") if m["role"] == "user"] == []


def test_the_agent_opens_the_conversation_as_it_is_told_to(make: Make) -> None:
    live = make().connect(initialSpeech="Welcome the visitor.")
    whole = live.message("completed", role="assistant")
    assert "Welcome the visitor." in whole["content"]


def test_a_message_interrupts_the_answer_and_what_was_said_stays(
    stack: Running, live: Live
) -> None:
    first = speaking(stack, live)
    live.message("delta", response_id=first)
    assert live.say("Stop, something else.")["status"] == "accepted"
    assert ended(live, first)["action"] == "cancelled"
    kept = live.message("cancelled", item_id=f"{first}-0")
    assert live.texts[kept["item_id"]] == kept["content"]
    second = live.message("completed", role="assistant")
    assert second["response_id"] != first
    assert ("agent", kept["content"]) in transcript(live)


def test_a_delayed_message_waits_until_the_answer_has_ended(stack: Running, live: Live) -> None:
    first = speaking(stack, live)
    queued = live.say("And then?", delay=True)
    assert (queued["status"], queued["queue_position"]) == ("queued", 1)
    assert live.say("And after that?", delay=True)["queue_position"] == 2
    assert ended(live, first)["action"] == "completed"

    def answers_both(frame: dict[str, Any]) -> bool:
        said = message_in(frame)
        return bool(said.get("final")) and said["response_id"] != first

    assert "And after that?" in message_in(live.until(answers_both))["content"]
    assert len(answers(live)) == 2


def test_what_waits_goes_along_with_who_interrupts(stack: Running, live: Live) -> None:
    first = speaking(stack, live)
    live.say("One.", delay=True)
    live.say("Two.", delay=True)
    live.say("Three, now!")
    assert ended(live, first)["action"] == "cancelled"
    live.message("completed", role="assistant")
    time.sleep(1)
    assert len(answers(live)) == 1
    said = [text for role, text in transcript(live) if role == "user"]
    assert said == ["Tell me something.", "One.", "Two.", "Three, now!"]


@pytest.mark.parametrize("delay", [False, True])
def test_context_never_interrupts(stack: Running, live: Live, delay: bool) -> None:
    first = speaking(stack, live)
    told = live.say("The page has changed.", "system", trigger=False, delay=delay)
    assert told["status"] == "applied"
    assert ended(live, first)["action"] == "completed"
    assert len(answers(live)) == 1


def test_settings_count_from_the_next_answer_on(stack: Running, live: Live) -> None:
    first = speaking(stack, live)
    changed = live.ask("set_settings", instructions="You sell tea.", temperature=0.5)
    assert changed["status"] == "applied"
    assert ended(live, first)["action"] == "completed"
    assert "You are a kind guide." in answers(live)[0]["content"]
    live.ask("set_settings", turn_detection={"silence_duration_ms": 900})
    live.say("And now?")
    live.until(lambda f: "You sell tea." in message_in(f).get("content", ""))
    shown = live.http.get(f"/public/sessions/{live.session}").json()["settings"]
    assert shown == {
        "instructions": "You sell tea.",
        "temperature": 0.5,
        "turn_detection": {"silence_duration_ms": 900},
    }


def test_two_commands_at_once_both_count(live: Live) -> None:
    for n in range(6):
        told = {"role": "user", "text": f"fact {n}", "trigger_response": False}
        live.send(type="send_message", data=told, command_id=f"at-once-{n}")
        live.send(type="set_settings", data={"temperature": n / 10}, command_id=f"set-{n}")
    for n in range(6):
        live.answer_to(f"at-once-{n}")
        live.answer_to(f"set-{n}")
    assert {text for _, text in transcript(live)} == {f"fact {n}" for n in range(6)}


def test_the_same_command_counts_once_over_whatever_connection(make: Make, live: Live) -> None:
    told = {"role": "user", "text": "Once only.", "trigger_response": True}
    other = make(session=live.session, newest=live.newest).connect()
    for client in (live, other, live):
        client.send(type="send_message", data=told, command_id="once")

    def acknowledged() -> list[dict[str, Any]]:
        frames = [*live.frames, *other.frames]
        return [f["data"] for f in frames if f["data"].get("command_id") == "once"]

    deadline = time.monotonic() + 30
    while len(acknowledged()) < 3:
        assert time.monotonic() < deadline, acknowledged()
        time.sleep(0.05)
    assert sorted(a["status"] for a in acknowledged()) == ["accepted", "duplicate", "duplicate"]
    assert len({a["offset"] for a in acknowledged()}) == 1
    live.message("completed", role="assistant")
    assert [text for role, text in transcript(live) if role == "user"] == ["Once only."]


# --- connections that are lost -------------------------------------------------------------------


def test_who_is_cut_off_at_any_frame_and_comes_back_ends_with_the_same_text(
    stack: Running, make: Make
) -> None:
    live = make().connect()
    for cut_after in range(9):
        slow(stack, live.agent, 50)
        before = len(live.frames)
        live.send(
            type="send_message",
            data={"role": "user", "text": f"Say something {cut_after}.", "trigger_response": True},
        )
        live.until(lambda _: True, since=before + cut_after)
        live.cut()
        time.sleep(0.05 * cut_after)
        live.connect()
        live.message("completed", role="assistant", since=before)
    said = {(m["item_id"], m["content"]) for m in answers(live)}
    assert len(said) == 9
    assert all(live.texts[item] == text for item, text in said)
    told = [(m["role"].replace("assistant", "agent"), m["content"]) for m in live.seen("completed")]
    assert told == transcript(live)


def test_a_client_may_ask_again_for_what_it_has_missed(live: Live) -> None:
    live.say("Hello!")
    live.message("completed", role="assistant")
    live.until(lambda f: f["data"].get("state") == "ended")
    live.forget()
    before = len(live.frames)
    assert live.ask("resume", after=-1)["status"] == "applied"
    live.until(lambda f: f["event"] == "resumed", since=before)
    again = [m["content"] for m in map(message_in, live.frames[before:]) if "content" in m]
    assert [text for _, text in transcript(live)] == again


def test_a_ticket_opens_one_connection(live: Live) -> None:
    url = live.ticket()
    with connect(url, open_timeout=30) as first:
        first.send(json.dumps({"type": "ping", "data": {}}))
        assert json.loads(first.recv(30))["event"] in ("pong", "message_received")
        with pytest.raises(InvalidStatus) as refused, connect(url, open_timeout=30):
            pass
        assert refused.value.response.status_code == 403


def test_pages_of_other_sites_cannot_connect(live: Live) -> None:
    url, evil = live.ticket(), Origin("https://evil.example")
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=evil, open_timeout=30):
        pass
    assert refused.value.response.status_code == 403


def test_a_connection_can_be_ended_from_outside(api: httpx.Client, live: Live) -> None:
    api.delete(f"/public/connections/{live.connection}").raise_for_status()
    with pytest.raises(ConnectionClosed):
        ping_until_closed(live)
    assert api.delete(f"/public/connections/{live.connection}").status_code == 404


def test_a_deleted_session_ends_its_connections(api: httpx.Client, live: Live) -> None:
    key = live.session.partition(".")[2]
    api.delete(f"/v2/agents/{live.agent}/sessions/{key}").raise_for_status()
    live.until(lambda f: f["event"] == "session_expired")


# --- whatever door it is -------------------------------------------------------------------------


def test_what_happens_through_the_other_doors_is_heard(api: httpx.Client, live: Live) -> None:
    key = live.session.partition(".")[2]
    posted = api.post(f"/v2/agents/{live.agent}/sessions/{key}/events", json=message("Door one."))
    said = posted.raise_for_status().json()["events"][-1]["content"]
    assert live.message("completed", role="assistant")["content"] == said
    live.message("delta")
    body = {"kind": "message", "source": "customer", "message": "Door two."}
    api.post(f"/sessions/{live.session}/events", json=body).raise_for_status()
    live.message("completed", role="user", content="Door two.")
    live.until(lambda f: "Door two." in message_in(f).get("content", "") and
               message_in(f)["role"] == "assistant")  # fmt: skip


def test_an_interrupt_is_heard_within_half_a_second(stack: Running, live: Live) -> None:
    """From the command to the last delta of the answer; the bench measures it at leisure."""
    first = speaking(stack, live)
    asked = time.monotonic()
    live.say("Stop.")
    took = time.monotonic() - asked
    ended(live, first)
    deltas = [m for m in live.seen("delta") if m["response_id"] == first]
    kept = live.message("cancelled", item_id=f"{first}-0")["content"]
    assert deltas
    assert kept.startswith(live.texts[f"{first}-0"])
    assert took < 5  # generous: the machine is shared


@pytest.mark.parametrize("listeners", [200])
def test_so_many_who_listen_to_one_session_all_hear_the_answer(
    make: Make, live: Live, listeners: int
) -> None:
    def join(_: int) -> Live:
        return make(session=live.session, newest=live.newest).connect()

    with ThreadPoolExecutor(4) as pool:
        all_of_them = [live, *pool.map(join, range(listeners - 1))]
    live.say("Hello, everybody!")
    whole = live.message("completed", role="assistant")
    for one in all_of_them:
        assert one.message("completed", role="assistant")["content"] == whole["content"]
    hear_deltas = sum(bool(one.seen("delta")) for one in all_of_them)
    assert 1 <= hear_deltas <= 50


def test_a_host_that_dies_while_it_speaks_is_followed_by_another(
    stack: Running, live: Live
) -> None:
    first = speaking(stack, live)
    assert stack.kill("WorkerFunction")
    whole = live.message("completed", role="assistant")
    assert whole["response_id"] != first
    assert ended(live, first)["reason"] == "taken_over"


# --- whatever is sent ----------------------------------------------------------------------------

ODD: list[str | bytes] = [
    "", " ", "null", "[]", "0", '"text"', "{", "{}", "[" * 5000, '{"a":' * 3000, "\x00", "é" * 9000,
    '{"type":"send_message"}', '{"type":"send_message","data":null}', '{"type":5,"data":{}}',
    '{"type":"send_message","data":{"role":"user","text":"x","trigger_response":"yes"}}',
    '{"type":"send_message","data":{"role":"admin","text":"x","trigger_response":true}}',
    '{"type":"send_message","data":{"role":"user","text":"","trigger_response":true}}',
    '{"type":"send_message","data":{"role":"user","text":"x","trigger_response":true,"delay":null}}',
    '{"type":"send_message","data":{"role":"user","text":"\\ud800","trigger_response":true}}',
    '{"type":"send_message","data":{"role":"user","text":"x","trigger_response":true,"more":1}}',
    '{"type":"set_settings","data":{}}', '{"type":"set_settings","data":{"temperature":9}}',
    '{"type":"set_settings","data":{"temperature":NaN}}',
    '{"type":"set_settings","data":{"temperature":1e999}}',
    '{"type":"set_settings","data":{"turn_detection":{}}}',
    '{"type":"ping","type":"ping","data":{}}', '{"type":"resume","data":{"after":-2}}',
    '{"type":"ping","data":{},"command_id":7}', '{"type":"send_audio","data":{}}',
    json.dumps({"type": "send_message", "data": {"role": "user", "text": "x" * 40_000,
                "trigger_response": True}}),
]  # fmt: skip


def test_whatever_is_sent_is_answered_by_an_error_and_the_connection_stays(live: Live) -> None:
    chance = random.Random(7)
    odd = [frame for frame in ODD if frame]
    odd += ["".join(map(chr, chance.choices(range(32, 0xD7FF), k=60))) for _ in range(30)]
    for frame in odd:
        before = len(live.frames)
        live.send_text(frame)
        answer = live.until(lambda _: True, since=before)
        assert answer["event"] == "command_error", (frame[:80], answer)
        assert answer["data"]["message"]
    assert live.ask("ping")["event"] == "pong"
    assert transcript(live) == []


def test_binary_frames_end_the_connection_as_the_gateway_does(live: Live) -> None:
    with connect(live.ticket(), open_timeout=30) as socket:
        socket.send(b"\x00\x01")
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(lambda: socket.recv(30), None))
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1003
