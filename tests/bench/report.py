"""What was measured, beside its budget, as a table and as JSON."""

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure. `budget` is the most that it may be; None where it is context only."""

    topic: str
    what: str
    measured: float | None
    """None where it could not be measured; then `note` says why."""
    unit: str = ""
    budget: float | None = None
    note: str = ""
    also: Mapping[str, float] = field(default_factory=dict)
    """Figures behind this one."""

    @property
    def met(self) -> bool | None:
        if self.budget is None or self.measured is None:
            return None
        return self.measured <= self.budget


def table(rows: Sequence[Row]) -> Iterator[str]:
    width = max((len(row.what) for row in rows), default=0)
    topic = ""
    for row in rows:
        if row.topic != topic:
            topic = row.topic
            yield f"\n{topic}"
        measured = "not measured" if row.measured is None else f"{_shown(row.measured)} {row.unit}"
        budget = "" if row.budget is None else f"<= {_shown(row.budget)} {row.unit}"
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        behind = [f"{name} {_shown(value)}" for name, value in row.also.items()]
        notes = "; ".join(part for part in (row.note, ", ".join(behind)) if part)
        line = f"  {row.what:{width}}  {measured:>14}  {budget:>14}  {verdict:6}  {notes}"
        yield line.rstrip()


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}"


def write(rows: Sequence[Row], path: Path, *, quick: bool) -> None:
    told: dict[str, Any] = {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "rows": [{**asdict(row), "met": row.met} for row in rows],
    }
    path.write_text(json.dumps(told, indent=1) + "\n")
