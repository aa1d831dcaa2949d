"""One request of the door, and what a route is."""

from dataclasses import dataclass
from typing import Any

from cueline.doors.calls import Request
from cueline.doors.calls import Route as AnyRoute
from cueline.doors.creation import Creation
from cueline.doors.idempotency import idempotency_key
from cueline.doors.triggered_responses import keys
from cueline.doors.triggered_responses.wire import body_of
from cueline.engine.ports import Ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Request):
    ports: Ports
    lease: int = 30
    """Seconds after which a turn whose host is silent may be taken over."""

    @property
    def agent(self) -> str:
        return keys.agent_key_in(self.path["agent_id"])

    @property
    def customer(self) -> str:
        return keys.customer_id_in(self.path["customer_id"])

    @property
    def guideline(self) -> str:
        return keys.guideline_id_in(self.path["guideline_id"])

    @property
    def session(self) -> tuple[str, str]:
        """The keys of its agent and of itself."""
        return keys.session_id_in(self.path["session_id"])

    @property
    def event(self) -> str:
        return keys.event_id_in(self.path["event_id"])

    @property
    def trace_id(self) -> str:
        return keys.trace_id(self.request_id)

    @property
    def json(self) -> dict[str, Any]:
        return body_of(self.body, self.is_base64, self.content_type)

    @property
    def creation(self) -> Creation:
        """For a POST that makes something."""
        return Creation(self.caller, idempotency_key(self.headers), self.json)


Route = AnyRoute[Call]
