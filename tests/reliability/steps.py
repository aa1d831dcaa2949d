"""The steps of a process: what it does to the outside, and before which of them it is to stop."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cueline.engine.agent import Agent
from cueline.engine.model import Chunk, Chunks, Model, ModelRequest
from cueline.engine.ports import Ports
from cueline.engine.tools import Toolbox, ToolResult, ToolSpec
from cueline.log.segment import Session
from tests.reliability.conditions import Given, Stop


class Steps:
    """Counts what this process does to the outside, and stops it where that was asked for."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._stops = {stop.session: stop for stop in given.stops}
        self._session = ""
        self.made: list[str] = []

    def begin(self, session: str) -> None:
        self._session, self.made = session, []

    def reach(self, name: str) -> None:
        if not self._session:
            return
        stop = self._stops.get(self._session)
        if stop and stop.step == len(self.made) and self._first(stop):
            os.kill(os.getpid(), getattr(signal, stop.by))
        self.made.append(name)

    def _first(self, stop: Stop) -> bool:
        """Whether no process of this role has stopped for this session before."""
        with suppress(FileExistsError):
            role = self._given.name.rstrip("0123456789")
            (Path(self._given.folder) / f"{role}-{stop.session}").touch(exist_ok=False)
            return True
        return False

    def end(self) -> None:
        """Everything has been done for this session."""
        if self._given.steps_of and self._given.steps_of == self._session:
            (Path(self._given.folder) / f"steps-{self._session}").write_text("\n".join(self.made))
        self._session = ""

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What is done in here, somebody else does."""
        session, self._session = self._session, ""
        yield
        self._session = session

    def counted(self, ports: Ports) -> Ports:
        names = ("log", "agents", "sessions", "beats", "sweeper", "wake_ups")
        return replace(ports, **{n: _Counted(getattr(ports, n), n, self) for n in names})


class _Counted:
    """A port, each call of which is a step."""

    def __init__(self, port: object, name: str, steps: Steps) -> None:
        self._port, self._name, self._steps = port, name, steps

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def counted(*args: Any, **more: Any) -> Any:
            self._steps.reach(f"{self._name}.{name}")
            return call(*args, **more)

        return counted


@dataclass(frozen=True)
class WatchedChunks:
    chunks: Chunks
    before: Callable[[int], None]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __iter__(self) -> "WatchedChunks":
        return self

    def __next__(self) -> Chunk:
        chunk = next(self.chunks)
        self.before(next(self.numbers))
        return chunk

    def close(self) -> None:
        self.chunks.close()


@dataclass(frozen=True)
class WatchedToolbox:
    """Tools, each run of which is a step before it and one after."""

    toolbox: Toolbox
    steps: Steps

    def specs(self, agent: Agent, session: Session) -> Sequence[ToolSpec]:
        return [self._watched(spec) for spec in self.toolbox.specs(agent, session)]

    def problem(self, schema: Mapping[str, Any], value: object) -> str | None:
        return self.toolbox.problem(schema, value)

    def _watched(self, spec: ToolSpec) -> ToolSpec:
        def run(arguments: Mapping[str, Any], seconds: float) -> ToolResult:
            self.steps.reach("tool.run")
            result = spec.run(arguments, seconds)
            self.steps.reach("tool.ran")
            return result

        return replace(spec, run=run)


@dataclass(frozen=True)
class WatchedModel:
    """Does something before it is asked (-1), and when a chunk has come (0 and so on)."""

    model: Model
    before: Callable[[int], None]

    def stream(self, request: ModelRequest, deadline: float) -> Chunks:
        self.before(-1)
        return WatchedChunks(self.model.stream(request, deadline), self.before)
