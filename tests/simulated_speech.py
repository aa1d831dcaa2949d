"""What turns of a simulated world say while they say it, and who is told."""

from dataclasses import dataclass, field

from cueline.doors.client_commands import frames
from cueline.engine.listeners import Connections
from tests.hearing import Gateway, units
from tests.simulation import World


@dataclass
class Spoken:
    """All that was told of one turn, as its host told it."""

    incarnation: int
    turn: str
    begun: bool = False
    ended: bool = False
    cut: bool = False
    texts: dict[int, str] = field(default_factory=dict)
    """By part."""


@dataclass
class Speeches:
    """Tells at once, where the real one has threads that do; not everybody hears everything."""

    connections: Connections
    gateway: Gateway
    world: World
    spoken: list[Spoken] = field(default_factory=list)

    def speech(self, session: str, incarnation: int, turn: str) -> "Speech":
        self.spoken.append(Spoken(incarnation, turn))
        return Speech(self, session, self.spoken[-1])

    def of(self, incarnation: int) -> list[Spoken]:
        return [one for one in self.spoken if one.incarnation == incarnation]


@dataclass
class Speech:
    to: Speeches
    session: str
    spoken: Spoken
    part: int = 0
    told: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Who knows how much, and of which part."""

    def begins(self) -> None:
        assert not self.spoken.begun, "a speech begins once"
        self.spoken.begun = True
        for gateway in self._listeners():
            self.to.gateway.send(gateway, frames.talk_state("preparing", self.spoken.turn))

    def says(self, part: int | None, text: str) -> None:
        assert self.spoken.begun, "and says nothing before"
        texts = self.spoken.texts
        if part is None:
            text = texts[self.part] + text
        else:
            self.part = part
        texts[self.part] = text
        if self.spoken.ended:
            return
        for gateway in self._listeners():
            if self.to.world.random.random() < 0.8:
                self._tell(gateway, text)

    def ends(self, *, cut: bool) -> None:
        self.spoken.ended, self.spoken.cut = True, self.spoken.cut or cut

    def _listeners(self) -> list[str]:
        to = self.to
        now = to.world.store.clock.now()
        return [c.gateway for c in to.connections.of(self.session, self.spoken.incarnation, now)]

    def _tell(self, gateway: str, text: str) -> None:
        turn, (part, known) = self.spoken.turn, self.told.get(gateway, (-1, ""))
        if part != self.part:
            known = ""
            self.to.gateway.send(gateway, frames.created(turn, self.part, 0))
        if not text.startswith(known):
            known = ""  # the model was asked again
        for frame in frames.deltas(turn, self.part, text[len(known) :], units(known), 0):
            self.to.gateway.send(gateway, frame)
        self.told[gateway] = self.part, text
