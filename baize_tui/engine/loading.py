"""From a ``Load`` request to a model and a context in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_text
from baize_shared.split_files import model_files
from baize_tui.engine.attention import Attention, choose_attention
from baize_tui.engine.draft_costs import MOST_TOKENS
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.kv_snapshots import KvSnapshots
from baize_tui.engine.likelihood import BATCH as LIKELIHOOD_BATCH
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.errors import EngineError, ModelFileError
from baize_tui.engine.llama.machine import backend, devices
from baize_tui.engine.llama.model import Model
from baize_tui.engine.machine_cache import this_machine_key
from baize_tui.engine.measuring import context_size, layers_that_fit
from baize_tui.engine.profiles import MachineProfile
from baize_tui.engine.prompts.thinking_switch import may_have_switch
from baize_tui.engine.protocol import GgufHeader, Load, LoadedModel
from baize_tui.engine.snapshots.snapshot_folder import SnapshotFolder
from baize_tui.engine.snapshots.state_key import StateKey, file_identity
from baize_tui.engine.threads.cores import Cores
from baize_tui.engine.threads.neighbours import Neighbours
from baize_tui.engine.threads.thread_counts import OnGpu, Threads
from baize_tui.translation import tr


def choose_gpu_layers(request: Load, header: GgufHeader, profile: MachineProfile) -> int:
    """Layers on the GPU: as requested (-1 for all), or as many as fit."""
    gpu_layers = request.gpu_layers if profile.gpu else 0
    if gpu_layers is None:
        n_ctx = context_size(request.context, header.context_length)
        return layers_that_fit(request.path, n_ctx, profile)
    return gpu_layers


def open_model(
    path: str,
    architecture: str,
    gpu_layers: int,
    progress: Callable[[float], bool] | None,
    profile: MachineProfile,
    device: str,
) -> Model:
    """A model that can chat; see ``Model``.

    Raises:
        ModelFileError: llama.cpp cannot load the file, or it is an encoder.
    """
    model = Model(
        path,
        gpu_layers=gpu_layers,
        progress=progress,
        profile=profile,
        device=device,
    )
    if not model.can_generate:
        model.close()
        raise ModelFileError(
            tr(
                "{path} is an encoder ({architecture}): it cannot chat",
                path=path,
                architecture=architecture,
            )
        )
    return model


def choose_threads(
    request: Load, profile: MachineProfile, cores: Cores, neighbours: Neighbours, on_gpu: OnGpu
) -> Threads:
    """The threads that ``request`` wants, as far as ``profile`` allows them."""
    fixed = (request.threads, request.threads_batch) if profile.all_threads else (1, 1)
    return Threads(*fixed, usable=cores, neighbours=neighbours, on_gpu=on_gpu)


def open_context(
    model: Model,
    threads: Threads,
    abort: AbortFlag,
    *,
    n_ctx: int,
    attention: Attention,
    all_logits: bool = False,
) -> Context:
    """A context of ``n_ctx`` tokens; ``all_logits`` as in ``Load``.

    Raises:
        EngineError: there is too little memory; ``model`` is closed then.
    """
    try:
        return Context(
            model,
            n_ctx=n_ctx,
            n_batch=LIKELIHOOD_BATCH if all_logits else attention.batch,
            threads=threads.decoding.threads,
            threads_batch=threads.reading.threads,
            abort=abort,
            flash_attention=attention.flash,
            kv_type=attention.kv_type,
            outputs=0 if all_logits else MOST_TOKENS,
        )
    except EngineError:
        model.close()
        raise


def attention_for(
    request: Load, model: Model, n_ctx: int, gpu_layers: int, profile: MachineProfile
) -> Attention:
    """How a context of ``n_ctx`` tokens for ``request`` computes attention."""
    return choose_attention(
        on_gpu=gpu_layers != 0 and any(device.is_gpu for device in devices()),
        flash_allowed=profile.flash_attention,
        flash_pays=request.flash_attention,
        n_ctx=n_ctx,
        heads=model.heads,
        kv_type=request.kv_type,
    )


def open_snapshots(
    request: Load, model: Model, cache: KvCache, gpu_layers: int, attention: Attention
) -> KvSnapshots | None:
    """The snapshots that ``request`` wants.

    None for a model whose state can only be saved as a whole, and where the file cannot be read.
    """
    if not request.snapshot_budget or model.has_recurrent_state:
        return None
    try:
        files = tuple(file_identity(file) for file in model_files(Path(request.path)))
    except OSError:
        return None
    key = StateKey(
        machine=this_machine_key(),
        model=files,
        tokenizer=model.vocabulary.fingerprint,
        n_ctx=cache.context.n_ctx,
        kv_type=attention.kv_type,
        flash_attention=attention.flash,
        gpu_layers=gpu_layers,
    )
    folder = SnapshotFolder(Path(request.snapshot_folder), request.snapshot_budget)
    return KvSnapshots(cache, folder, key, model.window)


def part_on_gpu(gpu_layers: int, layers: int) -> OnGpu:
    """How much of a model of ``layers`` is on a GPU; -1 is all of it."""
    if gpu_layers < 0 or gpu_layers > layers:
        return "everything"
    return "some" if gpu_layers else "nothing"


def describe(
    model: Model,
    context: Context,
    threads: Threads,
    header: GgufHeader,
    gpu_layers: int,
    profile: MachineProfile,
    attention: Attention,
    draft: str,
    draft_problem: str,
) -> LoadedModel:
    """What the client learns about a loaded model.

    ``draft`` is the file of its draft model, and ``draft_problem`` why it has none.
    """
    llama, vocabulary = backend(), model.vocabulary
    return LoadedModel(
        path=model.path,
        file_bytes=header.file_bytes,
        name=header.name,
        description=model.description,
        n_ctx=context.n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_vocab=vocabulary.size,
        threads=threads.most,
        threads_batch=threads.most_batch,
        gpu_layers=gpu_layers,
        tokenizer=vocabulary.fingerprint,
        has_template=bool(model.chat_template),
        backend=f"llama-cpp-python {llama.llama_cpp_python}, {llama.llama_cpp}",
        profile=profile.name,
        flash_attention=attention.flash,
        kv_type=attention.kv_type,
        draft=draft,
        draft_problem=draft_problem,
        can_switch_thinking=may_have_switch(model.chat_template),
        begin=[vocabulary.bos] if vocabulary.add_bos else [],
        prompt_format=model.metadata("baize.prompt_format"),
        system=_json_text(model.metadata("baize.system")),
        stop=_stop_strings(model.metadata("baize.stop")),
        can_cut_cache=not model.has_recurrent_state,
    )


def _json_text(text: str) -> str | None:
    """The JSON text that baize-convert writes; None for anything else."""
    try:
        return clean_text(msgspec.json.decode(text, type=str))
    except JSON_ERRORS:
        return None


def _stop_strings(text: str) -> list[str]:
    """The JSON list that baize-convert writes; anything else gives no stop strings."""
    try:
        return [stop for stop in msgspec.json.decode(text, type=list[str]) if stop]
    except JSON_ERRORS:
        return []
