"""A text that kills whoever has it answered, for as long as a file says so."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from cueline import bootstrap
from cueline.engine.model import Chunks, Model, ModelRequest, Said
from tests.reliability.conditions import Given

POISON = "poison"


def switch(given: Given) -> Path:
    """The file: while it is there, it kills."""
    return Path(given.folder) / POISON


def poison(given: Given) -> None:
    """Makes this process one that dies of it. Nothing undoes it."""
    real = bootstrap.model
    patch.object(bootstrap, "model", lambda: _Poisoned(real(), switch(given))).start()


@dataclass(frozen=True)
class _Poisoned:
    model: Model
    switch: Path

    def stream(self, request: ModelRequest, deadline: float) -> Chunks:
        asked = request.items[-1]
        if isinstance(asked, Said) and POISON in asked.text and self.switch.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.model.stream(request, deadline)
