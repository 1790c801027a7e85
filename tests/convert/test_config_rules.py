"""Which configs are converted, and as what; all others are refused by the name of the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.opening import open_base
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.architectures import MODEL_CLASSES
from baize_convert.sources.config_rules import check_rules
from baize_convert.sources.model_config import ModelConfig, read_config
from baize_convert.sources.rope import rope_factors
from baize_convert.sources.tensors import StoredTensor
from tests.convert.model_folders import (
    LLAMA3,
    SHAPES,
    convert_folder,
    file_digests,
    random_folder,
    read_safetensors,
    to_bytes,
    write_safetensors,
)

LLAMA, QWEN2 = "LlamaForCausalLM", "Qwen2ForCausalLM"
TWO_BETAS = {"rope_type": "yarn", "factor": 4.0, "beta_fast": 24, "beta_slow": 1}


def checked_config(folder: Path, **fields: Any) -> ModelConfig:
    (folder / "config.json").write_text(json.dumps(fields))
    config = read_config(folder)
    check_rules(folder / "config.json", config)
    return config


@pytest.mark.parametrize("known", MODEL_CLASSES, ids=lambda known: known.model_types[0])
def test_architectures_decide_and_without_them_model_type(known: Any, tmp_path: Path) -> None:
    for name in known.names:
        assert checked_config(tmp_path, architectures=[name]).model_class == known
    for model_type in known.model_types:
        assert checked_config(tmp_path, model_type=model_type).model_class == known
        config = checked_config(tmp_path, architectures=None, model_type=model_type)
        assert config.architecture == known.architecture


@pytest.mark.parametrize(
    ("architectures", "model_type", "wrong"),
    [
        ([LLAMA], "gemma2", "architectures says LlamaForCausalLM, but model_type says gemma2"),
        ([LLAMA], "mistral", "architectures says LlamaForCausalLM, but model_type says mistral"),
        ([QWEN2], "qwen2_moe", "architectures says Qwen2ForCausalLM, .* says qwen2_moe"),
        ([], "gemma", "the architecture gemma cannot be converted; known: LlamaForCausalLM, Mis"),
        (None, "granitemoe", "the architecture granitemoe cannot"),
        (None, "olmo3", "the architecture olmo3 cannot"),
        (None, "gemma3n", "the architecture gemma3n cannot"),
        (["Gemma3TextModel"], "gemma3_text", "the architecture Gemma3TextModel cannot"),
        (["GemmaForCausalLM"], "gemma", "the architecture GemmaForCausalLM cannot"),
        (["Gemma3nForConditionalGeneration"], "gemma3n", "Gemma3nForConditionalGeneration cannot"),
        (["PhiMoEForCausalLM"], "phimoe", "the architecture PhiMoEForCausalLM cannot"),
        (["Qwen3MoeForCausalLM"], "qwen3_moe", "the architecture Qwen3MoeForCausalLM cannot"),
        (["Llama4ForConditionalGeneration"], "llama4", "Llama4ForConditionalGeneration cannot"),
        (["LlamaForSequenceClassification"], "llama", "LlamaForSequenceClassification cannot"),
        (None, None, "no architectures and no model_type"),
    ],
)
def test_no_other_architecture_becomes_one_of_these(
    architectures: Any, model_type: Any, wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(ConvertError, match=wrong):
        checked_config(tmp_path, architectures=architectures, model_type=model_type)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "llama",
        {"hidden_act": "gelu"},
        "hidden_act is gelu, but .* computes only silu",
    ),
    ("llama", {"is_causal": False}, "is_causal is False"),
    ("llama", {"rope_scaling": {"type": "ntk", "factor": 2.0}}, "RoPE of the type ntk"),
    ("llama", {"rope_scaling": {"type": "linear"}}, "type linear has the factor None"),
    ("llama", {"rope_scaling": {"rope_type": "longrope"}}, "RoPE of the type longrope"),
    ("mistral", {"rope_scaling": TWO_BETAS}, "beta_fast of YaRN is 24.0, .* computes only 32"),
    (
        "qwen2",
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "truncate": False}},
        "truncate of YaRN is False",
    ),
    ("qwen2", {"rope_scaling": SHAPES["biased"]["rope_parameters"]}, "RoPE of the type llama3"),
    *(
        (
            "llama",
            {"rope_scaling": {**LLAMA3, field: None}},
            f"RoPE of the type llama3 has no {field}",
        )
        for field in ("factor", "low_freq_factor", "high_freq_factor")
    ),
    *(
        (model_type, {"rope_parameters": {"full_attention": LLAMA3}}, "for each kind of layer")
        for model_type in ("llama", "qwen3", "gemma2")
    ),
    ("qwen2", {"head_dim": 96}, "head_dim is 96, but .* qwen2 computes only .*, 128"),
    ("qwen2", {"layer_types": ["linear_attention"] * 32}, "layer_types has linear_attention"),
    ("qwen3", {"attention_bias": True}, "attention_bias is True, .* computes only False"),
    ("smollm3", {"mlp_bias": True}, "mlp_bias is True"),
    ("smollm3", {"no_rope_layers": [1] * 36}, "leaves out RoPE in every fourth layer"),
    ("smollm3", {"no_rope_layer_interval": 6}, "leaves out RoPE in every fourth layer"),
    ("smollm3", {"no_rope_layer_interval": 0}, "leaves out RoPE in every fourth layer"),
    ("granite", {"head_dim": 96}, "head_dim is 96"),
    ("granite", {"attention_multiplier": 0.0}, "attention_multiplier is 0.0"),
    ("gemma2", {"hidden_activation": "gelu"}, "hidden_activation is gelu"),
    ("gemma2", {"attention_bias": True}, "attention_bias is True"),
    ("gemma2", {"attn_logit_softcapping": None}, "attn_logit_softcapping is None"),
    ("gemma2", {"final_logit_softcapping": None}, "final_logit_softcapping is None"),
    (
        "gemma2",
        {"query_pre_attn_scalar": 144},
        "query_pre_attn_scalar is 144, .* computes only 256",
    ),
    ("gemma2", {"layer_types": ["full_attention"] * 26}, "attends to all tokens in every layer"),
    ("gemma2", {"layer_types": ["full_attention"] * 3}, "layer_types has 3 entries for 26 layers"),
    ("gemma2", {"sliding_window": None}, "sliding_window is null"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    ("gemma2", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "RoPE of the type linear"),
    ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
    ("gemma3_text", {"sliding_window_pattern": 4}, "attends to all tokens in every layer"),
    ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    (
        "gemma3_text",
        {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
        "RoPE of layers with a window is of the type linear",
    ),
    ("phi3", {"partial_rotary_factor": 1.5}, "cannot rotate a part of 1.5 of a head"),
    ("phi3", {"rope_scaling": {"type": "longrope", "short_factor": [1.0]}}, "needs 48 numbers"),
    ("phi3", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "RoPE of the type linear"),
    ("phi3", {"sliding_window": -1}, "sliding_window is -1"),
    ("phi3", {"head_dim": 64}, "head_dim is 64"),
    ("olmo2", {"attention_bias": True}, "attention_bias is True"),
    ("olmo2", {"tie_word_embeddings": True}, "tie_word_embeddings is True"),
]


@pytest.mark.parametrize(("model_type", "fields", "wrong"), REFUSED)
def test_what_llama_cpp_would_compute_otherwise_is_refused_by_name(
    model_type: str, fields: dict[str, Any], wrong: str, tmp_path: Path
) -> None:
    checked_config(tmp_path, model_type=model_type)
    with pytest.raises(ConvertError, match=wrong) as error:
        checked_config(tmp_path, model_type=model_type, **fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        ("llama", {"sliding_window": 8, "layer_types": ["chunked_attention"]}),
        ("mistral", {"sliding_window": None, "head_dim": None, "attention_bias": True}),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 8, "rope_scaling": None}),
        ("smollm3", {"no_rope_layers": [1, 1, 1, 0] * 10, "sliding_window": None}),
        ("gemma3_text", {"layer_types": ["full_attention"] * 26, "sliding_window": None}),
        ("phi3", {"attention_bias": True, "rope_scaling": None, "sliding_window": None}),
        ("olmo2", {"clip_qkv": None, "mlp_bias": True}),
    ],
)
def test_fields_that_the_class_does_not_read_mean_nothing(
    model_type: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    checked_config(tmp_path, model_type=model_type, **fields)


@pytest.mark.parametrize(
    ("shape", "fields", "warning"),
    [
        ("phi3_short", {"sliding_window": 100}, "attends to the last 100 tokens (sliding_window)"),
        ("phi3_short", {"sliding_window": None}, ""),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 100, "max_window_layers": 1},
            "attends to the last 100 tokens (sliding_window), but llama.cpp's qwen2",
        ),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 100, "max_window_layers": 2},
            "",
        ),
        (
            "grouped",
            {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
            "attends to the last 4096 tokens (sliding_window), but llama.cpp's llama",
        ),
        (
            "grouped",
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "does not compute the model's dynamic RoPE",
        ),
        ("grouped", {"sliding_window": 100}, ""),
        (
            "phi3",
            {"original_max_position_embeddings": 4096},
            "with more than 4096 tokens in it, its answers to shorter texts differ",
        ),
        (
            "phi3",
            {
                "original_max_position_embeddings": 4096,
                "rope_scaling": {
                    "type": "longrope",
                    "short_factor": [2.0] * 24,
                    "long_factor": [2.0] * 24,
                },
            },
            "",
        ),
    ],
)
def test_differences_that_depend_on_the_length_are_warned_about(
    shape: str,
    fields: dict[str, Any],
    warning: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = random_folder(tmp_path / "model", **{**SHAPES[shape], **fields})
    assert run(["plan", str(folder), "--outtype", "Q4_0"]) == 0
    printed = capsys.readouterr()
    assert warning in printed.err + printed.out
    assert bool(warning) == ("its answers to" in printed.err + printed.out)


@pytest.mark.parametrize(
    ("shape", "code", "is_reported"),
    [
        ("grouped", "modeling_llama_yarn.LlamaForCausalLM", True),
        ("phi3_short", "microsoft/Phi-3-mini--modeling_phi3.Phi3ForCausalLM", False),
    ],
)
def test_code_of_the_model_itself_is_reported(
    shape: str, code: str, is_reported: bool, tmp_path: Path
) -> None:
    """It may rotate or attend in another way, and the output answered differently in silence."""
    auto_map = {"AutoConfig": "configuration.Config", "AutoModelForCausalLM": code}
    folder = random_folder(tmp_path / "model", **SHAPES[shape], auto_map=auto_map)
    warnings = plan_conversion(folder, [], parse_outtype("F32")).warnings
    named = [warning for warning in warnings if f"(auto_map: {code}), which is not read" in warning]
    assert bool(named) == is_reported


def test_biases_are_those_that_the_config_says(tmp_path: Path) -> None:
    """transformers ignores others, and initializes missing ones at random."""
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_bias": False}))
    with pytest.raises(ConvertError, match=r"gives this module no bias.*transformers ignores it"):
        open_base(folder)
    (folder / "config.json").write_text(json.dumps({**config, "mlp_bias": True}))
    with pytest.raises(ConvertError, match=r"mlp\.gate_proj\.bias is missing"):
        open_base(folder)


LINEAR = {"rope_type": "linear", "factor": 4.0}


@pytest.mark.parametrize(
    ("model_type", "fields", "rope"),
    [
        ("qwen2", {"rope_scaling": {}, "rope_parameters": LINEAR}, LINEAR),
        (
            "gemma3_text",
            {"rope_scaling": {}, "rope_parameters": {"full_attention": LINEAR}},
            LINEAR,
        ),
        (
            "gemma3_text",
            {"rope_scaling": {"factor": 2.0}, "rope_parameters": {"full_attention": LINEAR}},
            {**LINEAR, "factor": 2.0},
        ),
        ("llama", {"rope_scaling": {**LINEAR, "attn_factor": 3.0}}, {"attention_factor": None}),
    ],
)
def test_two_descriptions_of_a_rope_count_as_in_transformers(
    model_type: str, fields: dict[str, Any], rope: dict[str, Any], tmp_path: Path
) -> None:
    config = checked_config(tmp_path, model_type=model_type, **fields)
    assert {name: getattr(config.rope, name) for name in rope} == rope


def test_the_length_that_llama_3_was_trained_with_is_that_of_the_model_by_default(
    tmp_path: Path,
) -> None:
    """As in transformers; llama.cpp's converter takes 8,192."""
    given = {**LLAMA3, "original_max_position_embeddings": 32}
    unknown = {**LLAMA3, "original_max_position_embeddings": None}
    wanted = checked_config(tmp_path, model_type="llama", rope_scaling=given)
    config = checked_config(
        tmp_path, model_type="llama", rope_scaling=unknown, max_position_embeddings=32
    )
    factors, wanted_factors = rope_factors(config), rope_factors(wanted)
    assert factors is not None
    assert wanted_factors is not None
    assert np.array_equal(factors, wanted_factors)


def test_an_attention_factor_of_yarn_is_written_where_llama_cpp_reads_it(tmp_path: Path) -> None:
    scaling = {**SHAPES["yarn"]["rope_scaling"], "attention_factor": 1.2}
    folder = random_folder(tmp_path / "model", **{**SHAPES["yarn"], "rope_scaling": scaling})
    output = tmp_path / "out.gguf"
    assert run(["merge", str(folder), "--outtype", "F32", "--output", str(output)]) == 0
    factor = GGUFReader(output).fields["llama.rope.scaling.attn_factor"].contents()
    assert factor == pytest.approx(1.2 / 1.1386294)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
@pytest.mark.parametrize("name", [["Gemma3ForConditionalGeneration"], None])
def test_the_text_part_of_gemma_3_is_converted_like_a_model_of_text(
    name: list[str] | None, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the names of older and newer versions of transformers, and without ``architectures``."""
    folder = random_folder(tmp_path / "model", **SHAPES["gemma3"])
    convert_folder(folder, "F32", tmp_path / "text.gguf")
    text = json.loads((folder / "config.json").read_text())
    tensors = {
        name.replace("model.", prefix, 1): (tensor.dtype, tensor.shape, bytes_of(tensor))
        for name, tensor in read_safetensors(folder / "model.safetensors").items()
    }
    vision = ("F32", (2, 2), bytes(16))
    tensors |= {"vision_tower.head.weight": vision, "model.multi_modal_projector.norm": vision}
    write_safetensors(folder / "model.safetensors", tensors)
    config: dict[str, Any] = {"architectures": name, "model_type": "gemma3", "vision_config": {}}
    (folder / "config.json").write_text(json.dumps({**config, "text_config": text}))
    output = tmp_path / "out.gguf"
    assert run(["merge", str(folder), "--outtype", "F32", "--output", str(output)]) == 0
    assert "the vision part of the model is left out" in capsys.readouterr().err
    assert file_digests(output) == file_digests(tmp_path / "text.gguf")


def bytes_of(tensor: StoredTensor) -> bytes:
    return to_bytes(tensor.read_all(), tensor.dtype)
