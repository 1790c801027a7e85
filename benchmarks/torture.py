"""Kill, starve and mislead the programs, and count what breaks::

    python benchmarks/torture.py                         # every scenario in full, for hours
    python benchmarks/torture.py kills --share 0.1       # a tenth of the cases of one
    python benchmarks/torture.py kills --only 57         # repeat one case
    python benchmarks/torture.py --list

Each line says what must hold, how many cases were tried, and in how many it did not hold. Cases
that broke are printed with their numbers, which repeat them. The exit code is 1 if anything broke.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scenarios.figures import Figure, Options, Scenario

SCENARIOS = tuple(
    sorted(
        file.stem
        for file in (Path(__file__).parent / "scenarios").glob("*.py")
        if file.stem not in ("__init__", "figures")
    )
)


def scenario_named(name: str) -> Scenario:
    """The function ``run`` of a module in ``benchmarks/scenarios``."""
    module = importlib.import_module(f"benchmarks.scenarios.{name}")
    return cast("Scenario", module.run)


def about(name: str) -> str:
    """The first line of a scenario's docstring."""
    module = importlib.import_module(f"benchmarks.scenarios.{name}")
    return (module.__doc__ or "").partition("\n")[0]


def report(figures: Iterable[Figure]) -> int:
    """Print each figure as it comes; return how many cases broke."""
    failures = 0
    for figure in figures:
        state = f"{len(figure.broken)} broken" if figure.broken else "all held"
        measured = f"  ({figure.measured})" if figure.measured else ""
        print(f"  {figure.tried:6,}  {state:10}  {figure.promise}{measured}", flush=True)
        for failure in figure.broken:
            print(f"          {failure}", flush=True)
        failures += len(figure.broken)
    return failures


def share(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 1")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--share", type=share, default=1.0, help="part of the cases to run")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="number of the first case")
    parser.add_argument("--only", type=int, metavar="N", help="repeat this case")
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    options = parser.parse_args()
    if options.list:
        for name in SCENARIOS:
            print(f"{name:16} {about(name)}")
        return 0
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    chosen = Options(share=options.share, seed=options.seed, only=options.only)
    failures = 0
    for name in options.scenarios or SCENARIOS:
        print(f"{name}: {about(name)}", flush=True)
        started = time.monotonic()
        failures += report(scenario_named(name)(chosen))
        print(f"  {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    print(f"{failures} cases broke" if failures else "everything held")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
