"""``inspect``: descriptions of folders and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.inspect import AdapterDescription, describe
from baize_convert.merge import merge
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from tests.convert.make_goldens import BASE, FOLDER


def test_each_kind_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.gguf"
    merge(plan_conversion(BASE, [], parse_outtype("Q8_0")), output)
    assert run(["inspect", str(output), "--json"]) == 0
    model = json.loads(capsys.readouterr().out)
    assert (model["kind"], model["file_type"]) == ("GGUF model", "MOSTLY_Q8_0")
    assert model["tensors"] == {"Q8_0": 13, "F32": 5, "F16": 2}
    assert run(["inspect", str(FOLDER / "patterns")]) == 0
    adapter = capsys.readouterr().out
    assert "kind: PEFT adapter" in adapter
    assert "ranks: 2, 3, 4" in adapter
    assert run(["inspect", str(BASE)]) == 0
    assert "tied: True" in capsys.readouterr().out
    assert run(["inspect", str(tmp_path / "nowhere")]) == 1


@given(st.data())
def test_a_damaged_gguf_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    raw = data.draw(st.binary(max_size=64))
    (folder / "x.gguf").write_bytes(b"GGUF" + raw)
    assert run(["inspect", str(folder / "x.gguf")]) in (0, 1)


def test_what_is_on_the_hub_is_described_by_other_commands() -> None:
    with pytest.raises(ConvertError) as refused:
        describe(Path("hf:owner/name"))
    assert "'baize-convert plan hf:owner/name' shows a model" in str(refused.value)
    assert "--adapter hf:owner/name' an adapter" in str(refused.value)


def test_an_adapter_has_its_scales() -> None:
    description = describe(FOLDER / "rslora")
    assert isinstance(description, AdapterDescription)
    assert description.scales == [4.0]
