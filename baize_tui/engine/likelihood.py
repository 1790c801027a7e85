"""How likely a model holds a text to be: what perplexity is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baize_machine.blas_threads import single_threaded_blas
from baize_tui.engine.adapter_fits import check_adapter
from baize_tui.engine.bindings import AbortFlag, Adapter, Context, Model
from baize_tui.engine.cores import batch_threads
from baize_tui.engine.measuring import BATCH

_WITHOUT_ADAPTERS: Sequence[tuple[Path, float]] = ()


class LikelihoodModel:
    """A model that reads and does not answer."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model, self._context = model, context

    def losses(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """The negative log-likelihood of each token after the first, in nats: [len(ids) - 1].

        Raises:
            EngineError: the ids are more than the context holds.
        """
        self._context.clear()
        size = self._model.vocabulary.size
        found = np.empty(max(0, len(ids) - 1))
        for start in range(0, len(found), BATCH):
            # The last id is predicted and predicts nothing.
            part = ids[start : min(start + BATCH, len(found))]
            self._context.decode(part, start, logits=True, of_all=True)
            logits = self._context.logits_of_all(len(part), size).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            targets = ids[start + 1 : start + 1 + len(part)]
            chosen = logits[np.arange(len(part)), targets]
            found[start : start + len(part)] = np.log(np.exp(logits).sum(axis=1)) - chosen
        return found


@contextmanager
def open_for_likelihood(
    path: Path,
    n_ctx: int,
    adapters: Sequence[tuple[Path, float]] = _WITHOUT_ADAPTERS,
    *,
    gpu_layers: int = 0,
) -> Iterator[LikelihoodModel]:
    """The GGUF at ``path`` with ``adapters`` and their scales over it.

    Raises:
        ModelFileError: llama.cpp refused it, or an adapter is not of this model.
        EngineError: too little memory.
    """
    threads = batch_threads()
    for adapter, _ in adapters:
        check_adapter(str(adapter), str(path))
    # numpy's part of the work would otherwise compete with llama.cpp's threads.
    with single_threaded_blas(), Model(str(path), gpu_layers=gpu_layers) as model:
        context = Context(
            model,
            n_ctx=n_ctx,
            n_batch=BATCH,
            threads=threads,
            threads_batch=threads,
            abort=AbortFlag(),
        )
        try:
            if adapters:
                loaded = [(Adapter(model, str(file)), scale) for file, scale in adapters]
                context.set_adapters(loaded)
            yield LikelihoodModel(model, context)
        finally:
            context.close()
