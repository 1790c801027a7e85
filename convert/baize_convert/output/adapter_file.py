"""An adapter as a GGUF LoRA, which llama.cpp applies to a base at run time.

llama.cpp reads one alpha for the whole file (``adapter.lora.alpha``, src/llama-adapter.h), and with
0 it uses B unscaled. So the scale of each module, including rsLoRA's and those by pattern, is
multiplied into its B. llama.cpp's own converter writes one alpha, which is wrong for such adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from baize_convert.failures import ConvertError, first_few
from baize_convert.lora.adapter import EMBEDDING, HEAD, Adapter, ModuleChange
from baize_convert.lora.checks import check_adapters
from baize_convert.lora.combination import has_own_head
from baize_convert.lora.fitting import fit_adapter
from baize_convert.output.output_path import check_output_path
from baize_convert.sources.checkpoint import Checkpoint
from baize_convert.sources.tensor_names import ModuleName, module_names, permute_rows
from baize_convert.sources.titles import title
from baize_shared.atomic_files import replace_when_complete

AdapterOuttype = Literal["f16", "f32"]
_DTYPES: dict[AdapterOuttype, type[np.floating]] = {"f32": np.float32, "f16": np.float16}


def parse_adapter_outtype(name: str) -> AdapterOuttype:
    """The type called ``name``, in upper or lower case.

    Raises:
        ConvertError: adapters are not written in this type.
    """
    match name.lower():
        case "f16" | "f32" as outtype:
            return outtype
    choices = " or ".join(get_args(AdapterOuttype))
    raise ConvertError(f"--outtype {name}: an adapter is written in {choices}")


def write_adapter(
    base: Checkpoint, adapter: Adapter, output: Path, outtype: AdapterOuttype = "f16"
) -> int:
    """Write ``adapter`` for ``base`` to ``output``; the number of modules in it.

    Raises:
        ConvertError: it does not fit this base, changes something that only a merge can do (every
            such module is named), or cannot be written.
    """
    adapter = fit_adapter(adapter, base.config)
    check_adapters(base, [adapter])
    _check_low_rank(base, adapter)
    check_output_path(output, [*adapter.files, *base.files], [adapter.path, base.path])
    names = module_names(base.config)
    writer = GGUFWriter(None, base.config.architecture.name)
    writer.add_type("adapter")
    writer.add_name(title(adapter.name))
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    low_rank = {module: change for module, change in adapter.changes.items() if change.rank}
    for module, change in sorted(low_rank.items()):
        for part, values in zip("ab", _scaled_matrices(names[module], change), strict=True):
            name = f"{names[module].target}.weight.lora_{part}"
            writer.add_tensor(name, _store(values, outtype, f"{adapter.path}: {module}"))
    try:
        with replace_when_complete(output) as partial:
            writer.write_header_to_file(partial)
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
    except OSError as error:
        raise ConvertError(f"{output}: {error.strerror}") from error
    return len(low_rank)


def _store(
    values: NDArray[np.float32], outtype: AdapterOuttype, where: str
) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values.astype(_DTYPES[outtype]))
    if not np.isfinite(stored).all():
        raise ConvertError(f"{where}: its numbers are too large for {outtype}: use --outtype f32")
    return stored


def _check_low_rank(base: Checkpoint, adapter: Adapter) -> None:
    """Refuse changes that are not low-rank additions, as llama.cpp can apply no others."""
    wrong: list[str] = []
    for module, change in adapter.changes.items():
        if change.magnitude is not None:
            wrong.append(f"{module} (DoRA)")
        elif change.token_rows is not None:
            wrong.append(f"{module} (trained tokens)")
        elif _replaces(base, module, change):
            wrong.append(f"{module} (replaced as a whole)")
        elif change.bias is not None:
            wrong.append(f"{module} (a bias)")
        elif change.is_embedding and not has_own_head(base):
            # llama.cpp would apply it to the head too, transposed, and abort.
            wrong.append(f"{module} (which the head shares)")
        elif module == HEAD and change.rank and not has_own_head(base):
            wrong.append(f"{module} (which the base shares with the embedding)")
    if wrong:
        raise ConvertError(
            f"{adapter.path}: an adapter file cannot contain {first_few(wrong)}: use 'merge'"
        )


def _replaces(base: Checkpoint, module: str, change: ModuleChange) -> bool:
    """Whether the adapter replaces weights; PEFT also saves embeddings that it did not change."""
    for part, tensor in (*change.replaced.items(), *change.base_copies.items()):
        original = base.tensors.get(f"{module}.{part}")
        if original is None and module == HEAD and part == "weight":
            original = base.tensors[f"{EMBEDDING}.weight"]
        if original is None or not original.equals(tensor):
            return True
    return False


def _scaled_matrices(
    name: ModuleName, change: ModuleChange
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A [r, in] and B [out, r] in llama.cpp's row order; for an embedding, A is [vocabulary, r]."""
    assert change.a is not None
    assert change.b is not None
    a, b = change.a.read(), change.b.read() * np.float32(change.scale)
    if change.is_embedding:
        return a.T, b
    if name.permuted_heads:
        b = permute_rows(b, name.permuted_heads)
    return a, b
