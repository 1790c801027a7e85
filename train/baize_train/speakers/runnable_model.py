"""A base with adapters as files that llama.cpp runs, to let them answer and to measure them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from baize_convert.adapter_file import write_adapter
from baize_convert.adapters import fitted, open_adapter
from baize_convert.base import open_base
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.outtypes import outtype_named
from baize_convert.plan import plan_conversion
from baize_train.errors import TrainError

_OUTTYPE = "Q8_0"
"""Of a base that is no GGUF: near enough to 16 bits, at half the size."""


class RunnableModel(Struct, frozen=True):
    """A GGUF and the LoRAs laid over it."""

    path: Path
    adapters: list[Path] = []


def check_adapters(base: Path, adapters: Sequence[Path]) -> None:
    """Whether these are adapters of ``base``, before anything is asked or computed.

    Raises:
        TrainError: one is none, or of another model.
    """
    try:
        checkpoint = open_base(base)
        for adapter in adapters:
            if not adapter.is_file():  # of a GGUF llama.cpp's own rules are asked when it is used
                fitted(open_adapter(adapter), checkpoint.config)
    except ConvertError as error:
        raise TrainError(str(error)) from error


def runnable(base: Path, adapters: Sequence[Path], work: Path) -> RunnableModel:
    """``base`` with PEFT or GGUF ``adapters``; what has to be converted is written into ``work``,
    and found there the next time.

    Raises:
        TrainError: they do not belong together, or cannot be converted.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        if base.is_file():
            return RunnableModel(base, [_as_gguf(base, adapter, work) for adapter in adapters])
        merged = work / f"{_name([base, *adapters])}.gguf"
        if not merged.exists():
            plan = plan_conversion(
                base, [open_adapter(one) for one in adapters], outtype_named(_OUTTYPE)
            )
            merge(plan, merged)
        return RunnableModel(merged)
    except ConvertError as error:
        raise TrainError(str(error)) from error
    except OSError as error:
        raise TrainError(f"{error.filename or work}: {error.strerror}") from error


def _as_gguf(base: Path, adapter: Path, work: Path) -> Path:
    if adapter.is_file():
        return adapter
    written = work / f"{_name([base, adapter])}.gguf"
    if not written.exists():
        write_adapter(open_base(base), open_adapter(adapter), written, "f32")
    return written


def _name(parts: Sequence[Path]) -> str:
    """Changes with what it is made of: paths, and when the weights there were written."""
    digest = hashlib.sha256()
    for part in parts:
        files = [part] if part.is_file() else sorted(part.glob("*.safetensors"))
        digest.update(str(part).encode())
        for file in files:
            digest.update(f"{file.name} {file.stat().st_mtime_ns} {file.stat().st_size}".encode())
    return digest.hexdigest()[:16]
