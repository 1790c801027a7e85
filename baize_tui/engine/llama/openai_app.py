"""llama-cpp-python's own server for one model, under a machine profile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import llama_cpp.llama_cpp as lib

from baize_tui.engine.profiles import MachineProfile
from baize_tui.settings import KvType

_KV_TYPES: dict[KvType, int] = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0}


def open_app(
    path: str,
    name: str,
    *,
    n_ctx: int,
    threads: int,
    threads_batch: int,
    gpu_layers: int,
    flash_attention: bool,
    kv_type: KvType,
    profile: MachineProfile,
    template: str = "",
    template_name: str = "",
    stop: Sequence[str] = (),
) -> Any:
    """The ASGI application, with the GGUF file ``path`` loaded and called ``name``.

    A ``template`` with its ``stop`` strings takes the place of the model's own. Nobody is refused
    here: the caller checks who asks.
    """
    from llama_cpp.server import app, settings

    # The settings would take fields that are not given below from variables such as MODEL or PORT.
    fields = {*settings.ModelSettings.model_fields, *settings.ServerSettings.model_fields}
    for variable in [key for key in os.environ if key.lower() in {*fields, "config_file"}]:
        del os.environ[variable]
    if not profile.extra_buffers:
        _leave_out_extra_buffers()
    if template:
        _register_template(template_name, template, stop)
    model = settings.ModelSettings(
        model=path,
        model_alias=name,
        n_ctx=n_ctx,
        n_threads=threads,
        n_threads_batch=threads_batch,
        n_gpu_layers=gpu_layers,
        flash_attn=flash_attention,
        type_k=_KV_TYPES[kv_type],
        type_v=_KV_TYPES[kv_type],
        chat_format=template_name if template else None,
        # A row of logits for each token would take a gigabyte; the model stays mapped, so that the
        # system can share and drop its pages.
        logits_all=False,
        use_mlock=False,
        verbose=False,
    )
    # A second program waits for its turn; it does not cut off the answer of the first.
    server = settings.ServerSettings(interrupt_requests=False)
    return app.create_app(server_settings=server, model_settings=[model])


def _leave_out_extra_buffers() -> None:
    """Load models without repacked weights; the library has no option for it."""
    default_params = lib.llama_model_default_params

    def params() -> Any:
        made = default_params()
        made.use_extra_bufts = False
        return made

    lib.llama_model_default_params = params


def _register_template(name: str, template: str, stop: Sequence[str]) -> None:
    from llama_cpp import llama_chat_format

    render = llama_chat_format.Jinja2ChatFormatter(template, eos_token="", bos_token="")

    def format_chat(messages: list[Any], **options: Any) -> Any:
        prompt = render(messages=messages, **options).prompt
        # The beginning of a text is added when it is tokenized.
        return llama_chat_format.ChatFormatterResponse(prompt=prompt, stop=list(stop))

    cast("Any", llama_chat_format.register_chat_format(name))(format_chat)
