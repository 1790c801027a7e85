"""The commands of ``baize-convert``: results, failures and exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from baize_convert.cli.program import run
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_tensors


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = str(FOLDER / "plain")
    assert run(["plan", str(BASE), "--adapter", adapter, "--outtype", "q4_0", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    output = tmp_path / "out.gguf"
    arguments = ["merge", str(BASE), "--adapter", f"{adapter}=0.5", "--outtype", "q4_0"]
    assert run([*arguments, "--output", str(output), "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert planned["bytes"] == merged["bytes"] == output.stat().st_size
    assert merged["survival"]["blk.0.attn_q.weight"] > 0
    types = {tensor["name"]: tensor["type"] for tensor in planned["tensors"]}
    assert types == {name: type for name, (type, _) in read_tensors(output).items()}


def test_a_failure_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(tmp_path / "nowhere")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"baize-convert: {tmp_path / 'nowhere'}: no such folder and no such file; a model is a "
        "Hugging Face folder, a GGUF file or hf:owner/name\n"
    )
    assert run(["plan", str(BASE), "--outtype", "Q9"]) == 1
    assert "known: F32" in capsys.readouterr().err
    assert run(["plan"]) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["merge", str(BASE), "--outtype", "F32"],
        ["adapter", str(FOLDER / "plain"), "--base", str(BASE)],
    ],
)
def test_a_pipe_or_a_device_is_never_replaced(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pipe"
    os.mkfifo(output)
    assert run([*command, "--output", str(output)]) == 1
    assert f"{output} is not an ordinary file" in capsys.readouterr().err
    assert output.is_fifo()
    assert list(tmp_path.iterdir()) == [output]
