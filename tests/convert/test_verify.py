"""``verify``: tokens and predictions of a file, compared with its source."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from baize_convert.cli.program import run
from baize_convert.parity.source_tokenizers import open_source_tokenizer
from baize_convert.parity.tokenizers import compare_tokenizers
from baize_convert.verify.predictions import compare_logits
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import convert_folder, random_folder
from tests.convert.sentencepiece_models import PIECES, train_sentencepiece
from tests.convert.smollm2_folder import write_first_tokens
from tests.convert.test_vocabulary import SHAPE

TOKENS = 96


def run_verify(*arguments: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["verify", *map(str, arguments), "--tokens", str(TOKENS), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.sweep
def test_fewer_bits_differ_more_from_the_source(
    smollm2_folder: Path, smollm2_f32: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {}
    for outtype, base in (("Q8_0", smollm2_folder), ("Q2_K", smollm2_f32)):
        file = tmp_path / f"{outtype}.gguf"
        convert_folder(smollm2_folder, outtype, file)
        result[outtype] = run_verify(file, "--base", base, capsys=capsys)
        assert result[outtype]["tokenizer"]["equal"] == result[outtype]["tokenizer"]["lines"]
        assert result[outtype]["tokens"] == TOKENS
    fine, coarse = result["Q8_0"], result["Q2_K"]
    assert fine["source_perplexity"] == coarse["source_perplexity"] > 1
    assert 0 < fine["mean_kl"] < 0.05 < coarse["mean_kl"]
    assert coarse["same_top"] < fine["same_top"] <= 1
    assert coarse["result_perplexity"] > fine["result_perplexity"]
    assert list(tmp_path.glob(".verify*")) == []


def test_a_file_does_not_differ_from_itself(tmp_path: Path) -> None:
    convert_folder(BASE, "F32", tmp_path / "f32.gguf")
    result = compare_logits(tmp_path / "f32.gguf", tmp_path / "f32.gguf", TOKENS)
    assert result.same_top == 1
    assert result.mean_kl == pytest.approx(0, abs=1e-6)
    assert not str(result.mean_kl).startswith("-")
    assert not str(result.highest_kl).startswith("-")
    assert result.result_perplexity == result.source_perplexity


def test_the_adapter_is_part_of_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert_folder(BASE, "F32", tmp_path / "merged.gguf", FOLDER / "embedding")
    arguments = (tmp_path / "merged.gguf", "--base", BASE)
    with_it = run_verify(*arguments, "--adapter", FOLDER / "embedding", capsys=capsys)
    without = run_verify(*arguments, capsys=capsys)
    assert with_it["mean_kl"] < 1e-6 < without["mean_kl"]


def test_a_wrong_pre_tokenizer_is_detected(
    smollm2_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first tokens of the real vocabulary in a small model."""
    base = random_folder(tmp_path / "model", **{**SHAPE, "vocab_size": 4000})
    write_first_tokens(smollm2_folder, base, 4000)
    wrong = tmp_path / "wrong.gguf"
    arguments = ["merge", str(base), "--pre", "tekken", "-o", str(wrong)]
    assert run(arguments) == 1
    captured = capsys.readouterr()
    assert "--allow-tokenizer-difference writes the file" in captured.err
    assert "source [" in captured.err
    assert list(tmp_path.glob("wrong*")) == []
    assert run([*arguments, "--allow-tokenizer-difference"]) == 0
    assert "otherwise than the tokenizer in" in capsys.readouterr().err
    assert run(["verify", str(wrong), "--base", str(base), "--tokens", "16"]) == 1
    captured = capsys.readouterr()
    assert "its tokenizer is not that of" in captured.err
    assert "  source [" in captured.out


def test_a_replaced_template_is_that_of_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the option, the file that ``merge`` had proven right was said to be wrong."""
    base = Path(shutil.copytree(BASE, tmp_path / "base"))
    (base / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    (tmp_path / "mine.jinja").write_text("mine: {{ messages[-1].content }}")
    result, template = tmp_path / "out.gguf", ["--chat-template", str(tmp_path / "mine.jinja")]
    assert run(["merge", str(base), "--outtype", "F16", "-o", str(result), *template]) == 0
    verify = ["verify", str(result), "--base", str(base), "--tokens", "16"]
    assert run([*verify, *template]) == 0
    capsys.readouterr()
    assert run(verify) == 1
    assert "1 of " in capsys.readouterr().err


def test_a_gguf_is_its_own_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert_folder(BASE, "F32", tmp_path / "base.gguf")
    convert_folder(tmp_path / "base.gguf", "Q8_0", tmp_path / "small.gguf")
    result = run_verify(tmp_path / "small.gguf", "--base", tmp_path / "base.gguf", capsys=capsys)
    assert result["tokenizer"]["differences"] == []
    assert result["tokenizer"]["template_failure"] is None


def test_sentencepiece_is_split_as_its_own_library_splits_it(tmp_path: Path) -> None:
    """A vocabulary that SentencePiece trained on the text of ``verify`` itself."""
    folder = random_folder(tmp_path / "model", "F32", **{**SHAPE, "vocab_size": PIECES})
    (folder / "tokenizer.json").unlink()
    train_sentencepiece(folder / "tokenizer.model")
    convert_folder(folder, "F32", tmp_path / "out.gguf")
    with open_source_tokenizer(folder) as source_tokenizer:
        parity = compare_tokenizers(source_tokenizer, tmp_path / "out.gguf")
    assert parity.lines > 20
    assert parity.differences == ()


def test_a_file_that_is_not_a_model_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.gguf").write_bytes(b"GGUF" + bytes(100))
    assert run(["verify", str(tmp_path / "none.gguf"), "--base", str(BASE)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
