"""How an answer was made, as it is kept with the answer."""

from __future__ import annotations

import msgspec

from baize_tui import __version__
from baize_tui.chat.answer_plan import AnswerPlan
from baize_tui.chat.context import History
from baize_tui.engine import protocol
from baize_tui.output_forms import CheckedForm, OutputForm
from baize_tui.store.records import Provenance


def make_provenance(
    plan: AnswerPlan,
    finished: protocol.Finished,
    history: History,
    model_sha256: str | None,
    form: OutputForm | None,
    checked: CheckedForm | None,
) -> Provenance:
    """The record of an answer after ``history`` that ``plan`` asked for; ``model_sha256`` is None
    while unknown. ``form`` is what the answer had to have, ``checked`` whether it has it."""
    loaded, stats = plan.running.loaded, finished.stats
    address = plan.running.model.recipe.address
    return Provenance(
        server=address.host if address is not None else "",
        model=plan.running.model.name,
        model_path=loaded.path,
        model_bytes=loaded.file_bytes,
        model_sha256=model_sha256,
        format=plan.format_name,
        adapters=dict(plan.conversation.adapters),
        sampling=msgspec.to_builtins(plan.sampling),
        seed=stats.seed,
        threads=stats.threads,
        threads_batch=stats.threads_batch,
        gpu_layers=loaded.gpu_layers,
        prompt_tokens=stats.prompt_tokens,
        reused_tokens=stats.reused_tokens,
        completion_tokens=stats.completion_tokens,
        ttft_s=stats.ttft_s,
        prefill_s=stats.prefill_s,
        decode_s=stats.decode_s,
        finish_reason=finished.reason,
        backend=loaded.backend,
        baize_tui=__version__,
        profile=stats.profile,
        flash_attention=loaded.flash_attention,
        kv_type=loaded.kv_type,
        draft=loaded.draft,
        guessed_tokens=stats.guessed_tokens,
        accepted_tokens=stats.accepted_tokens,
        thinking_tokens=stats.thinking_tokens,
        resumed_tokens=stats.resumed_tokens,
        summary=history.summary,
        shifted=stats.shifted,
        form=checked,
        form_source=form.source if form is not None else "",
        stop=plan.own_stop,
    )
