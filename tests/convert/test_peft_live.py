"""PEFT itself beside ``baize-convert``, where PyTorch is installed: wide enough for the K-quants.

The goldens of ``make_goldens.py`` are of a model 32 wide; here is one of 512, merged anew by the
PEFT that is installed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from baize_convert.failures import ConvertError
from baize_convert.lora.peft_config import (
    FIELDS_WITHOUT_EFFECT,
    REFUSED_FIELDS,
    AdapterConfig,
    read_adapter_config,
)
from baize_convert.lora.scaling import module_scale
from baize_convert.merge import merge
from baize_convert.opening import open_adapter, open_base
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from tests.convert.adapter_kinds import Made, make_adapter, make_tied_base
from tests.convert.adapter_matrix import Cell, adapter_folder, check_tensors
from tests.convert.make_goldens import BASE, KINDS, adapt, untie
from tests.convert.model_folders import (
    llama_quantize,
    read_safetensors,
    read_tensors,
    to_bytes,
    write_safetensors,
)
from tests.sweeps import swept

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
get_pattern_key = pytest.importorskip("peft.utils.other").get_pattern_key
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.training
SHAPE = {
    "hidden_size": 512,
    "intermediate_size": 768,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 300,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((BASE / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# The golden values of every kind, without K-quants, are checked each time in test_adapter_merge.py.
EVERY_TIME = ("plain", "dora", "embedding", "tokens", "resized_embedding", "untied_head")


@pytest.mark.parametrize("kind", swept(KINDS, *EVERY_TIME))
def test_the_merge_of_peft_and_its_quantized_bytes(kind: str, tmp_path: Path) -> None:
    biases = kind in ("lora_bias", "trained_biases", "lora_only_biases", "untied_head")
    options = {"attention_bias": biases, "mlp_bias": biases, "tie_word_embeddings": not biases}
    torch.manual_seed(2)
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, **options))
    save(base, tmp_path / "base")
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    model = adapt(base, kind)
    model.save_pretrained(tmp_path / "adapter")
    if not biases and kind != "tokens":
        untie(model)
    merged = model.merge_and_unload()
    if not biases and kind != "tokens":
        merged.config.tie_word_embeddings = False
    save(merged, tmp_path / "merged")
    adapters = [open_adapter(tmp_path / "adapter")]

    wanted = open_base(tmp_path / "merged").tensors
    ours = tmp_path / "ours.gguf"
    merge(plan_conversion(tmp_path / "base", adapters, parse_outtype("F32")), ours)
    for name, tensor in open_base(ours).tensors.items():
        theirs = wanted[name].read_all()
        assert np.abs(tensor.read_all() - theirs).max() <= 2e-6 * np.abs(theirs).max(), name

    merge(plan_conversion(tmp_path / "base", adapters, parse_outtype("Q4_K_M")), ours)
    our_tensors = read_tensors(ours)
    if (
        "output.weight" not in our_tensors
    ):  # PEFT wrote a head of its own, which is still the embedding
        tie(tmp_path / "merged")
    merge(plan_conversion(tmp_path / "merged", [], parse_outtype("F32")), tmp_path / "f32.gguf")
    quantized = tmp_path / "theirs.gguf"
    llama_quantize(tmp_path / "f32.gguf", quantized, int(parse_outtype("Q4_K_M").file_type))
    their_tensors = read_tensors(quantized)
    assert set(our_tensors) == set(their_tensors)
    different = total = 0
    for name, (type, data) in their_tensors.items():
        assert our_tensors[name][0] == type
        pair = (np.frombuffer(raw, np.uint8) for raw in (our_tensors[name][1], data))
        different += int(np.not_equal(*pair).sum())
        total += len(data)
    assert different <= 1e-4 * total


def tie(folder: Path) -> None:
    """Leave out a head that is the embedding."""
    file = folder / "model.safetensors"
    tensors = read_safetensors(file)
    if (head := tensors.pop("lm_head.weight", None)) is not None:
        assert head.equals(tensors["model.embed_tokens.weight"])
    written = {name: ("F32", t.shape, to_bytes(t.read_all(), "F32")) for name, t in tensors.items()}
    write_safetensors(file, written)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))


def test_every_field_of_loraconfig_has_a_place() -> None:
    """A field of a newer PEFT is read, has no effect, or is refused: none is overlooked."""
    handled = {*AdapterConfig.__struct_fields__, *FIELDS_WITHOUT_EFFECT, *REFUSED_FIELDS}
    fields = {field.name for field in dataclasses.fields(peft.LoraConfig)}
    assert fields <= handled
    groups = (AdapterConfig.__struct_fields__, FIELDS_WITHOUT_EFFECT, REFUSED_FIELDS)
    assert len(handled) == sum(map(len, groups))


def test_every_type_of_adapter_but_lora_is_refused(tmp_path: Path) -> None:
    for peft_type in peft.PeftType:
        settings = {"peft_type": peft_type.value}
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
        if peft_type is peft.PeftType.LORA:
            read_adapter_config(tmp_path)
        else:
            with pytest.raises(ConvertError, match=peft_type.value):
                read_adapter_config(tmp_path)


@pytest.mark.parametrize(
    "init", [True, False, "gaussian", "eva", "orthogonal", "mica", "olora", "pissa"]
)
def test_an_initialization_is_refused_if_it_changes_the_base(
    init: bool | str, tmp_path: Path
) -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(16, 16))
    before = layer[0].weight.detach().clone()
    config = peft.LoraConfig(r=4, target_modules=["0"], init_lora_weights=init)
    model = peft.get_peft_model(layer, config)
    changed = not torch.equal(model.base_model.model[0].base_layer.weight, before)
    config.save_pretrained(tmp_path)
    if not changed:
        read_adapter_config(tmp_path)
        return
    with pytest.raises(ConvertError, match=str(init)):
        read_adapter_config(tmp_path)


PIECES = ["q_proj", "k_proj", "self_attn", "layers", "0", "1", "model", r"\d+", ".*", "(q|k)_proj"]
PATTERNS = st.dictionaries(
    st.builds(
        lambda start, parts, end: start + r"\.".join(parts) + end,
        st.sampled_from(["", "^"]),
        st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
        st.sampled_from(["", "$"]),
    ),
    st.integers(1, 64),
    max_size=4,
)


@given(
    PATTERNS,
    PATTERNS,
    st.sampled_from(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.k_proj"]),
    st.booleans(),
)
def test_patterns_are_resolved_as_in_peft(
    ranks: dict[str, int], alphas: dict[str, float], name: str, use_rslora: bool
) -> None:
    config = AdapterConfig(
        r=8, lora_alpha=16, rank_pattern=ranks, alpha_pattern=alphas, use_rslora=use_rslora
    )
    rank = ranks.get(get_pattern_key(ranks, name), 8)
    alpha = alphas.get(get_pattern_key(alphas, name), 16)
    scale = alpha / rank**0.5 if use_rslora else alpha / rank
    assert module_scale(name, rank, config) == scale


MODULES = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "up_proj",
    "down_proj",
    "embed_tokens",
    "lm_head",
]
SAVED = ["embed_tokens", "lm_head", "norm", "mlp", "q_proj", "input_layernorm"]
SOME_TOKENS: list[Any] = [
    [5, 7],
    {"embed_tokens": [5]},
    {"lm_head": [6]},
    {"embed_tokens": [5], "lm_head": [6]},
    {"embed_tokens": [5], "lm_head": [5]},
]
OPTIONS = st.fixed_dictionaries(
    {
        "r": st.sampled_from([2, 4]),
        "target_modules": st.lists(st.sampled_from(MODULES), min_size=1, max_size=4, unique=True),
    },
    optional={
        "lora_alpha": st.sampled_from([4, 16]),
        "modules_to_save": st.lists(st.sampled_from(SAVED), min_size=1, max_size=2, unique=True),
        "use_dora": st.just(True),
        "use_rslora": st.just(True),
        "bias": st.sampled_from(["all", "lora_only"]),
        "ensure_weight_tying": st.just(True),
        "rank_pattern": st.dictionaries(st.sampled_from(MODULES), st.just(3), max_size=2),
        "alpha_pattern": st.dictionaries(st.sampled_from(MODULES), st.just(9), max_size=2),
        "trainable_token_indices": st.sampled_from(SOME_TOKENS),
        "init_lora_weights": st.sampled_from(["eva", "orthogonal", "gaussian", False]),
    },
)


@pytest.mark.sweep
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(OPTIONS, st.booleans(), st.sampled_from([None, 262, 270]))
def test_any_combination_that_peft_can_train_is_exact_or_refused(
    bases: Path, options: dict[str, Any], tied: bool, rows: int | None
) -> None:
    """Refused only where the adapter lacks a resized embedding or head."""
    kind = Made(options, rows=rows, resorted=True)
    cell = Cell("random", tied, "folder")
    folder = adapter_folder(bases, cell)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        make_adapter(kind, bases / cell.group / "base", folder)
    except (TypeError, ValueError, KeyError):  # PEFT cannot combine these
        reject()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bases / cell.group / "base" / name, folder)
    output = bases / "out.gguf"
    refusal = ""
    try:
        adapters = [open_adapter(folder)]
        plan = plan_conversion(bases / cell.group / "base", adapters, parse_outtype("F32"))
        merge(plan, output)
    except ConvertError as error:
        refusal = str(error)
    if refusal:
        assert rows is not None
        assert "which it does not contain" in refusal
    else:
        check_tensors(cell, bases, output)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bases of the matrix, tied and untied."""
    folder = tmp_path_factory.mktemp("bases")
    for tied in (True, False):
        make_tied_base(folder / ("tied" if tied else "untied") / "base", tied=tied)
    return folder
