"""10,000 hostile inputs over every reader and text entry of the three programs.

Each input is read by a command in a process of its own, on terminals, in a folder that is searched
for changes. Whatever it holds: the command ends within 5 seconds and 1 GB, with an exit code and at
most one line of what is wrong; no code in it is executed, no file outside is touched, and nothing
that a terminal obeys is written.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hostile.cases import Tried, case_runner
from benchmarks.hostile.client_session import INPUTS, try_session
from benchmarks.hostile.every_subject import SUBJECTS
from benchmarks.scenarios.figures import Figure, Options

_SESSIONS = 20


def run(options: Options) -> Iterator[Figure]:
    """A figure for each kind of input.

    Of ``k`` kinds the case ``n`` is the input ``n // k`` of the kind ``n % k``; the last kind are
    sessions of the client, of ``INPUTS`` inputs each.
    """
    names = list(SUBJECTS)
    kinds = len(names) + 1
    if options.only is not None:
        number, kind = divmod(options.only, kinds)
        numbers = range(number, number + 1)
        if kind == len(names):
            yield _client_figure(numbers, kinds)
            return
        with case_runner() as try_cases:
            yield _figure(names[kind], kind, kinds, try_cases(names[kind], numbers))
        return
    with case_runner() as try_cases:
        for kind, name in enumerate(names):
            numbers = options.cases(SUBJECTS[name].count)
            yield _figure(name, kind, kinds, try_cases(name, numbers))
    yield _client_figure(options.cases(_SESSIONS), kinds)


def _figure(name: str, kind: int, kinds: int, results: Iterator[tuple[int, Tried]]) -> Figure:
    tried: list[Tried] = []
    broken = []
    for number, result in results:
        tried.append(result)
        case = number * kinds + kind
        broken += [f"case {case}: {why}" for why in result.broken]
    refused = sum(result.refused for result in tried)
    slowest = max(result.seconds for result in tried)
    largest = max(result.resident for result in tried) >> 20
    measured = f"{refused} refused, at most {slowest:.1f} s and {largest} MB"
    return Figure(name, len(tried), tuple(broken), measured)


def _client_figure(numbers: range, kinds: int) -> Figure:
    broken = [
        f"case {number * kinds + kinds - 1}: {why}"
        for number in numbers
        for why in try_session(number)
    ]
    promise = "keys, pastes, replies of terminals and answers, in the client"
    return Figure(promise, len(numbers) * INPUTS, tuple(broken))
