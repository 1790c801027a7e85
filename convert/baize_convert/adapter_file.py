"""A PEFT adapter as a GGUF that llama.cpp lays over a base while it runs.

llama.cpp knows one alpha for the whole file (``adapter.lora.alpha``, src/llama-adapter.h); with 0
it takes B as it is. So the scale of each module, rsLoRA's and those by pattern too, is multiplied
into its B, where llama.cpp's own converter writes one alpha and so gets these wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from baize_convert.adapter import Adapter, ModuleChange
from baize_convert.adapters import fitted
from baize_convert.checkpoint import Checkpoint
from baize_convert.failures import ConvertError
from baize_convert.merged_tensors import check_adapters
from baize_convert.metadata import title
from baize_convert.tensor_names import ModuleName, modules, permute_rows
from baize_shared.atomic_files import replace_when_complete

DTYPES = {"f32": np.float32, "f16": np.float16}


def write_adapter(base: Checkpoint, adapter: Adapter, output: Path, dtype: str = "f16") -> int:
    """Write ``adapter`` for ``base``; how many modules it has.

    Raises:
        ConvertError: it is not of this base, or holds what only a merge can do; every such module
            is named.
    """
    if dtype not in DTYPES:
        raise ConvertError(f"--outtype {dtype}: an adapter is written in {' or '.join(DTYPES)}")
    adapter = fitted(adapter, base.config)
    check_adapters(base, [adapter])
    _refuse(base, adapter)
    inputs = [*adapter.files, *base.files]
    if output.resolve() in {source.path.resolve() for source in inputs if source.is_local}:
        raise ConvertError(f"{output} is one of the inputs: choose another name")
    names = modules(base.config)
    writer = GGUFWriter(None, base.config.architecture.name)
    writer.add_type("adapter")
    writer.add_name(title(adapter.name))
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    for module, change in sorted(adapter.changes.items()):
        for part, values in zip("ab", _parts(names[module], change), strict=True):
            name = f"{names[module].target}.weight.lora_{part}"
            writer.add_tensor(name, np.ascontiguousarray(values.astype(DTYPES[dtype])))
    try:
        with replace_when_complete(output) as partial:
            writer.write_header_to_file(partial)
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
    except OSError as error:
        raise ConvertError(f"{output}: {error.strerror}") from error
    return len(adapter.changes)


def _refuse(base: Checkpoint, adapter: Adapter) -> None:
    wrong: list[str] = []
    for module, change in adapter.changes.items():
        if change.magnitude is not None:
            wrong.append(f"{module} (DoRA)")
        elif change.token_rows is not None:
            wrong.append(f"{module} (trained tokens)")
        elif change.a is None or _replaces(base, module, change):
            wrong.append(f"{module} (replaced as a whole)")
        elif change.bias is not None:
            wrong.append(f"{module} (a bias)")
        elif change.is_embedding and "lm_head.weight" not in base.tensors:
            # llama.cpp would lay it over the head too, the wrong way round, and abort.
            wrong.append(f"{module} (which the head shares)")
    if wrong:
        raise ConvertError(
            f"{adapter.path}: an adapter file cannot hold {', '.join(wrong)}: use 'merge'"
        )


def _replaces(base: Checkpoint, module: str, change: ModuleChange) -> bool:
    """Whether the adapter brings other weights; PEFT saves an embedding along as it was."""
    for part, tensor in change.replaced.items():
        own = base.tensors.get(f"{module}.{part}")
        if own is None or not own.equals(tensor):
            return True
    return False


def _parts(
    name: ModuleName, change: ModuleChange
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A [r, in] and B [out, r] in llama.cpp's order; of an embedding, A is [vocabulary, r]."""
    assert change.a is not None
    assert change.b is not None
    a, b = change.a.read(), change.b.read() * np.float32(change.scale)
    if change.is_embedding:
        return a.T, b
    if name.permuted_heads:
        b = permute_rows(b, name.permuted_heads)
    return a, b
