"""A GGUF file that llama.cpp has loaded, and the adapters for it."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from types import TracebackType
from typing import Self

import llama_cpp.llama_cpp as lib
import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.llama.errors import EngineError, ModelFileError
from baize_tui.engine.llama.log import forget_errors, reason_from_log
from baize_tui.engine.llama.machine import allowed_devices, start_backend
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.profiles import FULL, MachineProfile
from baize_tui.translation import msg, tr

_UNKNOWN = re.compile(r"unknown model architecture: '(.*)'")


UNKNOWN = msg(
    "{path} has the architecture {architecture}, which is not a language model that this llama.cpp "
    "knows: a newer baize-tui may know it, else choose another file"
)


class Model:
    """A GGUF file in memory; it is mapped, so the system can share and drop its pages."""

    def __init__(
        self,
        path: str,
        *,
        gpu_layers: int = 0,
        vocabulary_only: bool = False,
        simulated: bool = False,
        progress: Callable[[float], bool] | None = None,
        profile: MachineProfile = FULL,
        device: str = "",
    ) -> None:
        """Load ``path``; ``progress`` receives 0.0 to 1.0 and stops the load by returning False.

        A ``simulated`` model has no weights in memory and cannot compute, but llama.cpp reports
        how much memory it would take. ``device`` names the only GPU to use; empty uses all that
        ``profile`` allows.

        Raises:
            ModelFileError: llama.cpp refused the file; the message has the reason.
        """
        start_backend()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 2**31 - 1
        params.vocab_only = vocabulary_only
        params.use_extra_bufts = profile.extra_buffers
        devices = allowed_devices(profile, device)
        if devices is not None:
            params.devices = ctypes.cast(devices, ctypes.c_void_p)
        if simulated:
            params.no_alloc, params.load_mode = True, lib.LLAMA_LOAD_MODE_NONE

        @lib.llama_progress_callback  # type: ignore[untyped-decorator]
        def report(fraction: float, _user_data: object) -> bool:
            return progress(fraction) if progress else True

        params.progress_callback = report
        forget_errors()
        self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            reason = reason_from_log(tr("no reason given"))
            if (unknown := _UNKNOWN.search(reason)) is not None:
                raise ModelFileError(tr(UNKNOWN, path=path, architecture=unknown[1]))
            raise ModelFileError(tr("{path} cannot be loaded: {why}", path=path, why=reason))
        self.path = path
        self.vocabulary = Vocabulary(self._model, _words(self.metadata("baize.words")))
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self._model)

    @property
    def handle(self) -> int:
        """``llama_model *``.

        Raises:
            EngineError: the model is closed.
        """
        if not self._model:
            raise EngineError("the model is closed")
        return int(self._model)

    @property
    def description(self) -> str:
        """Architecture, size and type, as llama.cpp describes them."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def can_generate(self) -> bool:
        """Whether it is a decoder alone, without an encoder that would have to run first."""
        return bool(lib.llama_model_has_decoder(self.handle)) and not bool(
            lib.llama_model_has_encoder(self.handle)
        )

    def metadata(self, key: str) -> str:
        """A metadata value as text, empty where the key is missing."""
        size = 1 << 16
        while True:
            buffer = ctypes.create_string_buffer(size)
            n: int = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if n < size:
                return buffer.value.decode("utf-8", "replace") if n >= 0 else ""
            size = n + 1

    @property
    def layers(self) -> int:
        """How many layers can be offloaded, without the output layer."""
        return int(lib.llama_model_n_layer(self.handle))

    @property
    def heads(self) -> int:
        """Query heads of a layer."""
        return int(lib.llama_model_n_head(self.handle))

    @property
    def window(self) -> int:
        """Tokens that layers with sliding-window attention look back; 0 if all look back to the
        beginning."""
        return int(lib.llama_model_n_swa(self.handle))

    @property
    def has_recurrent_state(self) -> bool:
        """Whether some of its memory is about all tokens together, as in Mamba: it can only be
        saved and restored as a whole."""
        return bool(
            lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle)
        )

    @property
    def chat_template(self) -> str:
        """The template in the file; empty if it has none."""
        return self.metadata("tokenizer.chat_template")

    def close(self) -> None:
        """Free the model, after its contexts."""
        if self._model:
            lib.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


def _words(text: str) -> frozenset[str]:
    """The JSON list that baize-convert writes; anything else names no words."""
    try:
        return frozenset(msgspec.json.decode(text, type=list[str]))
    except JSON_ERRORS:
        return frozenset()


class Adapter:
    """A GGUF LoRA loaded beside its model; the model frees it."""

    def __init__(self, model: Model, path: str) -> None:
        """Load ``path``, which ``check_adapter`` of ``engine.adapters`` has accepted.

        Raises:
            ModelFileError: llama.cpp refused it; the message has the reason.
        """
        forget_errors()
        self.handle = lib.llama_adapter_lora_init(model.handle, os.fsencode(path))
        if not self.handle:
            reason = reason_from_log(tr("no reason given"))
            raise ModelFileError(
                tr("{path} cannot be used with this model: {why}", path=path, why=reason)
            )
