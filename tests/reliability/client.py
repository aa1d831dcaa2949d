"""A client of door 1 that repeats what fails, as the published ones do; and a reader of its log."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tests.reliability.evidence import Reading, Told, texts_of

HANG = 100.0
"""Seconds without a byte after which a client holds an answer for hung; a door says more sooner."""
BUSY = {409, 429, 503}
MOST_ATTEMPTS = 60


@dataclass
class Client:
    """One person, who talks through any of several doors."""

    who: str
    doors: Callable[[], str]
    """The base URL of a door that is open, for each attempt anew."""
    told: list[Told] = field(default_factory=list)
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=HANG))

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request for which a repeat does no harm."""
        for _ in range(MOST_ATTEMPTS):
            try:
                answer = self._http.request(method, self.doors() + path, json=body)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code not in BUSY | {500} or "exists" in answer.text:
                return answer
            time.sleep(0.1)
        raise AssertionError(f"{method} {path} is never answered")

    def say(
        self,
        session: str,
        body: Mapping[str, Any],
        *,
        key: str = "",
        patience: float = 0.0,
        leaves: bool = False,
        text: str = "",
    ) -> Told:
        """Posts an event until there is an answer that a client would not repeat.

        Who `leaves` hangs up when the first word comes.
        """
        agent, _, name = session.partition(".")
        path = f"/v2/agents/{agent}/sessions/{name}/events"
        text = text or next(iter(texts_of(body)), "")
        one = Told(session, self.who, text, key, since="since" in body)
        headers = {"idempotency-key": key} if key else {}
        if patience:
            headers["request-timeout-millis"] = str(round(1000 * patience))
        failures = 0
        for attempt in range(1, MOST_ATTEMPTS + 1):
            one = replace(one, attempts=attempt)
            try:
                one, again = self._post(one, self.doors() + path, body, headers, leaves)
            except httpx.TransportError:
                one, again = replace(one, status=0), True
            # A failed turn is a failure that is asked for once or twice more, as the clients do.
            failures += one.status == 500
            if not again or failures > 2:
                break
            time.sleep(random.uniform(0.1, 0.3))
        self.told.append(one)
        return one

    def send(self, session: str, text: str, policy: str) -> Told:
        """An input from another door; nobody waits for its answer."""
        one = Told(session, self.who, text, policy=policy)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            one = replace(one, attempts=attempt)
            with suppress(httpx.TransportError):
                body = {"session": session, "text": text, "policy": policy}
                answer = self._http.post(f"{self.doors()}/send", json=body)
                one = replace(one, status=answer.status_code, raw=answer.text)
                if answer.status_code == 201:
                    one = replace(one, event=answer.text)
                    break
                if answer.status_code not in BUSY:
                    one = replace(one, code=str(answer.json()["code"]))
                    break
            time.sleep(random.uniform(0.1, 0.3))
        self.told.append(one)
        return one

    def decide(self, session: str, call: str, verdict: str, note: str) -> Told:
        """On a call that waits for approval; what is said is the note."""
        body = {"type": "tool_decision", "tool_call_id": call, "decision": verdict, "message": note}
        return self.say(session, body, text=note)

    def sum_up(self, session: str, message: str) -> Told:
        body = {"type": "compact", "compaction_message": message}
        return self.say(session, body, text=message)

    def _post(
        self,
        one: Told,
        url: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        leaves: bool,
    ) -> tuple[Told, bool]:
        """What was told, and whether a client would try again."""
        with self._http.stream("POST", url, json=body, headers=headers) as answer:
            if "event-stream" in answer.headers.get("content-type", ""):
                return self._listen(one, answer, leaves)
            answer.read()
        one = replace(one, status=answer.status_code, raw=answer.text, code="")
        told = answer.json()
        if answer.status_code != 201:
            again = answer.status_code in BUSY | {500}
            return replace(one, code=str(told.get("code", ""))), again
        return _heard(one, told["events"]), False

    def _listen(self, one: Told, answer: httpx.Response, leaves: bool) -> tuple[Told, bool]:
        """A stream that breaks off is repeated only under a key: its caller cannot know more."""
        one, text, answers = replace(one, status=answer.status_code, code=""), "", {}
        try:
            for event in frames(answer.iter_lines()):
                match event["type"]:
                    case "streaming_agent_output":
                        text += event["content"]
                        if leaves:
                            return one, False
                    case "streaming_agent_output_end":
                        if "event_id" in event:
                            answers[event["event_id"]] = text
                        text = ""
                    case "error":
                        one = replace(one, code=event["code"], raw=json.dumps(event))
                    case "end":
                        return replace(one, answers={**one.answers, **answers}), False
                    case _:
                        one = _heard(one, [event])
        except httpx.TransportError:
            pass
        return replace(one, answers={**one.answers, **answers}, status=0), bool(one.key)


def _heard(one: Told, events: Sequence[Mapping[str, Any]]) -> Told:
    answers = dict(one.answers)
    for event in events:
        if one.text and not one.event and any(t.endswith(one.text) for t in texts_of(event)):
            one = replace(one, event=event["id"])
        if event["type"] == "agent_output" and "error" not in event:
            answers[event["id"]] = event["content"]
    return replace(one, answers=answers)


def frames(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data:"):
            event: dict[str, Any] = json.loads(line.removeprefix("data:"))
            yield event


@dataclass
class Reader:
    """Reads a session's events in small pages, on from the last one that it saw, all the while.

    What a summary stands for by now is hidden, but for who asks for that too.
    """

    client: Client
    session: str
    limit: int = 3
    ids: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _whole: bool = True
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._page() or not self._stop.wait(0.7):
            pass

    def _page(self) -> bool:
        """Whether there may be more at once."""
        agent, _, name = self.session.partition(".")
        after = f"&page_key={self.ids[-1]}" if self.ids else ""
        asked = f"include_hidden=true&limit={self.limit}{after}"
        answer = self.client.call("GET", f"/v2/agents/{agent}/sessions/{name}/events?{asked}")
        if answer.status_code != 200:
            self._whole = False  # the session is gone, or another one by now
            return False
        page = answer.json()
        self.ids += [event["id"] for event in page["events"]]
        return bool(page["metadata"].get("page_key"))

    def done(self) -> Reading:
        """Once all is said."""
        self._stop.set()
        self._thread.join(60)
        while self._whole and self._page():
            pass
        self.client.close()
        return Reading(self.session, tuple(self.ids), self._whole and not self._thread.is_alive())
