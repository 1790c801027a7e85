"""Merges that are interrupted, resumed or refused; an existing output is never damaged."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from baize_convert.budget import parse_size
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.plan import Plan, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import (
    SHAPES,
    convert_folder,
    random_folder,
    read_safetensors,
)


def stop_after_half(
    folder: Path, output: Path, adapter: Path | None = None, outtype: str = "F32"
) -> Plan:
    """Interrupt a merge, as Ctrl-C does, when half of it is written."""
    adapters = [open_adapter(adapter)] if adapter is not None else []
    plan, seen = plan_conversion(folder, adapters, parse_outtype(outtype)), 0

    def interrupt(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > plan.layout.length // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(plan, output, progress=interrupt)
    return plan


def test_a_resumed_merge_writes_the_same_bytes(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["grouped"])
    output = tmp_path / "out.gguf"
    plan = stop_after_half(folder, output, outtype="Q4_K_M")
    merge(plan, tmp_path / "whole.gguf")
    assert not output.exists()
    journal = Path(f"{output}.partial.journal")
    done = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert 0 < sum(rows["count"] for rows in done) < sum(p.tensor.rows for p in plan.layout.tensors)
    # A killed process may have started to write a line.
    with journal.open("ab") as handle:
        handle.write(b'{"name": "blk.')
    # Written rows are not written again: change them, and they stay changed.
    placed = next(p for p in plan.layout.tensors if p.tensor.name == done[0]["name"])
    spoilt = placed.offset + done[0]["first"] * placed.row_bytes
    with Path(f"{output}.partial").open("r+b") as handle:
        handle.seek(spoilt)
        kept = handle.read(4)
        handle.seek(spoilt)
        handle.write(bytes(255 - byte for byte in kept))
    merge(plan, output)
    merged = bytearray(output.read_bytes())
    assert merged != (tmp_path / "whole.gguf").read_bytes()
    merged[spoilt : spoilt + 4] = kept
    assert merged == (tmp_path / "whole.gguf").read_bytes()
    assert not journal.exists()
    assert not Path(f"{output}.partial").exists()


def test_a_journal_without_its_partial_is_not_resumed(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    stop_after_half(BASE, output)
    assert Path(f"{output}.partial.journal").exists()
    Path(f"{output}.partial").unlink()
    convert_folder(BASE, "F32", output)
    convert_folder(BASE, "F32", tmp_path / "fresh.gguf")
    assert output.read_bytes() == (tmp_path / "fresh.gguf").read_bytes()


def test_the_quantization_loss_covers_both_runs(tmp_path: Path) -> None:
    adapters = [open_adapter(FOLDER / "plain")]
    plan = plan_conversion(BASE, adapters, parse_outtype("Q8_0"))
    whole = merge(plan, tmp_path / "whole.gguf")
    stop_after_half(BASE, tmp_path / "out.gguf", FOLDER / "plain", "Q8_0")
    resumed = merge(plan, tmp_path / "out.gguf")
    assert resumed.added.keys() == whole.added.keys()
    assert resumed.ratio() == pytest.approx(whole.ratio())


def test_a_partial_of_other_inputs_is_not_resumed(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    Path(f"{output}.partial").write_bytes(b"nonsense")
    journal = 'another fingerprint\n{"name": "token_embd.weight", "first": 0, "count": 1}\n'
    Path(f"{output}.partial.journal").write_text(journal)
    convert_folder(BASE, "F32", output)
    convert_folder(BASE, "F32", tmp_path / "fresh.gguf")
    assert output.read_bytes() == (tmp_path / "fresh.gguf").read_bytes()


def test_weights_with_nan_are_named(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", "F32", **SHAPES["grouped"])
    tensor = read_safetensors(folder / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    with (folder / "model.safetensors").open("r+b") as handle:
        handle.seek(tensor.start + 4000)
        handle.write(np.float32(np.nan).tobytes())
    plan = plan_conversion(folder, [], parse_outtype("Q4_0"))
    with pytest.raises(ConvertError, match=r"blk\.1\.ffn_up\.weight contains NaN"):
        merge(plan, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
    merge(plan, tmp_path / "out.gguf", allow_nan=True)
    assert (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("number", "outtype", "fits"),
    [
        (1e5, "F16", False),
        (1e5, "BF16", True),
        (1e5, "Q8_0", True),
        (1e9, "Q8_0", False),
        (1e9, "Q4_K_M", False),
    ],
)
def test_a_number_that_overflows_the_outtype_is_named(
    number: float, outtype: str, fits: bool, tmp_path: Path
) -> None:
    """As BF16 can have; it became infinite in silence, and every answer NaN."""
    folder = random_folder(tmp_path / "model", "F32", **SHAPES["grouped"])
    tensor = read_safetensors(folder / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    with (folder / "model.safetensors").open("r+b") as handle:
        handle.seek(tensor.start + 4000)
        handle.write(np.float32(number).tobytes())
    output = tmp_path / "out.gguf"
    plan = plan_conversion(folder, [], parse_outtype(outtype))
    if fits:
        merge(plan, output)
        return
    with pytest.raises(ConvertError, match=r"blk\.1\.ffn_up\.weight has numbers up to 1e\+0"):
        merge(plan, output)
    assert not output.exists()


def test_the_base_is_never_overwritten(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["grouped"])
    before = (folder / "model.safetensors").read_bytes()
    plan = plan_conversion(folder, [], parse_outtype("Q8_0"))
    with pytest.raises(ConvertError, match="is one of the inputs"):
        merge(plan, folder / "model.safetensors")
    assert (folder / "model.safetensors").read_bytes() == before


def test_too_little_disk_is_refused_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_conversion(BASE, [], parse_outtype("F32"))
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(ConvertError, match="are free, but the output takes"):
        merge(plan, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("memory", [62_000_000, 80_000_000, 1_000_000_000])
def test_the_bytes_are_the_same_with_any_memory(memory: int, tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    plan = plan_conversion(folder, [], parse_outtype("Q4_K_M"))
    merge(plan, tmp_path / "out.gguf", memory=memory)
    merge(plan, tmp_path / "usual.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == (tmp_path / "usual.gguf").read_bytes()


def test_too_little_memory_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["wide"])
    plan = plan_conversion(folder, [], parse_outtype("Q4_K_M"))
    with pytest.raises(ConvertError, match=r"--max-ram 61M is too little .* it takes 6\dM"):
        merge(plan, tmp_path / "out.gguf", memory=61_000_000)
    with pytest.raises(ConvertError, match=r"--max-ram 1 is too little .* M or G is in bytes"):
        merge(plan, tmp_path / "out.gguf", memory=1)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500_000_000), ("1G", 10**9), ("1.5g", 1_500_000_000), ("7", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_full_disk_is_one_line_and_the_merge_resumes_later(tmp_path: Path) -> None:
    """The kernel refuses to enlarge the file, as with a full disk."""
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    output = tmp_path / "out.gguf"
    command = [sys.executable, "-m", "baize_convert", "merge", str(folder), "-o", str(output)]
    most = 300_000
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert not output.exists()
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert output.is_file()


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "notes.txt"])
def test_no_file_beside_the_weights_is_replaced_but_an_earlier_output(
    name: str, tmp_path: Path
) -> None:
    folder = random_folder(tmp_path / "base", **SHAPES["grouped"])
    (folder / "notes.txt").write_text("mine")
    before = (folder / name).read_bytes()
    plan = plan_conversion(folder, [], parse_outtype("F16"))
    with pytest.raises(ConvertError, match="is one of the inputs"):
        merge(plan, folder / name)
    assert (folder / name).read_bytes() == before
    for _ in range(2):
        merge(plan, folder / "model.gguf")


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "base", **SHAPES["grouped"])
    plan = plan_conversion(folder, [], parse_outtype("F16"))
    with pytest.raises(ConvertError, match=r"has 250 bytes, and at most \d+ are possible"):
        merge(plan, tmp_path / f"{'x' * 245}.gguf")
