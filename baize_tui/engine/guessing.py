"""Everything about guessed tokens that a loaded model keeps from one answer to the next."""

from __future__ import annotations

import time
from collections.abc import Sequence

from baize_tui.engine.draft_costs import DraftCosts
from baize_tui.engine.draft_loading import open_draft_model
from baize_tui.engine.draft_model import DraftModel
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.model import Model
from baize_tui.engine.look_ahead import LookAhead
from baize_tui.engine.profiles import MachineProfile
from baize_tui.engine.protocol import Generate, Load
from baize_tui.engine.threads.thread_counts import Threads
from baize_tui.translation import msg, tr

NO_GUESSES = msg("no draft model is used: this model cannot take a wrong guess back")


class Guessing:
    """The measured costs of batches, and the draft model if there is one."""

    def __init__(
        self,
        request: Load,
        model: Model,
        cache: KvCache,
        threads: Threads,
        abort: AbortFlag,
        *,
        on_gpu: bool,
        profile: MachineProfile,
    ) -> None:
        """``cache`` is that of ``model``, part of which may be ``on_gpu``. A draft model that
        cannot be used is a ``problem``, not an error."""
        self._cache = cache
        self._can_cut = not model.has_recurrent_state
        self._costs = DraftCosts()
        self._draft_model: DraftModel | None = None
        self.problem = ""
        """Why there is no draft model although one was requested; else empty."""
        if not request.draft:
            return
        if not self._can_cut:
            self.problem = tr(NO_GUESSES)
            return
        try:
            self._draft_model = open_draft_model(
                request, model, cache.context.n_ctx, threads, abort, on_gpu=on_gpu, profile=profile
            )
        except (EngineError, OSError) as error:
            self.problem = tr("no draft model is used: {why}", why=error)

    @property
    def draft(self) -> str:
        """The file of the draft model; empty without one."""
        return self._draft_model.path if self._draft_model is not None else ""

    def warm_up(self) -> None:
        """Compute a token with the draft model; see ``LlamaEngine.warm_up``.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        if self._draft_model is not None:
            self._draft_model.warm_up()

    def look_ahead(self, request: Generate) -> LookAhead:
        """What decodes the answer to ``request``, once its prompt is in the cache."""
        return LookAhead(
            self._cache,
            self._costs,
            look_up=request.prompt_lookup and self._can_cut,
            draft_model=self._draft_model if request.use_draft else None,
        )

    def prepare(self, ids: Sequence[int]) -> None:
        """Have the draft model read ``ids`` too, and measure one more size of batches.

        The cache holds all of ``ids`` but the last, before and after.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        if self._draft_model is not None:
            self._draft_model.begin_text()
            self._draft_model.read(ids)
        size = self._costs.unmeasured
        if size is None or not self._can_cut or len(ids) + size > self._cache.context.n_ctx:
            return
        began = time.perf_counter()
        try:
            self._cache.decode([ids[-1]] * size, of_all=size > 1)
            self._costs.measured(size, time.perf_counter() - began)
        finally:
            self._cache.reuse(ids[:-1])

    def take_problem(self) -> str:
        """Why the draft model is not used any more, only once; else empty."""
        return self._draft_model.take_problem() if self._draft_model is not None else ""

    def close(self) -> None:
        """Free the draft model."""
        if self._draft_model is not None:
            self._draft_model.close()
