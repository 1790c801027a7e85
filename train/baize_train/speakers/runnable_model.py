"""A base and its adapters as files that llama.cpp runs, to generate answers and to measure them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.lora.fitting import fit_adapter
from baize_convert.merge import merge
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_shared.private_files import private_folder
from baize_shared.split_files import model_files
from baize_train.errors import TrainError

_OUTTYPE = "Q8_0"
"""For a base that is not a GGUF: close enough to 16 bits at half the size."""


class RunnableModel(Struct, frozen=True):
    """A GGUF and the LoRAs applied to it."""

    path: Path
    adapters: list[Path] = []
    """GGUF files."""


def check_adapters(base: Path, adapters: Sequence[Path]) -> None:
    """Check that ``adapters`` fit ``base``, before anything is generated or computed.

    Raises:
        TrainError: a folder is not an adapter, or belongs to another model.
    """
    try:
        checkpoint = open_base(base)
        for adapter in adapters:
            if not adapter.is_file():  # llama.cpp checks a GGUF when it loads it
                fit_adapter(open_adapter(adapter), checkpoint.config)
    except ConvertError as error:
        raise TrainError(str(error)) from error


def make_runnable(base: Path, adapters: Sequence[Path], work: Path) -> RunnableModel:
    """``base`` with PEFT or GGUF ``adapters``, converted where necessary.

    Converted files are written to the folder ``work`` and reused the next time.

    Raises:
        TrainError: they do not belong together, or cannot be converted.
    """
    try:
        private_folder(work)
        if base.is_file():
            return RunnableModel(base, [_adapter_gguf(base, adapter, work) for adapter in adapters])
        merged = work / f"{_fingerprint([base, *adapters])}.gguf"
        if not merged.exists():
            opened = [open_adapter(adapter) for adapter in adapters]
            merge(plan_conversion(base, opened, parse_outtype(_OUTTYPE)), merged)
        return RunnableModel(merged)
    except ConvertError as error:
        raise TrainError(str(error)) from error
    except OSError as error:
        raise TrainError(f"{error.filename or work}: {error.strerror}") from error


def _adapter_gguf(base: Path, adapter: Path, work: Path) -> Path:
    if adapter.is_file():
        return adapter
    converted = work / f"{_fingerprint([base, adapter])}.gguf"
    if not converted.exists():
        write_adapter(open_base(base), open_adapter(adapter), converted, "f32")
    return converted


def _fingerprint(parts: Sequence[Path]) -> str:
    """Changes with the paths, sizes and times of the weights that a file is made from."""
    digest = hashlib.sha256()
    for part in parts:
        files = model_files(part) if part.is_file() else sorted(part.glob("*.safetensors"))
        digest.update(str(part).encode())
        for file in files:
            digest.update(f"{file.name} {file.stat().st_mtime_ns} {file.stat().st_size}".encode())
    return digest.hexdigest()[:16]
