"""Who hears a session while it goes on: its connections, and the ports that reach them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Grant = Literal["user_messages", "system_messages", "settings"]
GRANTS: tuple[Grant, ...] = ("user_messages", "system_messages", "settings")
"""All that a connection may be allowed to send."""
LONGEST_CONNECTION = 2 * 60 * 60
"""Seconds after which the gateway ends every connection."""
RESUME_PAUSE = 2_000
"""Milliseconds that a connection lets pass before it asks again for what it has missed."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A WebSocket of a session: offered, then opened once, then told of what stands in the log."""

    id: str
    """The session's id, a dot, and what cannot be guessed."""
    session: str
    incarnation: int
    caller: str
    """The id of the API key that made it, and pays for what is asked through it."""
    grants: tuple[Grant, ...]
    created_at: int
    """Milliseconds since 1970, UTC, as are the next two."""
    expires_at: int
    """When its ticket ends, and once it is open, when it will have ended itself."""
    opened_at: int = 0
    """0 while it is only offered."""
    gateway: str = ""
    """The gateway's own id of the open WebSocket."""
    opening: str = ""
    """What the agent is to open the conversation with, once somebody listens."""
    after: int | None = None
    """The offset behind which whoever opens it has missed something."""
    told: bool = False
    """It is told of what is stored: nothing from before it was come upon in the log."""
    closing: bool = False
    """It is to end, and could not be closed yet: it is told nothing more, and is closed again."""


class Connections(Protocol):
    """The connections of all sessions. What has expired is not there."""

    def offer(self, connection: Connection, ticket: str) -> None:
        """Writes it; `ticket` is the SHA-256, in hex, of the secret that opens it once."""

    def open(
        self, connection: str, ticket: str, gateway: str, now: int, until: int
    ) -> Connection | None:
        """Takes the ticket and sets `gateway`, `opened_at` to `now`, `expires_at` to `until`.

        None where it is not there, or expired, the ticket is another or was taken: of many who
        try, one gets it. A repeat with the same `gateway` gets it again, until it is `told`.
        """

    def get(self, connection: str, now: int) -> Connection | None: ...

    def at(self, gateway: str, now: int) -> Connection | None:
        """The open one that the gateway knows under this id."""

    def of(
        self, session: str, incarnation: int, now: int, *, closing: bool = False
    ) -> Sequence[Connection]:
        """Those that are `told`; with `closing` those too that are, else none of them."""

    def tell(self, connection: Connection) -> Connection | None:
        """With `told` set, as it is then; None where it is gone or `closing`. May be repeated.

        What only its begin needed, the ticket and `opening`, is not kept any longer.
        """

    def resumes(self, connection: Connection, now: int) -> bool:
        """Notes that it is told again what it has missed, which costs much: of many who ask within
        `RESUME_PAUSE` one may. False too where it is gone, or this was done and not heard of."""

    def mark_closing(self, connection: Connection) -> None:
        """Does nothing where it is gone."""

    def remove(self, connection: Connection) -> None:
        """Does nothing where it is gone."""


Sent = Literal["sent", "gone", "busy"]
"""What became of a frame.

gone  the WebSocket has ended, and its id will never be used again
busy  it did not take the frame now: its client is slow, or the gateway has too much to do
"""


class Sockets(Protocol):
    """The gateway's end of the open WebSockets, by its own ids. Never raises."""

    def send(self, gateway: str, frame: str) -> Sent:
        """Waits two seconds at most."""

    def close(self, gateway: str) -> Sent:
        """Ends it: `sent` or `gone` where it has ended, `busy` where it may still be open.

        Waits two seconds at most.
        """


class Speech(Protocol):
    """What one turn says, told to whoever listens while it is said. Nothing here waits or fails:
    who is slow is told more at once, later, and who is gone is left out."""

    def begins(self) -> None:
        """The turn has begun."""

    def says(self, part: int | None, text: str) -> None:
        """More text of the turn's message; with `part`, the first of that one (from 0), which
        begins, or begins anew."""

    def ends(self, *, cut: bool) -> None:
        """The turn is over. What it has said is told, at once; with `cut` nothing more is.

        May be called again.
        """


class Listeners(Protocol):
    def speech(self, session: str, incarnation: int, turn: str) -> Speech: ...


class _Unheard:
    def begins(self) -> None: ...
    def says(self, part: int | None, text: str) -> None: ...
    def ends(self, *, cut: bool) -> None: ...


class _Nobody:
    def speech(self, session: str, incarnation: int, turn: str) -> Speech:  # noqa: ARG002
        return _Unheard()


NOBODY: Listeners = _Nobody()
