"""What a token costs on a stream: the slope between a short answer and a long one."""

from collections.abc import Iterator, Sequence

from tests.bench.report import Row
from tests.bench.turns import Cell

FEW, MANY = 50, 550
BUDGET = 0.03
"""Milliseconds of CPU a token."""


def model(tokens: int, pace: int) -> str:
    """Tokens of 6 characters, `pace` ms apart."""
    return f"{tokens}-6-{pace}"


def rows(what: str, ours: Sequence[Cell], bare: Sequence[Cell]) -> Iterator[Row]:
    """Each is the cell of few tokens and that of many."""
    mine, other = _slope(*ours), _slope(*bare)
    yield Row(
        "Streaming",
        f"CPU a token, {what}",
        mine,
        "ms",
        BUDGET,
        also={"bare ms": other, "times bare": mine / other},
    )


def _slope(few: Cell, many: Cell) -> float:
    return (many.median.cpu - few.median.cpu) / (MANY - FEW)
