"""The matrix of adapters: every kind x tied or untied head x folder, GGUF base or hub.

Every cell is exact, which means that all tensors in F32 are those of PEFT's merge within 2e-6, or a
refusal by name. PEFT makes all adapters anew where it is installed; elsewhere, and with
``--goldens``, those that ``make_goldens.py`` packed are used. This writes the page of docs::

    python -m tests.convert.adapter_matrix [--goldens] [--output docs/adapter-matrix.md]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import numpy as np

from tests.convert import adapter_kinds
from tests.convert.adapter_kinds import MADE, REFUSED
from tests.convert.make_goldens import MATRIX
from tests.hub.stand_in import Hub, serve

Place = Literal["folder", "GGUF", "hub"]
"""Where the base is; on the hub, so is the adapter."""
PLACES: tuple[Place, ...] = get_args(Place)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapter-matrix.md"
_TOLERANCE = 2e-6
_INTRODUCTION = """\
# Which adapters merge

Every kind of adapter, over a base whose head is its embedding (tied) or a tensor of its own
(untied), and which is a Hugging Face folder, a GGUF file or on the hub.

- **exact**: all tensors of the merge in F32 are those of PEFT's `merge_and_unload()`, within 2e-6.
  (For a tied head that is not trained like the embedding, PEFT's merge writes into the tensor they
  share; the reference is the merge into a copy.)
- **refused**: the command ends with one line that names this, and says what to do.

`python -m tests.convert.adapter_matrix` writes this page, with the PEFT that is installed.
"""


@dataclass(frozen=True)
class Cell:
    """One merge of the matrix."""

    kind: str
    tied: bool
    place: Place

    @property
    def group(self) -> str:
        return "tied" if self.tied else "untied"


def adapter_folder(material: Path, cell: Cell) -> Path:
    name = re.sub(r"\W+", "_", cell.kind.replace("…", "and")).strip("_").lower()
    return material / cell.group / name


def make_material(material: Path) -> None:
    """Make bases and adapters with the PEFT that is installed."""
    for tied in (True, False):
        base = material / ("tied" if tied else "untied") / "base"
        adapter_kinds.make_tied_base(base, tied=tied)
        for name, kind in MADE.items():
            folder = adapter_folder(material, Cell(name, tied, "folder"))
            adapter_kinds.make_adapter(kind, base, folder)


def pack(material: Path, archive: Path) -> None:
    """Pack bases and adapters; the same bytes for the same files."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for group in ("tied", "untied"):
            packed.add(material / group, group, filter=plain)


def complete_material(material: Path) -> None:
    """Add what needs no PEFT: GGUF bases, tokenizers of new tokens, adapters that are refused."""
    from tests.convert.model_folders import convert_folder

    for tied in (True, False):
        group = material / ("tied" if tied else "untied")
        convert_folder(group / "base", "F32", group / "base.gguf")
        for name, kind in MADE.items():
            if kind.rows is not None:
                folder = adapter_folder(material, Cell(name, tied, "folder"))
                for file in ("tokenizer.json", "tokenizer_config.json"):
                    shutil.copy(group / "base" / file, folder)
        plain = adapter_folder(material, Cell("LoRA", tied, "folder"))
        for name, refused in REFUSED.items():
            folder = adapter_folder(material, Cell(name, tied, "folder"))
            adapter_kinds.make_refused(refused, plain, folder)


def unpack_material(material: Path) -> None:
    """Bases and adapters from the golden files."""
    with tarfile.open(MATRIX) as packed:
        packed.extractall(material, filter="data")
    complete_material(material)


def judge(cell: Cell, material: Path, output: Path) -> str:
    """``exact`` or ``refused: NAME``.

    Raises:
        AssertionError: the merge differs from PEFT's, or another reason is given.
    """
    from baize_convert.failures import ConvertError
    from baize_convert.merge import merge
    from baize_convert.opening import open_adapter
    from baize_convert.plan import plan_conversion
    from baize_convert.quantization.outtypes import parse_outtype

    base, adapter = _arguments(cell, material)
    made = MADE.get(cell.kind)
    reason = REFUSED[cell.kind].name if made is None else made.refused.get(cell.tied)
    try:
        plan = plan_conversion(base, [open_adapter(adapter)], parse_outtype("F32"))
        merge(plan, output)
    except ConvertError as error:
        message = str(error)
        assert reason is not None, (cell, message)
        assert reason in message, (cell, message)
        assert "\n" not in message
        return f"refused: {reason}"
    assert reason is None, (cell, "is not refused")
    check_tensors(cell, material, output)
    return "exact"


def _arguments(cell: Cell, material: Path) -> tuple[str, str]:
    """The base and the adapter, as a person gives them."""
    adapter = adapter_folder(material, cell)
    if cell.place == "hub":
        return f"hf:{cell.group}/base", f"hf:{cell.group}/{adapter.name}"
    base = material / cell.group / ("base" if cell.place == "folder" else "base.gguf")
    return str(base), str(adapter)


def check_tensors(cell: Cell, material: Path, output: Path) -> None:
    """Check that all tensors of ``output`` are those of PEFT's merge."""
    from baize_convert.opening import open_base
    from tests.convert.model_folders import read_safetensors

    wanted = dict(read_safetensors(material / cell.group / "base" / "model.safetensors"))
    wanted.setdefault("lm_head.weight", wanted["model.embed_tokens.weight"])
    wanted |= read_safetensors(adapter_folder(material, cell) / "merged.safetensors")
    written = open_base(output).tensors
    assert set(wanted) - set(written) <= {"lm_head.weight"}
    assert set(written) <= set(wanted)
    for name, tensor in wanted.items():
        # A head that is not written is the embedding.
        values = written.get(name, written["model.embed_tokens.weight"]).read_all()
        expected = tensor.read_all()
        assert values.shape == expected.shape, (cell, name)
        assert np.abs(values - expected).max() <= _TOLERANCE * np.abs(expected).max(), (cell, name)


def page(material: Path, scratch: Path) -> str:
    """The page of docs: a row for each kind, a column for each base."""
    columns = list(product((True, False), PLACES))
    titles = [f"{'tied' if tied else 'untied'}, {place}" for tied, place in columns]
    lines = [f"| Adapter | {' | '.join(titles)} |", "|---" * (len(columns) + 1) + "|"]
    for kind in (*MADE, *REFUSED):
        cells = [
            judge(Cell(kind, tied, place), material, scratch / "output.gguf")
            for tied, place in columns
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return _INTRODUCTION + "\n" + "\n".join(lines) + "\n"


@contextmanager
def stand_in(cache: Path) -> Iterator[Hub]:
    """An empty hub for this process; to be started before huggingface_hub is imported."""
    with serve({}) as hub:
        for name in [name for name in os.environ if "proxy" in name.lower()]:
            del os.environ[name]
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(cache)}
        yield hub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--goldens", action="store_true")
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, stand_in(Path(folder) / "cache") as hub:
        material = Path(folder) / "material"
        if options.goldens or importlib.util.find_spec("peft") is None:
            unpack_material(material)
        else:
            make_material(material)
            complete_material(material)
        for repository in material.glob("*/*/"):
            hub.folders[f"{repository.parent.name}/{repository.name}"] = repository
        options.output.write_text(page(material, Path(folder)))


if __name__ == "__main__":
    main()
