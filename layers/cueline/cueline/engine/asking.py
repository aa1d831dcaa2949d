"""Asking the model within a turn: what that may take is reserved, and a failure is tried again."""

import logging
from dataclasses import dataclass
from typing import Literal

from cueline.engine.agent import Retries
from cueline.engine.append import LIFETIME
from cueline.engine.budget import Budget, Reserved
from cueline.engine.call import Build, Call, Delta, Emit, Restarted
from cueline.engine.guidelines import Markers
from cueline.engine.host import Host
from cueline.engine.model import TextDelta, ThinkingDelta, Usage
from cueline.engine.reader import LOOK_EVERY
from cueline.engine.steps import Stop, limit
from cueline.engine.telling import speak, tell_typing
from cueline.errors import CuelineError, ModelError, TurnStopped, unexpected
from cueline.log.events import ModelCalled

logger = logging.getLogger(__name__)

FREE = (
    "model_unauthorized",
    "model_rejected",
    "model_rate_limited",
    "model_unavailable",
    "context_limit_exceeded",
)
"""Failures for which a provider takes nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a call of the model went. Its answer is the host's `call`.

    answered  it is whole
    failed    with `failure`, and no other try shall be made
    again     it failed, and the turn may go on, maybe with more inputs by now
    closed    somebody else has closed the turn meanwhile
    left      the turn is left to its wake-up
    """

    outcome: Literal["answered", "failed", "again", "closed", "left"]
    failure: CuelineError | None = None


def ask(
    host: Host,
    build: Build,
    *,
    shrink: bool,
    plain: bool = True,
    purpose: Literal["answer", "compaction"] = "answer",
) -> Asked:
    """One try, and a pause before another. Only `plain` text is told as it is said."""
    failure = _try(host, build, shrink, plain, purpose)
    if host.call and host.call.closed:
        return Asked("closed")
    host.note_time()
    if host.stood >= (host.limits.lease if failure else LIFETIME):
        # What failed is this process, which the platform had stopped, and with it the
        # connection to the provider. A wake-up has the turn taken over.
        logger.warning("A turn is left to its wake-up: its host stood still")
        return Asked("left")
    if not failure:
        host.failures = 0
        return Asked("answered")
    host.failures += 1
    if isinstance(failure, ModelError) and _shall_try_again(host, failure, host.failures):
        return Asked("again")
    if isinstance(failure, ModelError) and failure.kind == "model_unauthorized":
        # Nobody but the operator can mend it, and turns fail in silence: an error rings an alarm.
        logger.error("The model takes no call of this deployment", extra={"code": failure.kind})
    return Asked("failed", failure)


def called(host: Host, call: Call | None) -> tuple[ModelCalled, ...]:
    """What a call took, to be stored beside what came of it; nothing where that is stored."""
    if not call or not call.request or call.counted or _free(call):
        return ()
    return (_counted(host, call),)


def _free(call: Call) -> bool:
    """The provider took nothing for it, or was not asked at all."""
    failure = call.failure
    if isinstance(failure, TurnStopped) and not call.asked:
        return True
    free = isinstance(failure, ModelError) and failure.kind in FREE
    return free and not call.spoken.anything


def _counted(host: Host, call: Call) -> ModelCalled:
    usage, estimated = call.usage()
    model = call.request.model if call.request else ""
    prices = host.limits.prices
    known = prices.known(model)
    return ModelCalled(
        turn=host.turn,
        model=model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=estimated,
        context_window=known.context_window if known else 0,
        cost=prices.cost(model, usage.input_tokens, usage.output_tokens),
        ms=host.lap(),
        purpose=call.purpose,
    )


def _try(
    host: Host,
    build: Build,
    shrink: bool,
    plain: bool,
    purpose: Literal["answer", "compaction"],
) -> CuelineError | None:
    call = host.call = Call(host.model, 0.0, _emit(host, plain=plain), purpose, plain)
    if plain and purpose == "answer" and _may_mark(host):
        call.spoken.markers = Markers()
    call.failure = _made(host, call, build, shrink)
    return call.failure


def _made(host: Host, call: Call, build: Build, shrink: bool) -> CuelineError | None:
    clock, done, cap = host.ports.clock, host.work(), host.caps.seconds
    left = float("inf") if cap is None else cap - host.seconds(done)
    ends_at = call.deadline = min(host.deadline, clock.monotonic() + left)
    budget = Budget(host.ports, host.caps, host.limits.prices, done.payer)
    reserved: Reserved | Stop | None = None
    failure: CuelineError | None = None
    try:
        call.request = build(host.limits.window_bytes)
        if host.caps.costs and not host.limits.prices.known(call.request.model):
            return _no_price(call.request.model)
        reserved = budget.reserve(call.request)
        if isinstance(reserved, Stop):
            return TurnStopped(reserved.code, reserved.message)
        call.asked = True
        call.make(build, host.limits.window_bytes, shrink=shrink)
    except CuelineError as error:
        failure = error
        if cap is not None and ends_at < host.deadline and clock.monotonic() >= ends_at:
            stop = limit("turn_seconds", f"{cap:g} seconds in one turn")
            failure = TurnStopped(stop.code, stop.message)
    except Exception as error:
        logger.error("A turn failed inside Cueline", extra=unexpected(error))  # noqa: TRY400
        failure = CuelineError("The turn failed inside Cueline.")
    if isinstance(reserved, Reserved) and call.request:
        model = call.request.model
        # After what came of it is stored: nobody waits for this.
        host.later.append(lambda: budget.settle(reserved, model, _taken(call)))
    return failure


def _no_price(model: str) -> TurnStopped:
    why = (
        f"Costs are limited, and the deployment's price table has no price for {model!r}: "
        "its operator adds one to ModelPrices."
    )
    return TurnStopped("limit_cost_without_price", why)


def _taken(call: Call) -> Usage:
    return Usage(0, 0) if _free(call) else call.usage()[0]


def _emit(host: Host, *, plain: bool) -> Emit:
    turn = host.state.running(host.turn)
    told = bool(turn and turn.trace)

    def emit(delta: Delta) -> None:
        if plain or isinstance(delta, ThinkingDelta):
            host.emit(delta)
        if plain and isinstance(delta, TextDelta):
            speak(host, delta.text)
            if told:
                tell_typing(host)

    return emit


def _may_mark(host: Host) -> bool:
    return host.triggered or bool(host.agent and host.agent.guidelines)


def _shall_try_again(host: Host, error: ModelError, tries: int) -> bool:
    """Pauses before the next try; False where none shall be made."""
    retries = host.agent.retries if host.agent else Retries()
    call = host.call
    # What was heard cannot be taken back, so it is not said again in other words.
    if not error.retryable or (call and call.plain and call.spoken.text and host.heard):
        return False
    # A provider that hangs once has taken most of the time that a caller waits.
    if error.kind == "model_timeout" or not retries.enabled or tries > retries.max_retries:
        return False
    clock = host.ports.clock
    longest = retries.max_backoff_ms / 1000
    backoff = retries.initial_backoff_ms / 1000 * retries.backoff_factor ** (tries - 1)
    pause = min(longest, backoff * (0.5 + clock.random() / 2))
    pause = max(pause, error.retry_after or 0.0)
    if pause > longest or clock.monotonic() + pause >= host.deadline:
        return False
    logger.warning("The model failed and is asked again", extra={"code": error.kind})
    until = clock.monotonic() + pause
    while host.state.running(host.turn) and (left := until - clock.monotonic()) > 0:
        clock.sleep(min(left, LOOK_EVERY))
    if call and call.spoken.thinking:
        host.emit(Restarted())
    if events := called(host, call):
        host.append_mine(*events)
    host.call = None
    host.look()  # for what came during the pause
    return True
