"""What the application sets during a session: put into its log, and given to the agent's turns."""

from collections.abc import Sequence
from dataclasses import dataclass

from cueline.engine.agent import Agent, Instruction
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.ports import Ports
from cueline.engine.posting import put
from cueline.engine.window import event_at
from cueline.log.events import Event, Recorded, SettingsChanged
from cueline.log.segment import Log, Tail
from cueline.log.settings import Settings
from cueline.log.state import State


@dataclass(frozen=True, slots=True)
class Changed:
    """All settings after a change, which stands at `offset`."""

    offset: int
    settings: Settings
    repeated: bool
    """The key stood for it already."""


def change_settings(
    ports: Ports, writer: Writer, tail: Tail, change: Settings, key: IdempotencyKey | None = None
) -> Changed:
    """Appends the session's settings with the change, once under its key.

    They count from the next turn on. Raises IdempotencyKeyReused, TooLarge, SessionNotFound.
    """
    built: SettingsChanged | None = None

    def events(state: State, _: int) -> Sequence[Event]:
        nonlocal built
        before = settings_at(ports.log, writer.session, tail.head.incarnation, state.settings)
        built = SettingsChanged(settings=before.merged(change))
        return (built,)

    changed = put(ports, writer, tail, events, key)
    return Changed(changed.offset, settings_in(changed), changed.event is not built)


def settings_at(
    log: Log,
    session: str,
    incarnation: int,
    offset: int | None,
    known: Sequence[Recorded] = (),
) -> Settings:
    """Those that stand at `offset`, which a state names; none where it names none."""
    if offset is None:
        return Settings()
    found = next((r for r in known if r.offset == offset), None)
    if not found and (alone := log.segment(session, incarnation, offset)):
        found = alone.recorded()[0]
    # A fork packs its copies together.
    return settings_in(found or event_at(log, session, incarnation, offset))


def settings_in(changed: Recorded | None) -> Settings:
    event = changed.event if changed else None
    return event.settings if isinstance(event, SettingsChanged) else Settings()


def with_settings(agent: Agent, settings: Settings) -> Agent:
    """The agent as the session has it: in all of its steps the same instructions, if any are set.

    What it knows beside them (skills, guidelines, reminders) it keeps.
    """
    changed: dict[str, object] = {}
    if settings.instructions is not None:
        said = (Instruction(name="settings", template=settings.instructions),)
        changed["steps"] = {
            name: step.model_copy(update={"instructions": said})
            for name, step in (agent.steps or {agent.first_step: agent.step("")}).items()
        }
    if settings.temperature is not None:
        changed["parameters"] = {**agent.parameters, "temperature": settings.temperature}
    return agent.model_copy(update=changed) if changed else agent
