"""What a turn says, as the frames of one response."""

from collections.abc import Iterator
from dataclasses import dataclass

from cueline.doors.agent_events import sse
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.agent_events.events import TRANSIENT, told
from cueline.doors.agent_events.usage import context_usage
from cueline.doors.relay import Said
from cueline.engine.call import CompactionStarted, Restarted
from cueline.engine.model import TextDelta, ThinkingDelta
from cueline.engine.window import ends
from cueline.errors import CuelineError, ModelError, TurnStopped
from cueline.log.events import (
    Answered,
    InputsFailed,
    ModelCalled,
    PartlyAnswered,
    Recorded,
    Spoke,
    Thinking,
    TurnBegan,
    TurnFailed,
    event_id,
)
from cueline.log.segment import Session


@dataclass(slots=True)
class Frames:
    """One stream's framing; remembers what has been opened, so that it is closed.

    `offset` is that of the input whose caller listens: only its failure is the stream's.
    """

    session: Session
    request_id: str
    offset: int
    _turn: str = ""
    """The main turn: what is said as it is said is said by it."""
    _text: str = ""
    _saying: bool = False
    _thinking: bool = False
    _thought: bool = False
    _called: ModelCalled | None = None
    """The newest call of the model whose context has not been told yet."""

    def of(self, what: Said, at: int) -> Iterator[bytes]:
        """`at` is now, in ms."""
        match what:
            case ThinkingDelta():
                self._thinking = self._thought = True
                yield sse.streaming_thinking(what.text, at)
            case TextDelta():
                yield from self._end_thinking(at)
                self._text += what.text
                self._saying = True
                yield sse.streaming_agent_output(what.text, at)
            case Restarted():
                yield from self._end_thinking(at)
            case CompactionStarted():
                yield sse.compaction_started(f"compaction_{self._turn}", self._key, at)
            case Recorded():
                yield from self._end_thinking(at)
                yield from self._of_event(what)

    @property
    def _key(self) -> str:
        return self.session.session_key

    def close(self, at: int) -> Iterator[bytes]:
        """Whatever is still open will not be finished here."""
        yield from self._end_thinking(at)
        yield from self._break_off(at)

    def failed(self, error: Exception, at: int) -> Iterator[bytes]:
        yield from self.close(at)
        yield sse.error(error_answer(error, self.request_id).body)

    def _end_thinking(self, at: int) -> Iterator[bytes]:
        if self._thinking:
            self._thinking = False
            yield sse.streaming_thinking_end(at)

    def _break_off(self, at: int) -> Iterator[bytes]:
        if self._saying:
            self._saying = False
            yield sse.streaming_agent_output_end(None, at)

    def _of_event(self, recorded: Recorded) -> Iterator[bytes]:
        event, at = recorded.event, recorded.created_at
        match event:
            case TurnBegan():
                yield from self._break_off(at)
                self._turn, self._text, self._thought = event.turn, "", False
            case ModelCalled(purpose="answer"):
                self._called = event
            case Answered() | Spoke() if event.schema_name:
                yield from self._shown(recorded)
                yield from self._consumed(at)
            case Answered() | Spoke():
                yield from self._end_text(recorded, event.turn, event.text)
                yield from self._consumed(at)
            case PartlyAnswered():
                yield from self._end_text(recorded, event.turn, event.text)
            case TurnFailed() | InputsFailed() if ends(recorded, self.offset):
                if isinstance(event, TurnFailed) and (event.text or self._saying):
                    yield from self._end_text(recorded, event.turn, event.text)
                if event.code in TRANSIENT and (wired := told(self.session, recorded)):
                    yield sse.frame(wired)
                yield from self.failed(failure(event), at)
            case Thinking() if self._thought and event.turn == self._turn:
                self._thought = False  # it was streamed, before what it led to
            case _:
                yield from self._shown(recorded)

    def _shown(self, recorded: Recorded) -> Iterator[bytes]:
        wired = told(self.session, recorded)
        if wired and wired["type"] == "agent_output":  # which is no type of a stream
            more = {name: wired[name] for name in ("approvals",) if name in wired}
            yield from self._end_text(recorded, "", wired["content"], **more)
            yield from self._consumed(recorded.created_at)
        elif wired:
            yield sse.frame(wired)

    def _consumed(self, at: int) -> Iterator[bytes]:
        if called := self._called:
            self._called = None
            usage = context_usage(
                called.input_tokens,
                called.output_tokens,
                called.reasoning_tokens,
                called.context_window,
            )
            yield sse.context_consumed(usage, at)

    def _end_text(
        self, recorded: Recorded, turn: str, text: str, **more: object
    ) -> Iterator[bytes]:
        """First what was not said here: another process may host the turn, or another turn end."""
        at, own, resumed = recorded.created_at, turn == self._turn, self._saying
        said = self._text if own else ""
        if not (own and text.startswith(said)):
            yield from self._break_off(at)
            said = ""
        if rest := text[len(said) :]:
            yield sse.streaming_agent_output(rest, at)
        ended = event_id(self.session.id, self.session.incarnation, recorded.offset)
        yield sse.streaming_agent_output_end(ended, at, **more)
        if own:
            self._text, self._saying = "", False
        elif resumed:  # what was broken off is begun again, so that its end ends all of it
            self._saying = True
            yield sse.streaming_agent_output(self._text, at)


def failure(event: TurnFailed | InputsFailed) -> CuelineError:
    """A stored failure, as the error that it was."""
    if TurnStopped.has(event.code):
        return TurnStopped(event.code, event.message)
    retryable = event.retryable if isinstance(event, TurnFailed) else True
    return ModelError(event.code, event.message, retryable=retryable)
