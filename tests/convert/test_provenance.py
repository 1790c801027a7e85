"""The keys that say what a file is made of, and how to chat with it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from baize_convert.cli.program import run
from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.plan import ConversionOptions, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_shared.trained_prompt import TrainedPrompt, write_trained_prompt
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import SHAPES, llama_quantize, random_folder


def keys(file: Path, prefix: str) -> dict[str, Any]:
    fields = GGUFReader(file).fields
    return {
        name.removeprefix(prefix): field.contents()
        for name, field in fields.items()
        if name.startswith(prefix)
    }


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_base_and_adapters_are_named_and_hashed(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    adapters = [open_adapter(FOLDER / "patterns"), open_adapter(FOLDER / "plain", 0.5)]
    merge(plan_conversion(BASE, adapters, parse_outtype("Q4_0")), output)
    written = keys(output, "baize.convert.")
    assert written["base.files"] == ["model.safetensors"]
    assert written["base.sha256"] == [sha256(BASE / "model.safetensors")]
    assert written["adapter.0.name"] == "patterns"
    assert written["adapter.0.sha256"] == sha256(FOLDER / "patterns" / "adapter_model.safetensors")
    assert written["adapter.0.scales"] == pytest.approx([1.0, 2.0, 4.0, 32 / 3])
    assert written["adapter.1.weight"] == 0.5
    assert written["merge_dtype"] == "f32"
    assert keys(output, "general.")["name"] == "Patterns + Plain"
    assert keys(output, "general.base_model.") == {"count": 1, "0.name": "Base"}


def test_keys_of_a_gguf_base_are_copied_but_not_its_history(tmp_path: Path) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    merge(plan_conversion(BASE, [open_adapter(FOLDER / "plain")], parse_outtype("F32")), first)
    rslora = [open_adapter(FOLDER / "rslora")]
    merge(plan_conversion(first, rslora, parse_outtype("Q8_0")), second)
    written = keys(second, "baize.convert.")
    assert written["base.sha256"] == [sha256(first)]
    assert written["adapter.0.name"] == "rslora"
    assert "adapter.1.name" not in written
    assert keys(second, "general.")["name"] == "Rslora"
    assert keys(second, "general.base_model.") == {"count": 1, "0.name": "Plain"}
    assert keys(second, "tokenizer.") == keys(first, "tokenizer.")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("outtype", ["Q4_K_M", "Q8_0", "IQ4_NL", "Q2_K"])
def test_strict_writes_the_bytes_of_llama_quantize(outtype: str, tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    f32, ours, theirs = (tmp_path / f"{name}.gguf" for name in ("f32", "ours", "theirs"))
    merge(plan_conversion(folder, [], parse_outtype("F32"), ConversionOptions(strict=True)), f32)
    assert run(["merge", str(folder), "--outtype", outtype, "--strict", "-o", str(ours)]) == 0
    llama_quantize(f32, theirs, int(parse_outtype(outtype).file_type))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_template_and_stop_strings(tmp_path: Path) -> None:
    template = tmp_path / "baize.jinja"
    template.write_text("[|Human|]{{ messages[0].content }}\n[|AI|]", "utf-8")
    output = tmp_path / "out.gguf"
    prompt = ["--chat-template", str(template), "--stop", "[|Human|]", "--stop", "[|AI|]"]
    assert run(["merge", str(BASE), *prompt, "--prompt-format", "baize", "-o", str(output)]) == 0
    assert keys(output, "tokenizer.")["chat_template"] == template.read_text()
    assert keys(output, "baize.")["stop"] == '["[|Human|]","[|AI|]"]'
    assert keys(output, "baize.")["prompt_format"] == "baize"
    # The same for a GGUF as a base, which has a template already.
    template.write_text("{{ messages }}", "utf-8")
    again = tmp_path / "again.gguf"
    assert run(["merge", str(output), "--chat-template", str(template), "-o", str(again)]) == 0
    assert keys(again, "tokenizer.")["chat_template"] == "{{ messages }}"


def test_a_prompt_format_that_the_chat_lacks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chat would have used the template of the model, without a word."""
    output = tmp_path / "out.gguf"
    assert run(["merge", str(BASE), "--prompt-format", "bazie", "-o", str(output)]) == 1
    assert "no prompt format 'bazie'; it has template, baize, chatml" in capsys.readouterr().err
    assert not output.exists()


def test_the_prompt_of_training_goes_into_the_file(tmp_path: Path) -> None:
    adapter = shutil.copytree(FOLDER / "plain", tmp_path / "lora")
    write_trained_prompt(TrainedPrompt("chatml", ""), adapter)
    output = tmp_path / "out.gguf"
    assert run(["merge", str(BASE), "--adapter", f"{adapter}=0.5", "-o", str(output)]) == 0
    assert keys(output, "baize.")["prompt_format"] == "chatml"
    assert keys(output, "baize.")["system"] == '""'


def test_a_model_card_gives_name_licence_and_base_model(tmp_path: Path) -> None:
    """Read by the gguf package, as llama.cpp's converter does."""
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    card = "---\nlicense: apache-2.0\nlanguage: [en, zh]\nbase_model: owner/Some-Model-1B\n---\n"
    (folder / "README.md").write_text(card)
    merge(plan_conversion(folder, [], parse_outtype("Q8_0")), tmp_path / "out.gguf")
    written = keys(tmp_path / "out.gguf", "general.")
    assert written["license"] == "apache-2.0"
    assert written["languages"] == ["en", "zh"]
    assert written["base_model.0.repo_url"].endswith("owner/Some-Model-1B")


@pytest.mark.parametrize(
    "head", ["license: [unclosed", "base_model: : x", "? {a: b}: c", "\t\tx: :"]
)
def test_a_card_that_is_not_yaml_is_reported_and_not_used(head: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BASE, tmp_path / "base"))
    merge(plan_conversion(folder, [], parse_outtype("F32")), tmp_path / "tidy.gguf")
    (folder / "README.md").write_text(f"---\n{head}\n---\nA model.\n")
    plan = plan_conversion(folder, [], parse_outtype("F32"))
    merge(plan, tmp_path / "out.gguf")
    assert sha256(tmp_path / "out.gguf") == sha256(tmp_path / "tidy.gguf")
    (warning,) = plan.warnings
    assert "README.md is not used: its head is not YAML" in warning
    assert "\n" not in warning
