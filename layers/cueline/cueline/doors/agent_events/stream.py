"""What a turn says, as the frames of one response."""

from collections.abc import Iterator
from dataclasses import dataclass

from cueline.doors.agent_events import sse
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.agent_events.events import to_wire
from cueline.doors.relay import Said
from cueline.engine.model import TextDelta, ThinkingDelta
from cueline.engine.turn import Restarted
from cueline.errors import CuelineError, ModelError
from cueline.log.events import (
    Answered,
    InputsFailed,
    Recorded,
    Thinking,
    TurnFailed,
    TurnInterrupted,
    event_id,
)
from cueline.log.segment import Session


@dataclass(slots=True)
class Frames:
    """One stream's framing; remembers what has been opened, so that it is closed."""

    session: Session
    request_id: str
    _thinking: bool = False
    _thought: bool = False
    _text: str = ""

    def of(self, what: Said, at: int) -> Iterator[bytes]:
        """`at` is now, in ms."""
        match what:
            case ThinkingDelta():
                self._thinking = self._thought = True
                yield sse.streaming_thinking(what.text, at)
            case TextDelta():
                yield from self._end_thinking(at)
                self._text += what.text
                yield sse.streaming_agent_output(what.text, at)
            case Restarted():
                yield from self._end_thinking(at)
            case Recorded():
                yield from self._end_thinking(at)
                yield from self._of_event(what)

    def failed(self, error: Exception, at: int) -> Iterator[bytes]:
        yield from self._end_thinking(at)
        yield sse.error(error_answer(error, self.request_id).body)

    def _end_thinking(self, at: int) -> Iterator[bytes]:
        if self._thinking:
            self._thinking = False
            yield sse.streaming_thinking_end(at)

    def _of_event(self, recorded: Recorded) -> Iterator[bytes]:
        event = recorded.event
        match event:
            case Answered() | TurnInterrupted():
                yield from self._end_text(recorded, event.text)
            case TurnFailed():
                if event.text or self._text:
                    yield from self._end_text(recorded, event.text)
                yield from self.failed(failure(event), recorded.created_at)
            case InputsFailed():
                yield from self.failed(failure(event), recorded.created_at)
            case Thinking() if self._thought:
                pass  # it was streamed, before the text that it led to
            case _:
                if wired := to_wire(self.session, recorded):
                    yield sse.frame(wired)

    def _end_text(self, recorded: Recorded, text: str) -> Iterator[bytes]:
        """First what was not said here: another process may have hosted the turn to its end."""
        if not text.startswith(self._text):
            yield sse.streaming_agent_output_end(None, recorded.created_at)
            self._text = ""
        if rest := text[len(self._text) :]:
            yield sse.streaming_agent_output(rest, recorded.created_at)
        self._text = ""
        ended = event_id(self.session.id, self.session.incarnation, recorded.offset)
        yield sse.streaming_agent_output_end(ended, recorded.created_at)


def failure(event: TurnFailed | InputsFailed) -> CuelineError:
    """A stored failure, as the error that it was."""
    retryable = event.retryable if isinstance(event, TurnFailed) else True
    return ModelError(event.code, event.message, retryable=retryable)
