"""`next_step(state, turn)`: what a turn does next, from the log alone."""

from dataclasses import dataclass

from cueline.log.state import State, offsets, steering


@dataclass(frozen=True, slots=True)
class TakeInputs:
    """Take these steering inputs before the model is called."""

    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for an answer to the conversation."""


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is closed, by its own answer or by somebody else."""


Step = TakeInputs | CallModel | Done


def next_step(state: State, turn: str) -> Step:
    if not state.running(turn):
        return Done()
    if inputs := offsets(steering(state, turn)):
        return TakeInputs(inputs)
    return CallModel()
