"""Merges of every kind of adapter, compared with PEFT's and with llama-quantize of PEFT's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.opening import open_adapter
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.model_config import read_config
from baize_convert.sources.tensor_names import module_names, permute_rows
from tests.convert.make_goldens import BASE, FOLDER, KINDS, RESIZED, golden_base
from tests.convert.model_folders import (
    convert_folder,
    llama_quantize,
    read_keys,
    read_safetensors,
    read_tensors,
    to_bytes,
    write_safetensors,
)


def peft_tensors(kind: str) -> dict[str, Any]:
    """The tensors that PEFT's merge changes, by GGUF name and in GGUF's row order."""
    names = module_names(read_config(golden_base(kind)))
    tensors = {}
    for name, tensor in read_safetensors(FOLDER / kind / "merged.safetensors").items():
        module, _, part = name.rpartition(".")
        values, heads = tensor.read_all(), names[module].permuted_heads
        if heads:
            values = permute_rows(values.reshape(len(values), -1), heads).reshape(values.shape)
        tensors[f"{names[module].target}.{part}"] = values
    return tensors


def test_a_bias_needs_one_in_the_base(tmp_path: Path) -> None:
    """A LoRA bias without a bias to add it to is refused, as PEFT refuses it."""
    with pytest.raises(ConvertError, match=r"q_proj\.bias: the base has none"):
        plan_conversion(BASE, [open_adapter(FOLDER / "lora_bias")], parse_outtype("F32"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_in_f32_equals_that_of_peft(kind: str, tmp_path: Path) -> None:
    convert_folder(golden_base(kind), "F32", tmp_path / "out.gguf", FOLDER / kind)
    convert_folder(golden_base(kind), "F32", tmp_path / "base.gguf")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    before = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "base.gguf").tensors}
    wanted = peft_tensors(kind)
    assert wanted
    if "output.weight" in wanted and "output.weight" not in written:  # still tied
        assert np.array_equal(wanted.pop("output.weight"), wanted["token_embd.weight"])
    for name, values in wanted.items():
        assert written[name].shape == values.shape
        assert np.abs(written[name] - values).max() <= 2e-6 * np.abs(values).max(), name
    for name in set(before) - set(wanted):
        assert np.array_equal(written[name], before[name]), name


@pytest.mark.sampled(16)
@pytest.mark.parametrize("outtype", ["Q8_0", "Q4_0", "Q5_1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_quantized_merge_equals_llama_quantize_of_pefts_merge(
    kind: str, outtype: str, tmp_path: Path
) -> None:
    """At least 99.99 % of the bytes: the last bit of a float32 can change a rounding."""
    convert_folder(golden_base(kind), outtype, tmp_path / "ours.gguf", FOLDER / kind)
    ours = read_tensors(tmp_path / "ours.gguf")
    f32, theirs = tmp_path / "f32.gguf", tmp_path / "theirs.gguf"
    merged = merged_folder(kind, tmp_path / "merged", with_head="output.weight" in ours)
    convert_folder(merged, "F32", f32)
    llama_quantize(f32, theirs, int(parse_outtype(outtype).file_type))
    wanted = read_tensors(theirs)
    assert set(ours) == set(wanted)
    different = total = 0
    for name, (type, data) in wanted.items():
        assert ours[name][0] == type
        different += sum(a != b for a, b in zip(ours[name][1], data, strict=True))
        total += len(data)
    assert different <= 1e-4 * total


def merged_folder(kind: str, folder: Path, *, with_head: bool) -> Path:
    """The base with the tensors of PEFT's merge, and a separate or tied head."""
    base = golden_base(kind)
    shutil.copytree(base, folder)
    before = read_safetensors(base / "model.safetensors")
    tensors = {**before, **read_safetensors(FOLDER / kind / "merged.safetensors")}
    if with_head:
        tensors.setdefault("lm_head.weight", before["model.embed_tokens.weight"])
    else:
        tensors.pop("lm_head.weight", None)
    write_safetensors(
        folder / "model.safetensors",
        {name: ("F32", t.shape, to_bytes(t.read_all(), "F32")) for name, t in tensors.items()},
    )
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = tensors["model.embed_tokens.weight"].rows
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_head_that_contradicts_ensure_weight_tying_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "head", tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "ensure_weight_tying": True}))
    with pytest.raises(ConvertError, match="ensure_weight_tying says that lm_head"):
        plan_conversion(BASE, [open_adapter(tmp_path / "adapter")], parse_outtype("F32"))


def test_trained_tokens_of_a_shared_embedding_are_exclusive(tmp_path: Path) -> None:
    """PEFT ties them to the head, which is ambiguous if the head is trained separately."""
    adapters = [open_adapter(FOLDER / "tokens"), open_adapter(FOLDER / "head")]
    with pytest.raises(ConvertError, match="trained tokens of an embedding that the head shares"):
        plan_conversion(BASE, adapters, parse_outtype("F32"))


def test_new_tokens_in_a_gguf_need_a_tokenizer(tmp_path: Path) -> None:
    convert_folder(BASE, "F32", tmp_path / "base.gguf")
    adapter = tmp_path / "adapter"
    shutil.copytree(FOLDER / "resized", adapter)
    with pytest.raises(ConvertError, match="put the tokenizer of the training beside"):
        plan_conversion(tmp_path / "base.gguf", [open_adapter(adapter)], parse_outtype("F32"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, adapter)
    convert_folder(tmp_path / "base.gguf", "F32", tmp_path / "out.gguf", adapter)
    assert len(read_keys(tmp_path / "out.gguf")["tokenizer.ggml.tokens"][1]) == RESIZED


def test_new_tokens_of_an_adapter_are_in_the_vocabulary(tmp_path: Path) -> None:
    """The adapter resizes the embedding, and its tokenizer names the new tokens."""
    adapter = tmp_path / "adapter"
    shutil.copytree(FOLDER / "resized", adapter)
    tokenizer = json.loads((BASE / "tokenizer.json").read_text())
    # The library numbers added tokens without a gap, whatever the file says.
    tokenizer["model"]["vocab"] |= {f"<filler {id}>": id for id in range(260, 300)}
    tokenizer["added_tokens"].append({"id": 300, "content": "<|me|>", "special": True})
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))
    convert_folder(BASE, "F32", tmp_path / "out.gguf", adapter)
    keys = read_keys(tmp_path / "out.gguf")
    tokens = keys["tokenizer.ggml.tokens"][1]
    assert len(tokens) == keys["llama.vocab_size"][1] == RESIZED
    assert tokens[300] == "<|me|>"
    assert tokens[307] == "[PAD307]"


def test_a_tokenizer_of_training_that_is_not_used_is_reported(tmp_path: Path) -> None:
    """One without a tokenizer.json, and one of two: their tokens were lost without a word."""
    first, second = (
        Path(shutil.copytree(FOLDER / kind, tmp_path / kind)) for kind in ("plain", "rslora")
    )
    for name in ("vocab.json", "added_tokens.json", "chat_template.jinja"):
        (first / name).write_text("{}")
    adapters = [open_adapter(first), open_adapter(second)]
    (warning,) = plan_conversion(BASE, adapters, parse_outtype("F32")).warnings
    assert f"{first}: vocab.json and added_tokens.json and chat_template.jinja with" in warning
    assert f"is not used, as {BASE} has the tokenizer that counts" in warning

    content = (BASE / "tokenizer.json").read_text()
    (first / "tokenizer.json").write_text(content.replace('"<s>"', '"<t>"'))
    (second / "tokenizer.json").write_text(content)
    (warning,) = plan_conversion(BASE, adapters, parse_outtype("F32")).warnings
    assert f"{first / 'tokenizer.json'} is not used, as {second} has" in warning
    (first / "tokenizer.json").write_text(content)
    assert plan_conversion(BASE, adapters, parse_outtype("F32")).warnings == ()


def test_fan_in_fan_out_is_ignored_as_in_peft(tmp_path: Path) -> None:
    """PEFT resets it for all layers but Conv1D, so the merge is the same."""
    shutil.copytree(FOLDER / "plain", tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "fan_in_fan_out": True}))
    convert_folder(BASE, "F32", tmp_path / "with.gguf", tmp_path / "adapter")
    convert_folder(BASE, "F32", tmp_path / "without.gguf", FOLDER / "plain")
    assert read_tensors(tmp_path / "with.gguf") == read_tensors(tmp_path / "without.gguf")


@pytest.mark.parametrize("kind", ["dora", "modules_to_save", "tokens"])
def test_exclusive_changes_are_neither_weighted_nor_added_up(kind: str) -> None:
    half, whole = open_adapter(FOLDER / kind, 0.5), open_adapter(FOLDER / kind)
    for adapters in ([half], [whole, whole]):
        with pytest.raises(ConvertError, match="which is exclusive"):
            plan_conversion(BASE, adapters, parse_outtype("F32"))
    plan_conversion(BASE, [whole], parse_outtype("F32"))


def test_a_tied_head_stays_when_the_embedding_alone_was_trained(tmp_path: Path) -> None:
    """PEFT's merge changes both, as they share a tensor; training did not change the head."""
    convert_folder(BASE, "F32", tmp_path / "out.gguf", FOLDER / "embedding")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    base = read_safetensors(BASE / "model.safetensors")["model.embed_tokens.weight"].read_all()
    assert np.array_equal(written["output.weight"], base)
    assert not np.array_equal(written["token_embd.weight"], base)


def test_two_adapters_add_up_with_their_weights(tmp_path: Path) -> None:
    plain = open_adapter(FOLDER / "plain", 0.5)
    rslora = open_adapter(FOLDER / "rslora", -2.0)
    merge(plan_conversion(BASE, [plain, rslora], parse_outtype("F32")), tmp_path / "out.gguf")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    module = "model.layers.0.self_attn.q_proj"
    wanted = read_safetensors(BASE / "model.safetensors")[f"{module}.weight"].read_all()
    for adapter, scale in ((plain, 0.5 * 8 / 4), (rslora, -2.0 * 8 / 4**0.5)):
        change = adapter.changes[module]
        assert change.a is not None
        assert change.b is not None
        wanted = wanted + np.float32(scale) * (change.b.read() @ change.a.read())
    assert np.allclose(written["blk.0.attn_q.weight"], permute_rows(wanted, 4), atol=1e-6)


def test_the_quantization_loss_is_measured(tmp_path: Path) -> None:
    plan = plan_conversion(BASE, [open_adapter(FOLDER / "plain")], parse_outtype("Q8_0"))
    fine = merge(plan, tmp_path / "fine.gguf")
    plan = plan_conversion(BASE, [open_adapter(FOLDER / "plain")], parse_outtype("Q4_0"))
    coarse = merge(plan, tmp_path / "coarse.gguf")
    assert 0 < fine.ratio() < coarse.ratio()
    assert set(fine.added) == {
        f"blk.{layer}.{part}.weight"
        for layer in (0, 1)
        for part in ("attn_q", "attn_k", "ffn_down")
    }
