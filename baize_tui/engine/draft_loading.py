"""Loads a draft model beside the model whose tokens it guesses, if it can be one."""

from __future__ import annotations

from pathlib import Path

from baize_shared.split_files import model_bytes
from baize_tui.engine.draft_model import DraftModel
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import EngineError, ModelFileError
from baize_tui.engine.llama.model import Model
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.loading import attention_for, open_context, open_model
from baize_tui.engine.measuring import context_size, layers_that_fit
from baize_tui.engine.model_header import read_chat_model
from baize_tui.engine.profiles import MachineProfile
from baize_tui.engine.protocol import Load
from baize_tui.engine.threads.thread_counts import Threads
from baize_tui.translation import msg, tr

_MOST_PADDING = 128
"""Tokens that one vocabulary may have more than the other (``SPEC_VOCAB_MAX_SIZE_DIFFERENCE`` of
llama.cpp's common/speculative.cpp)."""


def open_draft_model(
    request: Load,
    model: Model,
    n_ctx: int,
    threads: Threads,
    abort: AbortFlag,
    *,
    on_gpu: bool,
    profile: MachineProfile,
) -> DraftModel:
    """The draft model of ``request`` for ``model``, whose context has ``n_ctx`` tokens.

    It is on a GPU as a whole, if there is room with ``on_gpu``, or not at all.

    Raises:
        ModelFileError: the file is not a model, or not one that can guess for ``model``.
        EngineError: there is too little memory.
    """
    header = read_chat_model(request.draft)
    n_ctx = context_size(n_ctx, header.context_length)
    gpu_layers = 0
    if on_gpu and layers_that_fit(request.draft, n_ctx, profile) > header.layers:
        gpu_layers = -1
    draft = open_model(
        request.draft, header.architecture, gpu_layers, None, profile, request.device
    )
    try:
        if draft.has_recurrent_state:
            raise ModelFileError(tr(RECURRENT, path=request.draft))
        if difference := vocabulary_difference(draft.vocabulary, model.vocabulary):
            raise ModelFileError(
                tr("{path} has another vocabulary: {why}", path=request.draft, why=difference)
            )
        attention = attention_for(request, draft, n_ctx, gpu_layers, profile)
        context = open_context(draft, threads, abort, n_ctx=n_ctx, attention=attention)
        relative_size = model_bytes(Path(request.draft)) / max(model_bytes(Path(model.path)), 1)
    except (EngineError, OSError):
        draft.close()
        raise
    cache = KvCache(context, threads, abort, measured=False)
    n_vocab = min(draft.vocabulary.size, model.vocabulary.size)
    return DraftModel(draft, cache, n_vocab, relative_size)


RECURRENT = msg("{path} has a recurrent state, which cannot take a wrong guess back")


def vocabulary_difference(draft: Vocabulary, model: Vocabulary) -> str:
    """How ``draft`` differs from ``model`` so that their ids cannot be compared; empty if it does
    not. One may have more tokens at its end, as padding."""
    if draft.fingerprint == model.fingerprint:
        return ""
    if draft.kind != model.kind:
        return tr("it is of another kind")
    if abs(draft.size - model.size) > _MOST_PADDING:
        return tr("it has {count} tokens, not {wanted}", count=draft.size, wanted=model.size)
    if (draft.add_bos, draft.bos if draft.add_bos else 0) != (
        model.add_bos,
        model.bos if model.add_bos else 0,
    ):
        return tr("another token begins a text")
    for token in range(min(draft.size, model.size)):
        if draft.token_text(token) != model.token_text(token):
            return tr("its token {token} is another", token=token)
    return ""
