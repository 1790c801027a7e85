"""Reads mutated inputs in a process of its own, which ends where a limit is exceeded.

``python -m tests.convert.hostile.limited_run READER FIRST COUNT FOLDER`` prints a JSON object. A
process that hangs or takes too much memory is ended by the system, and ``FOLDER`` names the input.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path

from baize_convert.failures import ConvertError

CPU_SECONDS = 5
"""For one input. Seconds of this process, so that a busy machine changes nothing."""
MEMORY = 500_000_000
"""Bytes: resident at most, and allocated besides what the imports take."""


def limit_memory() -> None:
    """Let allocations beyond ``MEMORY`` fail."""
    with Path("/proc/self/statm").open(encoding="ascii") as file:
        data = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (data + MEMORY, data + MEMORY))


def peak_memory() -> int:
    """Bytes that were resident at most. ``ru_maxrss`` starts with what the parent process had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def start_clock() -> None:
    """The system ends this process if it computes longer than ``CPU_SECONDS`` from now."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def main() -> None:
    # The rows of hostile weights overflow; the programs' own warnings are not under test.
    warnings.simplefilter("ignore")
    name, first, count, work = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    if name == "hub":
        from tests.convert.hostile.hub_answers import read_hub

        run = read_hub(work)
    else:
        from tests.convert.hostile.readers import READERS

        reader = READERS[name]
        seeds = reader.seeds(work)
        reader.prepare(work / "folder")
        file = work / "folder" / reader.file

        def run(rng: random.Random) -> None:
            file.write_bytes(reader.mutate(rng, rng.choice(seeds)))
            reader.read(file)

    limit_memory()
    refused = 0
    for number in range(first, first + count):
        (work / "number").write_text(str(number))
        start_clock()
        try:
            run(random.Random(f"{name} {number}"))
        except ConvertError as error:
            refused += 1
            problem = "a message of several lines" if "\n" in str(error) else None
        except Exception:  # noqa: BLE001 - it is what this looks for
            problem = traceback.format_exc()
        else:
            problem = None
        if problem is not None:
            print(json.dumps({"number": number, "problem": problem}))
            return
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(json.dumps({"inputs": count, "refused": refused, "resident": peak_memory()}))


if __name__ == "__main__":
    main()
