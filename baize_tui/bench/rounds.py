"""One round: everything is measured once, one thing after the other."""

from __future__ import annotations

from collections.abc import Callable

from baize_tui.bench.busy_core import busy_core
from baize_tui.bench.first_token import after_restart, before_restart
from baize_tui.bench.prompts import Prompts
from baize_tui.bench.repetition import measure_lookup
from baize_tui.bench.results import Results, Speed, ThreadCount
from baize_tui.bench.speeds import (
    Limits,
    through_bare_loop,
    through_engine,
    through_screen,
    through_worker,
)
from baize_tui.bench.subject import CHOSEN, Subject, engine_for
from baize_tui.engine.client import WorkerEngine
from baize_tui.measures import count_text
from baize_tui.translation import tr

_SLOW, _TOO_SLOW = 3.0, 10.0
"""A prompt and an answer may take this many times as long as with a good number of threads: beyond
the first, that number is measured with llama.cpp alone, beyond the second not at all."""
_SHORT_S = 8.0
"""What takes less is not too slow."""


class Steps:
    """Counts what has begun, for a progress bar."""

    def __init__(self, show: Callable[[str, float], None]) -> None:
        """``show`` receives what is measured now, and how much is done, 0 to 1."""
        self._show = show
        self._begun = 0
        self.total = 1

    def begin(self, what: str) -> None:
        """The next step begins."""
        self._show(what, min(self._begun / self.total, 1.0))
        self._begun += 1


class Round:
    """Measures one model and adds the figures to the results."""

    def __init__(
        self, subject: Subject, prompts: Prompts, results: Results, steps: Steps, writing_s: float
    ) -> None:
        """llama.cpp alone writes for at most ``writing_s`` seconds."""
        self._subject = subject
        self._prompts = prompts
        self._results = results
        self._steps = steps
        self._usual_s = self._sample_s(results.probe)
        self._limits = Limits(writing_s, max(_TOO_SLOW * self._usual_s, _SHORT_S))

    @property
    def steps(self) -> int:
        """How many steps the progress bar makes."""
        return 4 * len(self._results.idle.counts) + len(self._results.busy.counts) + 2

    async def measure(self) -> None:
        """Measure everything once.

        Raises:
            EngineFailure: the engine failed.
            BenchError: an answer ended too soon, or the client does not answer.
        """
        results, conversation = self._results, f"bench-{self._results.rounds}"
        async with engine_for(self._subject) as engine:
            await self._idle(engine)
            await self._busy(engine)
            self._steps.begin(tr("a text is repeated"))
            await measure_lookup(engine, self._prompts, results.prompt_lookup)
            self._steps.begin(tr("the first token"))
            messages = await before_restart(
                engine, self._prompts, conversation, results.first_token
            )
        async with engine_for(self._subject) as engine:
            await engine.load(self._subject.spec(CHOSEN))
            snapshots = self._subject.home.paths.snapshots_folder
            await after_restart(
                engine, self._prompts, conversation, messages, snapshots, results.first_token
            )
        # No model is in the memory of this program's own process now.
        await self._on_screen()
        results.rounds += 1

    async def _idle(self, engine: WorkerEngine) -> None:
        """The last count is the one that the engine chooses: it stays loaded."""
        for count in self._results.idle.counts:
            await engine.load(self._subject.spec(count.threads))
            name = threads_name(count.threads)
            if count.threads:
                self._steps.begin(tr("llama.cpp alone, {threads}", threads=name))
                count.bare_loop.append(await self._bare_loop(engine, count.threads))
            slow = self._is_slow(count)
            self._steps.begin(tr("the engine, {threads}", threads=name))
            count.engine.append(None if slow else await through_engine(engine, self._prompts))
            self._steps.begin(tr("the model process, {threads}", threads=name))
            count.worker.append(None if slow else await through_worker(engine, self._prompts))

    async def _busy(self, engine: WorkerEngine) -> None:
        with busy_core():
            for count in self._results.busy.counts:
                name = threads_name(count.threads)
                self._steps.begin(tr("one core busy, {threads}", threads=name))
                if count.threads:
                    count.bare_loop.append(await self._bare_loop(engine, count.threads))
                else:
                    count.worker.append(await through_worker(engine, self._prompts))

    async def _on_screen(self) -> None:
        for count in self._results.idle.counts:
            self._steps.begin(tr("the screen, {threads}", threads=threads_name(count.threads)))
            slow = self._is_slow(count)
            count.screen.append(None if slow else await self._screen(count.threads))
        self._steps.begin(tr("one core busy, the screen"))
        with busy_core():
            self._results.busy.counts[-1].screen.append(await self._screen(CHOSEN))

    async def _bare_loop(self, engine: WorkerEngine, threads: int) -> Speed | None:
        return await through_bare_loop(engine, self._results.lengths, threads, self._limits)

    async def _screen(self, threads: int) -> Speed:
        settings = self._subject.client_settings(self._prompts, threads)
        self._subject.home.write_settings(settings)
        return await through_screen(self._subject.home, self._subject.path, self._prompts)

    def _is_slow(self, count: ThreadCount) -> bool:
        """Whether only llama.cpp alone is measured in this round."""
        if not count.threads:
            return False
        bare = count.bare_loop[-1]
        return bare is None or self._sample_s(bare) > max(_SLOW * self._usual_s, _SHORT_S)

    def _sample_s(self, speed: Speed) -> float:
        """Seconds for a prompt and an answer."""
        lengths = self._results.lengths
        return lengths.prompt / speed.reading + lengths.answer / speed.writing


def threads_name(threads: int) -> str:
    """``2 threads``, or ``chosen threads``."""
    if threads == CHOSEN:
        return tr("chosen threads")
    return count_text(threads, "thread")
