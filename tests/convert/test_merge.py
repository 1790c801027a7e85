"""The output of a merge, byte by byte, compared with llama.cpp's converter and llama-quantize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from baize_convert.cli.program import run
from baize_convert.quantization.outtypes import OUTTYPES, parse_outtype
from baize_convert.sources.model_config import read_config
from baize_convert.sources.rope import rope_factors
from baize_tui.chat.formats import system_prompt
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Generate, Load, Prompt, PromptMessage
from baize_tui.settings import DEFAULT_SYSTEM, Sampling
from tests.convert.make_goldens import BASE
from tests.convert.model_folders import (
    SHAPES,
    convert_folder,
    file_digests,
    llama_quantize,
    random_folder,
    read_keys,
    read_safetensors,
    read_tensors,
    references,
)
from tests.sweeps import swept


def test_smollm2_equals_the_output_of_llama_cpp(smollm2_f32: Path) -> None:
    """Compared with llama.cpp's own converter; see make_references.py."""
    assert file_digests(smollm2_f32) == references()["smollm2"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_random_model_equals_the_output_of_llama_cpp(shape: str, tmp_path: Path) -> None:
    convert_folder(random_folder(tmp_path / "model", **SHAPES[shape]), "F32", tmp_path / "f32.gguf")
    assert file_digests(tmp_path / "f32.gguf") == references()[shape]


@pytest.mark.sweep
@pytest.mark.parametrize("outtype", OUTTYPES)
def test_smollm2_is_quantized_as_llama_quantize_does(
    outtype: str, smollm2_folder: Path, smollm2_f32: Path, tmp_path: Path
) -> None:
    convert_folder(smollm2_folder, outtype, tmp_path / "ours.gguf")
    llama_quantize(smollm2_f32, tmp_path / "theirs.gguf", int(parse_outtype(outtype).file_type))
    assert read_tensors(tmp_path / "ours.gguf") == read_tensors(tmp_path / "theirs.gguf")


SMALL: dict[str, Any] = {
    **SHAPES["biased"],
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
"""A fifth of the weights of ``biased``; the columns are blocks of K-quants, too."""


@pytest.mark.parametrize("shape", swept(["small", *SHAPES], "small"))
def test_every_outtype_is_quantized_as_llama_quantize_does(shape: str, tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **{"small": SMALL, **SHAPES}[shape])
    convert_folder(folder, "F32", tmp_path / "f32.gguf")
    for outtype in OUTTYPES.values():
        convert_folder(folder, outtype.name, tmp_path / "ours.gguf")
        llama_quantize(tmp_path / "f32.gguf", tmp_path / "theirs.gguf", int(outtype.file_type))
        ours, theirs = read_tensors(tmp_path / "ours.gguf"), read_tensors(tmp_path / "theirs.gguf")
        assert ours == theirs, outtype.name
        assert read_keys(tmp_path / "ours.gguf") == read_keys(tmp_path / "theirs.gguf")


def test_rows_of_q_and_k_and_their_biases_are_interleaved(tmp_path: Path) -> None:
    shape = {**SHAPES["biased"], "dtype": "F32"}
    folder = random_folder(tmp_path / "model", **shape)
    convert_folder(folder, "F32", tmp_path / "out.gguf")
    source = read_safetensors(folder / "model.safetensors")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    weight = source["model.layers.1.self_attn.k_proj.weight"].read_all()
    bias = source["model.layers.1.self_attn.k_proj.bias"].read_all()
    # As a formula of its own: pairs of a head's halves become neighbours.
    order = [64 * head + half * 32 + i for head in range(8) for i in range(32) for half in (0, 1)]
    assert np.array_equal(written["blk.1.attn_k.weight"], weight[order])
    assert np.array_equal(written["blk.1.attn_k.bias"], bias[order])
    assert written["blk.1.attn_k.bias"].shape == (512,)


def test_the_factors_of_llama_3(tmp_path: Path) -> None:
    """The three regions, at wavelengths where each is known."""
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    factors = rope_factors(read_config(folder))
    assert factors is not None
    assert factors.shape == (32,)
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert (np.diff(factors) >= 0).all()


def test_the_converted_model_answers(
    smollm2_folder: Path, tmp_path: Path, abort: AbortFlag
) -> None:
    convert_folder(smollm2_folder, "Q8_0", tmp_path / "smollm2.gguf")
    engine = LlamaEngine(Load(0, str(tmp_path / "smollm2.gguf"), context=512, threads=2), abort)
    messages = [
        PromptMessage("system", system_prompt(DEFAULT_SYSTEM, moderation=True)),
        PromptMessage("user", "What is the capital of France?"),
    ]
    request = Generate(0, Prompt(messages), Sampling(temperature=0), max_tokens=20)
    finished = [event for event in engine.generate(request) if isinstance(event, Finished)]
    engine.close()
    assert "Paris" in finished[0].text


def test_the_engine_reads_the_prompt_format_in_the_file(tmp_path: Path, abort: AbortFlag) -> None:
    """The engine reads the keys that ``--prompt-format`` and ``--stop`` write."""
    file = tmp_path / "out.gguf"
    options = ["--outtype", "Q4_0", "--prompt-format", "baize", "--stop", "[|Human|]", "-o"]
    assert run(["merge", str(BASE), *options, str(file)]) == 0
    engine = LlamaEngine(Load(0, str(file), context=64, threads=1), abort)
    loaded = engine.loaded
    engine.close()
    assert (loaded.prompt_format, loaded.stop) == ("baize", ["[|Human|]"])
