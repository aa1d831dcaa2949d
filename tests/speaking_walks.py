"""Walks of sessions in which the agent speaks first, people stand beside it, and what was said is
taken back; and events come through background triggers, which are tried again and given up."""

from collections.abc import Callable, Sequence
from typing import Any

from cueline.engine.accept import beside
from cueline.engine.postponing import again_at, given_up, postponed
from cueline.engine.removal import removal
from cueline.engine.timers import Timer
from cueline.log.events import (
    Acknowledged,
    Answered,
    Compacted,
    Event,
    Input,
    InputsFailed,
    Listening,
    ModeChanged,
    Posted,
    SettingsChanged,
    ToolInput,
    TriggerScheduled,
    TurnReady,
    TurnTyping,
)
from cueline.log.fold import reduce
from cueline.log.settings import Settings
from cueline.log.state import Turn, interruption, not_for_people, superseded, withdrawal
from cueline.log.triggers import FollowUp, Guideline, Participant, Rationale, Trigger
from tests.walks import Walk

BOB = Participant(display_name="Bob")


class SpeakingWalk(Walk):
    def possible(self) -> list[Callable[[], None]]:
        found = super().possible()
        if self.state.quiet and not self.state.turns:
            found += [self.follow_up] * 4
        if self.state.mode == "manual":
            found += [self.change_mode] * 4
        if self.state.turns:
            found += [*[self.go_on] * 8, self.trigger, self.trigger]
        if not self.choose(range(3)):
            found += [self.trigger, self.trigger, self.trigger, self.post, self.schedule]
            found += [self.deliver] * 2 if self.state.mode == "auto" else []
            found += [self.fire] * len(self.state.scheduled)
            found += [self.refuse] if self.events else []
            found.append(self.set if self.state.heard_until else self.listen)
        if self.events and not self.choose(range(25)):
            found += [*[self.remove] * 20, *[self.change_mode] * 10]
        return found

    def trace(self) -> str:
        return f"trace {next(self._numbers)}"

    # --- what people do --------------------------------------------------------------------------

    def say(self) -> None:
        """Under a trace or none, to the agent or to people."""
        if self.state.mode == "manual":
            self.add(Posted(text=self.word("say")))
        elif self.choose([0, 1, 1, 1]):
            super().say()
        else:
            said = Input(policy="interrupt", texts=(self.word("say"),), trace=self.trace())
            place = len(self.events) + len(stopped := self.interrupted())
            self.add(*stopped, said, Acknowledged(input=place))

    def interrupted(self) -> tuple[Event, ...]:
        return (*super().interrupted(), *withdrawal(superseded(self.state)))

    def stop(self) -> None:
        self.add(*super().interrupted())

    def trigger(self) -> None:
        """With guidelines or without, beside the open turn, or by its own policy."""
        guided = (Guideline(action=self.word("guide")),)
        main = self.state.open.id if self.state.open else ""
        during = self.choose(["", main, main])
        plain = not during and self.state.mode == "auto" and self.choose([0, 1])
        trigger = Trigger(guidelines=() if plain else guided, during=during)
        trace = self.choose(["", self.trace()])
        early = not (main or plain) and self.choose([0, 0, 1])  # for what is about to begin
        more: dict[str, Any] = {"policy": "aside" if during or early else "enqueue", "trace": trace}
        self.add(beside(Input(source="system", trigger=trigger, **more), self.state, self.now()))

    def post(self) -> None:
        text = self.word("post")
        kinds = [
            Posted(source="person", text=text, participant=BOB),
            Posted(source="on_behalf", text=text),
            Posted(kind="status", source="person", data={"status": text}),
            Posted(kind="custom", source="system", data={"text": text}),
        ]
        self.add(self.choose(kinds))

    def refuse(self) -> None:
        """There is no customer who could be answered."""
        place, trace = len(self.events), self.trace()
        said = Input(policy="silent", texts=(self.word("lost"),), trace=trace)
        failed = InputsFailed(inputs=(place,), code="customer_not_found")
        self.add(said, Acknowledged(input=place), failed, TurnReady(trace=trace))

    def change_mode(self) -> None:
        if self.state.mode == "manual":
            self.add(ModeChanged(mode="auto"))
            return
        stopped = super().interrupted()
        rest = not_for_people(reduce(self.state, len(self.events), stopped))
        self.add(*stopped, *withdrawal(rest), ModeChanged(mode="manual"))

    def remove(self) -> None:
        """From some place on that no summary stands for."""
        end = len(self.events)
        summaries = (event for event in reversed(self.events) if isinstance(event, Compacted))
        least = next((summary.up_to + 1 for summary in summaries), 0)
        first = max(least, end - 1 - self.choose(range(20)))
        if first < end:
            since = self.events[first:]
            calls = {event.call for event in since if isinstance(event, ToolInput)}
            gone = {getattr(event, "turn", "") for event in (*since, *interruption(self.state))}
            self.stopped = [turn for turn in self.stopped if turn not in gone]
            self.add(*removal(self.state, first, end, calls))

    def listen(self) -> None:
        """Somebody comes who wants to hear what the session says."""
        self.add(Listening(connection="a.s.c", until=1))

    def set(self) -> None:
        """Their application does."""
        at = self.state.settings
        known = self.events[at] if at is not None else None
        before = known.settings if isinstance(known, SettingsChanged) else Settings()
        changes = [
            Settings(instructions=self.word("be")),
            Settings(temperature=self.choose([0.0, 0.5, 1.0])),
        ]
        self.add(SettingsChanged(settings=before.merged(self.choose(changes))))

    # --- what comes by itself --------------------------------------------------------------------

    def schedule(self) -> None:
        reason: Rationale = self.choose(["unspecified", "buy_time"])
        planned = (Guideline(action=self.word("plan"), rationale=reason),)
        trigger = Trigger(guidelines=self.choose([(), planned]))
        self.add(TriggerScheduled(due=0, trigger=trigger))

    def fire(self) -> None:
        offset = self.choose(sorted(self.state.scheduled))
        scheduled = self.events[offset]
        assert isinstance(scheduled, TriggerScheduled)
        self.come(Timer(offset, self.trace(), scheduled))

    def deliver(self) -> None:
        """What a background trigger does: held back, or not; for some time only, or for ever."""
        policy = self.choose(["enqueue", "coalesce", "interrupt", "steer", "silent"])
        ready = self.choose([0, self.now() + 5_000])
        late = self.choose([0, (ready or self.now()) + 5_000])
        said = Input(
            policy=policy,
            texts=(self.word("event"),),
            origin="trigger",
            tries=self.choose([1, 2, 4]),
            not_before=ready,
            not_after=late,
        )
        self.add(*(self.interrupted() if policy == "interrupt" else ()), said)

    def follow_up(self) -> None:
        rung = FollowUp(after_seconds=60, guidelines=(Guideline(action=self.word("rung")),))
        offset = self.state.quiet.offset if self.state.quiet else 0
        self.come(Timer(offset, self.trace(), rungs=(rung,) * 3))

    def come(self, timer: Timer) -> None:
        self.add(*timer.events(self.state, len(self.events), self.now()))
        if self.choose([0, 1]):
            self.begin()

    # --- what hosts do ---------------------------------------------------------------------------

    def begin(self, dead: Sequence[str] = ()) -> None:
        """Once what nobody has begun with by its time is given up."""
        self.add(*given_up(self.state, self.now()))
        super().begin(dead)

    def speak(self, turn: Turn) -> None:
        if turn.trace and self.choose([0, 1]):
            self.add(TurnTyping(turn=turn.id))
        until = again_at(turn, self.now(), 0.5)
        if until and self.choose([0, 1]):
            self.asked(turn.id)
            self.add(*postponed(self.state, turn, until, "model_timeout", ""))
        else:
            super().speak(turn)

    def answer(self, turn: Turn) -> None:
        text = self.choose(["", self.word("answer")])
        follows = text and turn == self.state.open and self.state.mode == "auto"
        self.end(turn, Answered, text=text, follow_up=60 if follows and self.choose([0, 1]) else 0)
