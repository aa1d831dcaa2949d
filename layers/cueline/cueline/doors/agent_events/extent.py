"""How far into the log the caller of one input is told."""

from dataclasses import dataclass

from cueline.engine.window import ends
from cueline.log.events import Event, PartlyAnswered, TurnBegan, TurnInterrupted


@dataclass(slots=True)
class Extent:
    """Up to the end of the input at `offset`, and no further, however much of the log is known.

    So its own answer is the last, a repeat is told the same, and who goes on from the last event
    misses nothing.
    """

    offset: int
    _interrupted: str = ""
    """The turn whose interruption ended the input; what it had said follows."""
    _over: bool = False

    def reaches(self, event: Event) -> bool:
        """To be asked of each event, in order."""
        if self._over or (self._interrupted and isinstance(event, TurnBegan)):
            self._over = True
            return False
        if isinstance(event, PartlyAnswered):
            self._over = event.turn == self._interrupted
        elif ends(event, self.offset):
            if isinstance(event, TurnInterrupted):
                self._interrupted = event.turn
            else:
                self._over = True
        return True
