"""`next_step(state, turn)`: what a turn does next, from the log alone."""

from dataclasses import dataclass

from cueline.log.state import State


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for an answer to the conversation."""


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is closed, by its own answer or by somebody else."""


Step = CallModel | Done


def next_step(state: State, turn: str) -> Step:
    return CallModel() if state.running(turn) else Done()
