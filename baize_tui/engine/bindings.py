"""Every call into llama.cpp: the low-level ctypes bindings, made typed and safe.

Only ``thread_pools`` beside it imports ``llama_cpp``. The classes own their C objects and free
them; they check what llama.cpp would answer with ``abort()``. Import this only in the worker
process.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import hashlib
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import llama_cpp
import llama_cpp.llama_cpp as lib
from llama_cpp._ctypes_extensions import load_shared_library

from baize_tui.engine.fragments import SpecialToken
from baize_tui.engine.profiles import FULL, MachineProfile
from baize_tui.engine.protocol import GgufHeader
from baize_tui.engine.thread_pools import ThreadPools, are_needed
from baize_tui.footprint import Device
from baize_tui.settings import Sampling

MAIN_SEQUENCE = 0


class EngineError(Exception):
    """llama.cpp refused or failed; the message is one line that names what."""


class ModelFileError(EngineError):
    """The file is not a model that can be loaded."""


# --- the log ------------------------------------------------------------------------------------

_ERROR_LEVEL = 4
_INFO_LEVEL = 2
_log_lock = threading.Lock()
_recent_errors: list[str] = []
_listeners: list[list[str]] = []


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_log(level: int, text: bytes | None, _user_data: object) -> None:
    """Errors are kept for the next exception; all lines go to stderr, which is the log file."""
    line = (text or b"").decode("utf-8", "replace")
    with _log_lock:
        if level == _ERROR_LEVEL and line.strip():
            _recent_errors.append(line.strip())
            del _recent_errors[:-20]
        if level == _INFO_LEVEL:
            for lines in _listeners:
                lines.append(line.strip())
    if level >= 3:
        os.write(2, line.encode("utf-8", "replace"))


@contextlib.contextmanager
def log_lines() -> Iterator[list[str]]:
    """The lines that llama.cpp logs meanwhile, level INFO; some figures stand nowhere else."""
    lines: list[str] = []
    with _log_lock:
        _listeners.append(lines)
    try:
        yield lines
    finally:
        with _log_lock:
            # By identity: two lists of no lines are equal.
            _listeners[:] = [other for other in _listeners if other is not lines]


def _start_of_log() -> None:
    with _log_lock:
        _recent_errors.clear()


def _reason_from_log(otherwise: str) -> str:
    """The most telling error line since ``_start_of_log``, without llama.cpp's function names."""
    with _log_lock:
        lines = list(_recent_errors)
    if not lines:
        return otherwise
    line = next((line for line in lines if "error loading model" in line), lines[0])
    return line.split(": ", 1)[-1] if line.split(": ", 1)[0].isidentifier() else line


lib.llama_log_set(_keep_log, ctypes.c_void_p(0))

# --- the abort flag -----------------------------------------------------------------------------

_libc = ctypes.CDLL(ctypes.util.find_library("c") or None)


class AbortFlag:
    """A byte that stops a running ``llama_decode`` within milliseconds.

    llama.cpp asks its abort callback hundreds of times a token. The callback is ``strlen`` on this
    byte: native, so it never waits for Python's interpreter lock.
    """

    def __init__(self) -> None:
        self._byte = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(_libc.strlen, lib.ggml_abort_callback)
        self.address = ctypes.c_void_p(ctypes.addressof(self._byte))

    def set(self) -> None:
        self._byte[0] = b"\x01"

    def clear(self) -> None:
        self._byte[0] = b"\x00"

    def is_set(self) -> bool:
        return self._byte[0] != b"\x00"


# --- GGUF headers, by ggml's own reader ----------------------------------------------------------

_GGUF_MAGIC = b"GGUF"
_GGUF_FIXED_HEADER = struct.Struct("<4sIQQ")  # magic, version, tensor count, key-value count
_SMALLEST_KEY_VALUE = 8 + 1 + 4 + 1  # length of the key, one letter, type, one byte of value
_SMALLEST_TENSOR_INFO = 8 + 1 + 4 + 8 + 4 + 8  # name, n_dims, one dim, type, offset


class _GgufInitParams(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


def _gguf_library() -> ctypes.CDLL:
    folder = Path(llama_cpp.__file__).parent / "lib"
    library: ctypes.CDLL = load_shared_library("ggml-base", folder)
    pointer, i64, text = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (pointer, [text, _GgufInitParams]),
        "gguf_free": (None, [pointer]),
        "gguf_get_data_offset": (ctypes.c_size_t, [pointer]),
        "gguf_get_n_kv": (i64, [pointer]),
        "gguf_get_key": (text, [pointer, i64]),
        "gguf_get_kv_type": (ctypes.c_int, [pointer, i64]),
        "gguf_get_arr_n": (ctypes.c_size_t, [pointer, i64]),
        "gguf_get_arr_type": (ctypes.c_int, [pointer, i64]),
        "gguf_get_arr_str": (text, [pointer, i64, ctypes.c_size_t]),
        "gguf_get_val_str": (text, [pointer, i64]),
        "gguf_get_val_data": (pointer, [pointer, i64]),
        "gguf_get_n_tensors": (i64, [pointer]),
        "gguf_get_tensor_name": (text, [pointer, i64]),
        "gguf_get_tensor_offset": (ctypes.c_size_t, [pointer, i64]),
        "gguf_get_tensor_size": (ctypes.c_size_t, [pointer, i64]),
        "gguf_get_tensor_ne": (ctypes.POINTER(i64), [pointer, i64]),
        "gguf_get_tensor_type": (ctypes.c_int, [pointer, i64]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_gguf = _gguf_library()

# enum gguf_type of gguf.h, the scalar ones
_GGUF_SCALARS: dict[int, Any] = {
    0: ctypes.c_uint8,
    1: ctypes.c_int8,
    2: ctypes.c_uint16,
    3: ctypes.c_int16,
    4: ctypes.c_uint32,
    5: ctypes.c_int32,
    6: ctypes.c_float,
    7: ctypes.c_bool,
    10: ctypes.c_uint64,
    11: ctypes.c_int64,
    12: ctypes.c_double,
}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
_SHORT_ARRAY = 16
"""Values that are worth a line; a vocabulary is not."""


def read_header(path: str) -> GgufHeader:
    """Read and check the header of the GGUF file ``path``; no weight is read.

    Raises:
        ModelFileError: missing, not a GGUF, cut short, or with a header that cannot be true.
    """
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            start = file.read(_GGUF_FIXED_HEADER.size)
    except IsADirectoryError:
        raise ModelFileError(f"{path} is a folder, not a GGUF file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from error
    if not start:
        raise ModelFileError(f"{path} is empty")
    if start[:4] != _GGUF_MAGIC:
        raise ModelFileError(f"{path} is not a GGUF file (it starts with {start[:4]!r})")
    if len(start) < _GGUF_FIXED_HEADER.size:
        raise ModelFileError(f"{path} is cut short: {size} bytes, not even a header")
    _, version, n_tensors, n_keys = _GGUF_FIXED_HEADER.unpack(start)
    if n_keys * _SMALLEST_KEY_VALUE + n_tensors * _SMALLEST_TENSOR_INFO > size:
        raise ModelFileError(
            f"{path} is damaged: its header claims {n_tensors} tensors and {n_keys} keys, "
            f"more than its {size} bytes can hold"
        )
    if version not in (2, 3):
        raise ModelFileError(f"{path} is GGUF version {version}; this program reads 2 and 3")
    with _opened_gguf(path) as context:
        return _header_of(context, path, size)


@contextlib.contextmanager
def _opened_gguf(path: str) -> Iterator[int]:
    _start_of_log()
    context = _gguf.gguf_init_from_file(os.fsencode(path), _GgufInitParams(True, None))
    if not context:
        reason = _reason_from_log("ggml cannot read its header")
        raise ModelFileError(f"{path} is damaged or cut short: {reason}")
    try:
        yield context
    finally:
        _gguf.gguf_free(context)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as the header of its file tells it; ``shape`` is ggml's ``ne``, columns first."""

    name: str
    type: int
    shape: tuple[int, int, int, int]
    bytes: int


def read_tensors(path: str) -> dict[str, TensorInfo]:
    """The tensors of a GGUF file that ``read_header`` has found good, by name."""
    found = {}
    with _opened_gguf(path) as context:
        for at in range(_gguf.gguf_get_n_tensors(context)):
            name = _gguf.gguf_get_tensor_name(context, at).decode("utf-8", "replace")
            shape = _gguf.gguf_get_tensor_ne(context, at)
            found[name] = TensorInfo(
                name,
                _gguf.gguf_get_tensor_type(context, at),
                (shape[0], shape[1], shape[2], shape[3]),
                _gguf.gguf_get_tensor_size(context, at),
            )
    return found


def _scalar(context: int, key: int) -> str:
    kind = _gguf.gguf_get_kv_type(context, key)
    if kind == _GGUF_STRING:
        return (_gguf.gguf_get_val_str(context, key) or b"").decode("utf-8", "replace")
    if kind == _GGUF_ARRAY:
        n = _gguf.gguf_get_arr_n(context, key)
        if n > _SHORT_ARRAY or _gguf.gguf_get_arr_type(context, key) != _GGUF_STRING:
            return f"[{n} values]"
        texts = (_gguf.gguf_get_arr_str(context, key, at) or b"" for at in range(n))
        return ", ".join(text.decode("utf-8", "replace") for text in texts)
    value_type = _GGUF_SCALARS.get(kind)
    if value_type is None:
        return "?"
    return str(value_type.from_address(_gguf.gguf_get_val_data(context, key)).value)


def _header_of(context: int, path: str, size: int) -> GgufHeader:
    metadata = {
        _gguf.gguf_get_key(context, key).decode("utf-8", "replace"): _scalar(context, key)
        for key in range(_gguf.gguf_get_n_kv(context))
    }
    data_offset = _gguf.gguf_get_data_offset(context)
    parameters = 0
    for tensor in range(_gguf.gguf_get_n_tensors(context)):
        end = (
            data_offset
            + _gguf.gguf_get_tensor_offset(context, tensor)
            + _gguf.gguf_get_tensor_size(context, tensor)
        )
        if end > size:
            name = _gguf.gguf_get_tensor_name(context, tensor).decode("utf-8", "replace")
            raise ModelFileError(
                f"{path} is cut short: tensor {name} ends at byte {end}, the file at {size}. "
                "Download or copy it again"
            )
        shape = _gguf.gguf_get_tensor_ne(context, tensor)
        parameters += shape[0] * shape[1] * shape[2] * shape[3]
    architecture = metadata.get("general.architecture", "")

    def number(key: str) -> int:
        value = metadata.get(f"{architecture}.{key}", "")
        return int(value) if value.isdigit() else 0

    tokens = metadata.get("tokenizer.ggml.tokens", "")
    file_type = metadata.get("general.file_type", "")
    type_name = lib.llama_ftype_name(int(file_type)) if file_type.isdigit() else None
    return GgufHeader(
        path=path,
        file_bytes=size,
        architecture=architecture,
        name=metadata.get("general.name", "") or Path(path).stem,
        quantization=(type_name or b"unknown").decode(),
        parameters=parameters,
        context_length=number("context_length"),
        layers=number("block_count"),
        embedding=number("embedding_length"),
        heads=number("attention.head_count"),
        heads_kv=number("attention.head_count_kv") or number("attention.head_count"),
        vocabulary=int(tokens[1:].split()[0]) if tokens.startswith("[") else 0,
        tokenizer=metadata.get("tokenizer.ggml.model", ""),
        chat_template=metadata.get("tokenizer.chat_template", ""),
        license=metadata.get("general.license", ""),
        data_offset=data_offset,
        metadata=metadata,
    )


# --- the vocabulary -----------------------------------------------------------------------------

_CONTROL_OR_UNKNOWN = 1 << 3 | 1 << 0  # LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN
_USER_DEFINED = 1 << 4
_LSTRIP, _RSTRIP = 1 << 7, 1 << 8
_SENTENCEPIECE = lib.LLAMA_VOCAB_TYPE_SPM


class Vocabulary:
    """The tokenizer of a loaded model; lives as long as the model does."""

    def __init__(self, model: int) -> None:
        self._vocab = lib.llama_model_get_vocab(model)
        if lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
            raise ModelFileError("the model has no vocabulary: it cannot be talked with")
        self.size: int = lib.llama_vocab_n_tokens(self._vocab)
        self.is_sentencepiece: bool = lib.llama_vocab_type(self._vocab) == _SENTENCEPIECE
        self._buffer = ctypes.create_string_buffer(256)
        specials: list[SpecialToken] = []
        fingerprint = hashlib.sha256(f"{lib.llama_vocab_type(self._vocab)}".encode())
        newline_alone = True
        for token in range(self.size):
            text: bytes = lib.llama_vocab_get_text(self._vocab, token)
            attr: int = lib.llama_vocab_get_attr(self._vocab, token)
            fingerprint.update(struct.pack("<ii", attr, len(text)))
            fingerprint.update(text)
            if b"\n" in text and len(text) > 1:
                newline_alone = False
            if text and attr & (_CONTROL_OR_UNKNOWN | _USER_DEFINED):
                specials.append(
                    SpecialToken(
                        id=token,
                        text=text.decode("utf-8", "surrogateescape"),
                        control=bool(attr & _CONTROL_OR_UNKNOWN),
                        lstrip=bool(attr & _LSTRIP),
                        rstrip=bool(attr & _RSTRIP),
                    )
                )
        # The order of llama_vocab's cache_special_tokens: longest text first, in bytes.
        specials.sort(key=lambda s: len(s.text.encode("utf-8", "surrogateescape")), reverse=True)
        self.specials: Sequence[SpecialToken] = specials
        self.fingerprint = fingerprint.hexdigest()[:16]
        self.newline_is_cut = self.is_sentencepiece and newline_alone
        """Whether no piece joins a newline with other text, so that a line end is a safe cut."""
        self.bos: int = lib.llama_vocab_bos(self._vocab)
        self.add_bos: bool = lib.llama_vocab_get_add_bos(self._vocab) and self.bos >= 0

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """``llama_tokenize(text, add_special=False, parse_special=…)``.

        Raises:
            EngineError: more than 2**31 tokens.
        """
        raw = text.encode("utf-8", "surrogateescape")
        room = len(raw) + 2
        while True:
            ids = (lib.llama_token * room)()
            n: int = lib.llama_tokenize(self._vocab, raw, len(raw), ids, room, False, parse_special)
            if n >= 0:
                return list(ids[:n])
            if n == -(2**31):
                raise EngineError("the text has more than 2**31 tokens")
            room = -n

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; a control token is empty unless ``special``."""
        n: int = lib.llama_token_to_piece(
            self._vocab, token, self._buffer, len(self._buffer), 0, special
        )
        if n < 0:
            self._buffer = ctypes.create_string_buffer(-n)
            n = lib.llama_token_to_piece(self._vocab, token, self._buffer, -n, 0, special)
        return self._buffer.raw[:n]

    def text_of(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        return b"".join(self.piece(token, special=special) for token in ids)

    def special_text(self, token: int) -> str:
        """The text of a special token as a template writes it; empty for -1 (none)."""
        if not 0 <= token < self.size:
            return ""
        text: bytes = lib.llama_vocab_get_text(self._vocab, token)
        return text.decode("utf-8", "replace")

    @property
    def eos(self) -> int:
        return int(lib.llama_vocab_eos(self._vocab))

    def is_end_of_generation(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_eog(self._vocab, token))

    @property
    def handle(self) -> int:
        return int(self._vocab)


# --- the model ----------------------------------------------------------------------------------


class Model:
    """A GGUF file in memory (mapped, so the system shares and drops its pages)."""

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
        """Load ``path``; ``progress`` hears 0.0 to 1.0 and stops the load by returning False.

        A ``simulated`` model has no weights in memory and cannot compute; llama.cpp tells what it
        would take. ``device`` names the only GPU to use; empty uses all that ``profile`` allows.

        Raises:
            ModelFileError: llama.cpp refused the file; the message has its reason.
        """
        _backend()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 2**31 - 1
        params.vocab_only = vocabulary_only
        params.use_extra_bufts = profile.extra_buffers
        chosen = _chosen_devices(profile, device)
        if chosen is not None:
            params.devices = ctypes.cast(chosen, ctypes.c_void_p)
        if simulated:
            params.no_alloc, params.load_mode = True, lib.LLAMA_LOAD_MODE_NONE

        @lib.llama_progress_callback  # type: ignore[untyped-decorator]
        def report(fraction: float, _user_data: object) -> bool:
            return progress(fraction) if progress else True

        params.progress_callback = report
        _start_of_log()
        self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            reason = _reason_from_log("no reason given")
            raise ModelFileError(f"{path} cannot be loaded: {reason}")
        self.path = path
        self.vocabulary = Vocabulary(self._model)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self._model)

    @property
    def handle(self) -> int:
        if not self._model:
            raise EngineError("the model is closed")
        return int(self._model)

    @property
    def description(self) -> str:
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def can_generate(self) -> bool:
        """Whether it decodes text alone, without an encoder that would have to run first."""
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
        return int(lib.llama_model_n_layer(self.handle))

    @property
    def chat_template(self) -> str:
        return self.metadata("tokenizer.chat_template")

    def close(self) -> None:
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


# --- the context --------------------------------------------------------------------------------


class Aborted(Exception):
    """The abort flag stopped a decode call."""


class Context:
    """A KV cache over a model, with one sequence in it, and the batch that feeds it."""

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        n_batch: int,
        threads: int,
        threads_batch: int,
        abort: AbortFlag,
        flash_attention: bool = True,
        outputs: int = 0,
    ) -> None:
        """``n_batch`` is both the logical and the physical batch: one decode call is one ubatch.

        ``outputs`` is of how many tokens of a call logits are wanted, 0 for all: memory is kept
        for so many.

        Raises:
            EngineError: no memory for the cache.
        """
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = 1
        params.n_outputs_max = outputs
        params.n_threads = threads
        params.n_threads_batch = threads_batch
        params.abort_callback = abort.callback
        params.abort_callback_data = abort.address
        params.no_perf = True
        if not flash_attention:
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._abort = abort
        self._threads = 0, 0
        _start_of_log()
        self._context = lib.llama_init_from_model(model.handle, params)
        if not self._context:
            reason = _reason_from_log("too little memory for the KV cache")
            raise EngineError(
                f"no context of {n_ctx} tokens: {reason}. Set a smaller model.context"
            )
        self._pools = ThreadPools(self.handle, _cpu_function) if are_needed() else None
        self._memory = lib.llama_get_memory(self._context)
        self.n_ctx: int = lib.llama_n_ctx(self._context)
        self.n_batch: int = lib.llama_n_batch(self._context)
        self._batch = lib.llama_batch_init(self.n_batch, 0, 1)
        for i in range(self.n_batch):
            self._batch.n_seq_id[i] = 1
            self._batch.seq_id[i][0] = MAIN_SEQUENCE

    @property
    def handle(self) -> int:
        return int(self._context)

    def set_threads(self, threads: int, threads_batch: int) -> None:
        """Compute with so many threads from the next call on: one token, and several."""
        if (threads, threads_batch) != self._threads:
            self._threads = threads, threads_batch
            lib.llama_set_n_threads(self._context, threads, threads_batch)
            if self._pools is not None:
                self._pools.resize(threads, threads_batch)

    def decode(
        self, tokens: Sequence[int], position: int, *, logits: bool, of_all: bool = False
    ) -> None:
        """Run ``tokens`` at ``position`` on; ``logits`` keeps those of the last token, or of all.

        Raises:
            Aborted: the flag was set; the cache holds up to ``last_position()``.
            EngineError: no room in the cache, or llama.cpp failed.
        """
        n = len(tokens)
        if not 0 < n <= self.n_batch:
            raise EngineError(f"a batch of {n} tokens; 1 to {self.n_batch} fit")
        if position + n > self.n_ctx:
            raise EngineError(f"token {position + n} of a context of {self.n_ctx}")
        batch = self._batch
        batch.n_tokens = n
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.logits[i] = logits and of_all
        batch.logits[n - 1] = logits
        result: int = lib.llama_decode(self._context, batch)
        if result == 0:
            if logits:
                lib.llama_synchronize(self._context)  # a GPU is done only now
            return
        if result == 2:
            raise Aborted
        if result == 1:
            raise EngineError("the KV cache has no room for this batch")
        raise EngineError(
            f"llama_decode failed with {result}: {_reason_from_log('no reason given')}"
        )

    def last_position(self) -> int:
        """Position of the last token in the cache, -1 when it is empty."""
        return int(lib.llama_memory_seq_pos_max(self._memory, MAIN_SEQUENCE))

    def truncate(self, length: int) -> bool:
        """Keep the first ``length`` tokens; False where this kind of memory cannot, so clear it."""
        return bool(lib.llama_memory_seq_rm(self._memory, MAIN_SEQUENCE, length, -1))

    def clear(self) -> None:
        lib.llama_memory_clear(self._memory, True)

    def set_adapters(self, adapters: Sequence[tuple[Adapter, float]]) -> None:
        """Lay ``adapters`` with their scales over the weights, in place of those before.

        What is in the cache was computed with those before: clear it.

        Raises:
            EngineError: llama.cpp refused them.
        """
        n = len(adapters)
        handles = (lib.llama_adapter_lora_p_ctypes * n)(*(one.handle for one, _ in adapters))
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
        if lib.llama_set_adapters_lora(self._context, handles, n, scales) != 0:
            raise EngineError("llama.cpp cannot lay these adapters over the model")

    def logits(self, n_vocab: int) -> list[float]:
        """Logits of the last decoded token, float32 [n_vocab]."""
        return list(lib.llama_get_logits_ith(self._context, -1)[:n_vocab])

    def logits_of_all(self, n: int, n_vocab: int) -> Any:
        """Logits of the ``n`` tokens decoded last, float32 [n, n_vocab]; good until the next."""
        import numpy as np

        return np.ctypeslib.as_array(lib.llama_get_logits(self._context), (n, n_vocab))

    def candidates(self, n_vocab: int) -> tuple[Any, Any]:
        """All tokens with the logits of the last one decoded, as samplers take them; and a view of
        those logits, float32 [n_vocab]."""
        # Imported when used: a grammar is the only thing that wants it.
        import numpy as np

        data = (lib.llama_token_data * n_vocab)()
        rows = np.frombuffer(data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        rows["id"] = np.arange(n_vocab)
        logits = lib.llama_get_logits_ith(self._context, -1)
        rows["logit"] = np.ctypeslib.as_array(logits, (n_vocab,))
        return lib.llama_token_data_array(data, n_vocab, -1, False), rows["logit"]

    def close(self) -> None:
        if self._context:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._context)
            self._context = None
            if self._pools is not None:
                self._pools.close()


class Adapter:
    """A GGUF LoRA beside the model it is for; the model frees it."""

    def __init__(self, model: Model, path: str) -> None:
        """Load ``path``, which ``adapter_fits.check_adapter`` has found good.

        Raises:
            ModelFileError: llama.cpp refused it; the message has its reason.
        """
        _start_of_log()
        self.handle = lib.llama_adapter_lora_init(model.handle, os.fsencode(path))
        if not self.handle:
            reason = _reason_from_log("no reason given")
            raise ModelFileError(f"{path} cannot be used with this model: {reason}")


# --- the sampler --------------------------------------------------------------------------------

GENEROUS_TOP_K = 1024
"""Stands before top-p when no top-k is set: top-p alone sorts the whole vocabulary."""
_MIROSTAT_M = 100
_DRY_BREAKERS = (b"\n", b":", b'"', b"*")


class Sampler:
    """llama.cpp's sampler chain in the order of ``common_sampler_init`` (common/sampling.cpp).

    With a grammar a token is sampled first and shown to the grammar alone; only where it refuses
    does it look at all candidates, as ``common_sampler_sample`` does.
    """

    def __init__(
        self, settings: Sampling, vocabulary: Vocabulary, seed: int, grammar: str = ""
    ) -> None:
        """``grammar`` is GBNF with the rule ``root``; empty is none.

        Raises:
            EngineError: the grammar cannot be read.
        """
        self._grammar = _grammar_of(vocabulary, grammar) if grammar else None
        self._size = vocabulary.size
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for sampler in _chain_of(settings, vocabulary, seed):
            lib.llama_sampler_chain_add(self._chain, sampler)

    @property
    def names(self) -> list[str]:
        n: int = lib.llama_sampler_chain_n(self._chain)
        return [
            lib.llama_sampler_name(lib.llama_sampler_chain_get(self._chain, i)).decode()
            for i in range(n)
        ]

    def accept(self, token: int) -> None:
        """Tell the penalties of a token that stands in the text already."""
        lib.llama_sampler_accept(self._chain, token)

    def accept_in_grammar(self, ids: Sequence[int]) -> None:
        """Tell the grammar of tokens that it allowed before."""
        if self._grammar is not None:
            for token in ids:
                lib.llama_sampler_accept(self._grammar, token)

    def sample(self, context: Context) -> int:
        """Choose a token from the last logits, and accept it.

        Raises:
            EngineError: the grammar allows none.
        """
        if self._grammar is None:
            return int(lib.llama_sampler_sample(self._chain, context.handle, -1))
        token = self._chosen(context, first_grammar=False)
        if not self._allows(token):
            token = self._chosen(context, first_grammar=True)
        lib.llama_sampler_accept(self._grammar, token)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def _chosen(self, context: Context, *, first_grammar: bool) -> int:
        candidates, logits = context.candidates(self._size)
        if first_grammar:
            lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
            if logits.max() == -math.inf:
                raise EngineError("the grammar allows no token here")
        lib.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        return int(candidates.data[candidates.selected].id)

    def _allows(self, token: int) -> bool:
        one = (lib.llama_token_data * 1)(lib.llama_token_data(token, 1.0, 0.0))
        alone = lib.llama_token_data_array(one, 1, -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(alone))
        return bool(alone.data[0].logit != -math.inf)

    def close(self) -> None:
        if self._chain:
            lib.llama_sampler_free(self._chain)
            self._chain = None
        if self._grammar:
            lib.llama_sampler_free(self._grammar)
            self._grammar = None


def _grammar_of(vocabulary: Vocabulary, grammar: str) -> Any:
    _start_of_log()
    found = lib.llama_sampler_init_grammar(vocabulary.handle, grammar.encode(), b"root")
    if not found:
        raise EngineError(f"the grammar cannot be read: {_reason_from_log('no reason given')}")
    return found


def _chain_of(settings: Sampling, vocabulary: Vocabulary, seed: int) -> Iterator[Any]:
    s = settings
    if s.penalty_last_n and (
        s.repeat_penalty != 1.0 or s.frequency_penalty != 0.0 or s.presence_penalty != 0.0
    ):
        yield lib.llama_sampler_init_penalties(
            vocabulary.size,
            s.penalty_last_n,
            s.repeat_penalty,
            s.frequency_penalty,
            s.presence_penalty,
        )
    if s.dry_multiplier > 0:
        breakers = (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS)
        yield lib.llama_sampler_init_dry(
            vocabulary.handle,
            s.dry_multiplier,
            s.dry_base,
            s.dry_allowed_length,
            s.dry_penalty_last_n,
            breakers,
            len(_DRY_BREAKERS),
        )
    if s.temperature <= 0:
        yield lib.llama_sampler_init_greedy()
        return
    if s.mirostat == 1:
        yield lib.llama_sampler_init_temp(s.temperature)
        yield lib.llama_sampler_init_mirostat(
            vocabulary.size, seed, s.mirostat_tau, s.mirostat_eta, _MIROSTAT_M
        )
        return
    if s.mirostat == 2:
        yield lib.llama_sampler_init_temp(s.temperature)
        yield lib.llama_sampler_init_mirostat_v2(seed, s.mirostat_tau, s.mirostat_eta)
        return
    if s.top_k or s.top_p < 1.0:
        yield lib.llama_sampler_init_top_k(s.top_k or GENEROUS_TOP_K)
    if s.top_p < 1.0:
        yield lib.llama_sampler_init_top_p(s.top_p, 1)
    if s.min_p > 0:
        yield lib.llama_sampler_init_min_p(s.min_p, 1)
    if s.xtc_probability > 0:
        yield lib.llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, 1, seed)
    yield lib.llama_sampler_init_temp(s.temperature)
    yield lib.llama_sampler_init_dist(seed)


# --- this machine -------------------------------------------------------------------------------

_backend_started = False


def _backend() -> None:
    global _backend_started
    if not _backend_started:
        lib.llama_backend_init()
        _backend_started = True


@dataclass(frozen=True, slots=True)
class Backend:
    """What llama.cpp was built with and found."""

    llama_cpp_python: str
    llama_cpp: str
    system_info: str
    gpu_offload: bool
    mmap: bool
    devices: list[Device]


def backend() -> Backend:
    _backend()
    return Backend(
        llama_cpp_python=llama_cpp.__version__,
        llama_cpp=lib.llama_version().decode(),
        system_info=lib.llama_print_system_info().decode(),
        gpu_offload=bool(lib.llama_supports_gpu_offload()),
        mmap=bool(lib.llama_supports_mmap()),
        devices=devices(),
    )


# enum ggml_backend_dev_type of ggml-backend.h
_CPU_DEVICE = 0
_DEVICE_KINDS = {_CPU_DEVICE: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}


def _backend_libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """The registry of devices, and what they and tensors are made of."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    registry, base = load_shared_library("ggml", folder), load_shared_library("ggml-base", folder)
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    sizes = ctypes.POINTER(size)
    signatures: list[tuple[ctypes.CDLL, str, Any, list[Any]]] = [
        (registry, "ggml_backend_dev_count", size, []),
        (registry, "ggml_backend_dev_get", pointer, [size]),
        (registry, "ggml_backend_dev_by_type", pointer, [ctypes.c_int]),
        (registry, "ggml_backend_dev_by_name", pointer, [text]),
        (base, "ggml_backend_dev_name", text, [pointer]),
        (base, "ggml_backend_dev_description", text, [pointer]),
        (base, "ggml_backend_dev_type", ctypes.c_int, [pointer]),
        (base, "ggml_backend_dev_memory", None, [pointer, sizes, sizes]),
        (base, "ggml_backend_dev_backend_reg", pointer, [pointer]),
        (base, "ggml_backend_reg_get_proc_address", pointer, [pointer, text]),
        (base, "ggml_backend_buft_alloc_buffer", pointer, [pointer, size]),
        (base, "ggml_backend_buffer_free", None, [pointer]),
        (base, "ggml_backend_dev_supports_op", ctypes.c_bool, [pointer, pointer]),
        (base, "ggml_init", pointer, [_GgmlInitParams]),
        (base, "ggml_free", None, [pointer]),
        (base, "ggml_new_tensor_2d", pointer, [pointer, ctypes.c_int, *[ctypes.c_int64] * 2]),
        (base, "ggml_mul_mat", pointer, [pointer, pointer, pointer]),
    ]
    for library, name, result, arguments in signatures:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return registry, base


class _GgmlInitParams(ctypes.Structure):
    _fields_ = [
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    ]


class _GgmlTensorStart(ctypes.Structure):
    """The first fields of ``ggml_tensor`` (ggml.h)."""

    _fields_ = [("type", ctypes.c_int), ("buffer", ctypes.c_void_p)]


_registry, _ggml = _backend_libraries()


def devices() -> list[Device]:
    """What llama.cpp can compute on."""
    _backend()
    found = []
    for at in range(_registry.ggml_backend_dev_count()):
        device = _registry.ggml_backend_dev_get(at)
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        _ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        found.append(
            Device(
                name=(_ggml.ggml_backend_dev_name(device) or b"").decode("utf-8", "replace"),
                description=(_ggml.ggml_backend_dev_description(device) or b"").decode(
                    "utf-8", "replace"
                ),
                kind=_DEVICE_KINDS.get(_ggml.ggml_backend_dev_type(device), "other"),
                free=free.value,
                total=total.value,
            )
        )
    return found


def _chosen_devices(profile: MachineProfile, device: str) -> Any:
    """``llama_model_params.devices``, a list that ends with NULL; None leaves it to llama.cpp.

    Raises:
        EngineError: there is no such device.
    """
    if not profile.gpu:
        return (ctypes.c_void_p * 1)()
    if not device:
        return None
    handle = _registry.ggml_backend_dev_by_name(device.encode())
    if not handle:
        raise EngineError(f"llama.cpp knows no device {device!r} on this machine")
    return (ctypes.c_void_p * 2)(handle, None)


def _cpu_function(name: bytes) -> int:
    """Address of a function of the processor's backend, 0 where it has none."""
    _backend()
    cpu = _registry.ggml_backend_dev_by_type(_CPU_DEVICE)
    if not cpu:
        return 0
    registered = _ggml.ggml_backend_dev_backend_reg(cpu)
    return int(_ggml.ggml_backend_reg_get_proc_address(registered, name) or 0)


_F32 = 0
_TINY_GRAPH_BYTES = 1 << 16


@cache
def is_repacked(type: int, columns: int, rows: int) -> bool:
    """Whether the processor keeps a matrix of this ggml type in an order of its own, beside the
    file's; asked as ``weight_buft_supported`` of llama-model-loader.cpp does."""
    cpu = _registry.ggml_backend_dev_by_type(_CPU_DEVICE)
    address = _cpu_function(b"ggml_backend_dev_get_extra_bufts")
    if not address:
        return False
    buffer_types = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(cpu)
    context = _ggml.ggml_init(_GgmlInitParams(_TINY_GRAPH_BYTES, None, True))
    try:
        weight = _ggml.ggml_new_tensor_2d(context, type, columns, rows)
        product = _ggml.ggml_mul_mat(
            context, weight, _ggml.ggml_new_tensor_2d(context, _F32, columns, 512)
        )
        at = 0
        while buffer_types and (buffer_type := buffer_types[at]):
            buffer = _ggml.ggml_backend_buft_alloc_buffer(buffer_type, 0)
            start = _GgmlTensorStart.from_address(weight)
            start.buffer = buffer
            supported = bool(_ggml.ggml_backend_dev_supports_op(cpu, product))
            start.buffer = None
            _ggml.ggml_backend_buffer_free(buffer)
            if supported:
                return True
            at += 1
        return False
    finally:
        _ggml.ggml_free(context)


_libc.memchr.restype = ctypes.c_void_p
_libc.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_READ_BYTES = 128 << 20


def read_bandwidth(threads: int) -> float:
    """Bytes per second that ``threads`` read from main memory, which bounds how fast it decodes.

    libc's ``memchr`` for a byte that is not there, over more than a processor caches.
    """
    buffer = ctypes.create_string_buffer(_READ_BYTES)
    ctypes.memset(buffer, 1, _READ_BYTES)
    part = _READ_BYTES // threads
    places = [ctypes.addressof(buffer) + number * part for number in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            began = time.perf_counter()
            list(pool.map(lambda place: _libc.memchr(place, 0, part), places))
            best = max(best, _READ_BYTES / (time.perf_counter() - began))
    return best
