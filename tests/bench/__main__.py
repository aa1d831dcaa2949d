"""make bench: measures the budgets and prints them beside what was found."""

import sys
import time

from tests.bench import report, runs
from tests.bench.report import Row
from tests.bench.servers import QUICK, WORK, running


def main() -> int:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr, flush=True)

    rows: list[Row] = []
    try:
        with running() as servers:
            rows.extend(runs.everything(servers, quick=QUICK, say=say))
    except KeyboardInterrupt:
        say("ended; this is what there is so far")
        return 130
    finally:
        tell(rows)
    return 0


def tell(rows: list[Row]) -> None:
    """Also what there is of a run that was ended early."""
    report.write(rows, WORK / "results.json", quick=QUICK)
    print("\n".join(report.table(rows)))
    missed = [row for row in rows if row.met is False]
    print(f"\n{len(missed)} of {sum(row.budget is not None for row in rows)} budgets missed.")
    print(f"As JSON: {WORK / 'results.json'}")


if __name__ == "__main__":
    sys.exit(main())
