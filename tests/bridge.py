"""Door 1 on a loopback port and in memory, for published clients: `python -m tests.bridge`.

Posting an event stores a canned turn that has every event a client can meet.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cueline import bootstrap
from cueline.adapters.clock import SystemClock
from cueline.adapters.memory import memory_ports
from cueline.doors.agent_events import events
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.agent_events.post import parse_post
from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.sessions import find
from cueline.errors import CuelineError
from cueline.log.events import (
    Answered,
    Input,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnFailed,
)
from functions.agents import app
from tests.gateway import REQUEST_ID, Answer, Context, event


def post(ports: Ports, path: str, raw: bytes, content_type: str) -> Answer:
    parts = path.split("/")
    try:
        session, tail = find(ports, parts[3], parts[5])
        posted = parse_post(raw, content_type)
    except CuelineError as error:
        refused = error_answer(error, REQUEST_ID)
        return Answer(refused.status, refused.headers, json.dumps(refused.body))
    writer = Writer(ports.log, ports.clock, session.id, REQUEST_ID)
    _, written = writer.append(
        tail.head,
        lambda _, at: (
            (
                Input(texts=posted.texts),
                TurnBegan(turn="t", inputs=(at,)),
                Thinking(turn="t", text="Hm."),
                ToolInput(turn="t", call="c", tool="clock", arguments="{}"),
                ToolOutput(turn="t", call="c", tool="clock", output="noon"),
                Answered(turn="t", inputs=(at,), text=f"You said: {posted.texts[0]}"),
            )
            if posted.texts != ("fail",)
            else (
                Input(texts=posted.texts),
                TurnBegan(turn="t", inputs=(at,)),
                TurnFailed(
                    turn="t", inputs=(at,), code="model_timeout", message="Late.", retryable=True
                ),
            )
        ),
    )
    recorded = written.recorded() if written else ()
    shown = [wired for r in recorded if (wired := events.to_wire(session, r))]
    body = {"events": shown, "session_key": session.session_key}
    return Answer(201, {"content-type": "application/json"}, json.dumps(body))


class Bridge(BaseHTTPRequestHandler):
    def answer(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.command == "POST" and url.path.endswith("/events"):
            got = post(bootstrap.rest().ports, url.path, raw, headers.get("content-type", ""))
        else:
            query = dict(parse_qsl(url.query))
            body = raw.decode() if raw else None
            given = event(self.command, url.path, body, query=query, headers=headers)
            got = Answer.of(app.lambda_handler(given, Context()))  # type: ignore[arg-type]
        self.send_response(got.status)
        for name, value in got.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(got.text.encode())

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Silent: the function has its own log."""


def server(port: int = 0) -> HTTPServer:
    """One request at a time, as in a Lambda function; memory lasts as long as the process."""
    door = bootstrap.Door(memory_ports(SystemClock()), None)
    bootstrap.rest = lambda: door
    return HTTPServer(("127.0.0.1", port), Bridge)


if __name__ == "__main__":
    with server(int(sys.argv[1]) if len(sys.argv) > 1 else 8801) as running:
        print(f"http://127.0.0.1:{running.server_port}", flush=True)  # noqa: T201
        running.serve_forever()
