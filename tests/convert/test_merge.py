"""What is written is, to the byte, what the reference chain writes; nothing is lost on the way."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from baize_convert.adapters import open_adapter
from baize_convert.budget import parse_size
from baize_convert.cli import run
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.model_config import read_config
from baize_convert.outtypes import OUTTYPES, outtype_named
from baize_convert.plan import Plan, plan_conversion
from baize_convert.rope import rope_factors
from baize_convert.safetensors_file import read_safetensors
from baize_convert.tensor_names import modules, permute_rows
from baize_tui.chat.formats import system_prompt
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Generate, Load, Prompt, PromptMessage
from baize_tui.settings import DEFAULT_SYSTEM, Sampling
from tests.convert.make_goldens import BASE, FOLDER, KINDS, RESIZED, base_of
from tests.convert.model_folders import (
    SHAPES,
    digest_of,
    keys_of,
    llama_quantize,
    random_folder,
    references,
    stored,
    tensors_of,
    write_safetensors,
)
from tests.sweeps import swept


def converted(folder: Path, outtype: str, output: Path, adapter: Path | None = None) -> Plan:
    adapters = [open_adapter(adapter)] if adapter is not None else []
    plan = plan_conversion(folder, adapters, outtype_named(outtype))
    merge(plan, output)
    return plan


def test_smollm2_is_what_llama_cpp_converts_it_to(smollm2_f32: Path) -> None:
    """Against llama.cpp's own converter: see make_references.py."""
    assert digest_of(smollm2_f32) == references()["smollm2"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_random_model_is_what_llama_cpp_converts_it_to(shape: str, tmp_path: Path) -> None:
    converted(random_folder(tmp_path / "model", **SHAPES[shape]), "F32", tmp_path / "f32.gguf")
    assert digest_of(tmp_path / "f32.gguf") == references()[shape]


@pytest.mark.parametrize("outtype", swept(OUTTYPES, "Q4_K_M"))
def test_smollm2_is_quantized_as_llama_quantize_does(
    outtype: str, smollm2_folder: Path, smollm2_f32: Path, tmp_path: Path
) -> None:
    converted(smollm2_folder, outtype, tmp_path / "ours.gguf")
    llama_quantize(smollm2_f32, tmp_path / "theirs.gguf", int(outtype_named(outtype).file_type))
    assert tensors_of(tmp_path / "ours.gguf") == tensors_of(tmp_path / "theirs.gguf")


@pytest.mark.parametrize("shape", swept(SHAPES, "grouped", "biased", "yarn"))
def test_every_outtype_is_quantized_as_llama_quantize_does(shape: str, tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES[shape])
    converted(folder, "F32", tmp_path / "f32.gguf")
    for outtype in OUTTYPES.values():
        converted(folder, outtype.name, tmp_path / "ours.gguf")
        llama_quantize(tmp_path / "f32.gguf", tmp_path / "theirs.gguf", int(outtype.file_type))
        ours, theirs = tensors_of(tmp_path / "ours.gguf"), tensors_of(tmp_path / "theirs.gguf")
        assert ours == theirs, outtype.name
        assert keys_of(tmp_path / "ours.gguf") == keys_of(tmp_path / "theirs.gguf")


def test_rows_of_q_and_k_and_their_biases_change_places(tmp_path: Path) -> None:
    shape = {**SHAPES["biased"], "dtype": "F32"}
    folder = random_folder(tmp_path / "model", **shape)
    converted(folder, "F32", tmp_path / "out.gguf")
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


# --- adapters -----------------------------------------------------------------------------------


def merged_by_peft(kind: str) -> dict[str, Any]:
    """The tensors that PEFT's merge of a golden changes, by their GGUF names, in GGUF's order."""
    names = modules(read_config(base_of(kind)))
    found = {}
    for name, tensor in read_safetensors(FOLDER / kind / "merged.safetensors").items():
        module, _, part = name.rpartition(".")
        values, heads = tensor.read_all(), names[module].permuted_heads
        if heads:
            values = permute_rows(values.reshape(len(values), -1), heads).reshape(values.shape)
        found[f"{names[module].target}.{part}"] = values
    return found


def test_a_bias_needs_one_in_the_base(tmp_path: Path) -> None:
    """A LoRA bias without a bias to add it to is refused, as PEFT refuses it."""
    with pytest.raises(ConvertError, match=r"q_proj\.bias: the base has none"):
        plan_conversion(BASE, [open_adapter(FOLDER / "lora_bias")], outtype_named("F32"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_in_f32_is_that_of_peft(kind: str, tmp_path: Path) -> None:
    converted(base_of(kind), "F32", tmp_path / "out.gguf", FOLDER / kind)
    converted(base_of(kind), "F32", tmp_path / "base.gguf")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    before = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "base.gguf").tensors}
    wanted = merged_by_peft(kind)
    assert wanted
    if "output.weight" in wanted and "output.weight" not in written:  # still tied
        assert np.array_equal(wanted.pop("output.weight"), wanted["token_embd.weight"])
    for name, values in wanted.items():
        assert written[name].shape == values.shape
        assert np.abs(written[name] - values).max() <= 2e-6 * np.abs(values).max(), name
    for name in set(before) - set(wanted):
        assert np.array_equal(written[name], before[name]), name


@pytest.mark.parametrize("outtype", ["Q8_0", "Q4_0", "Q5_1"])
@pytest.mark.parametrize("kind", KINDS)
def test_quantized_it_is_what_llama_quantize_makes_of_pefts_merge(
    kind: str, outtype: str, tmp_path: Path
) -> None:
    """At least 99.99 % of the bytes: a last bit of float32 may fall on the other side of a step."""
    converted(base_of(kind), outtype, tmp_path / "ours.gguf", FOLDER / kind)
    ours = tensors_of(tmp_path / "ours.gguf")
    f32, theirs = tmp_path / "f32.gguf", tmp_path / "theirs.gguf"
    merged = merged_folder(kind, tmp_path / "merged", with_head="output.weight" in ours)
    converted(merged, "F32", f32)
    llama_quantize(f32, theirs, int(outtype_named(outtype).file_type))
    wanted = tensors_of(theirs)
    assert set(ours) == set(wanted)
    different = total = 0
    for name, (type, data) in wanted.items():
        assert ours[name][0] == type
        different += sum(a != b for a, b in zip(ours[name][1], data, strict=True))
        total += len(data)
    assert different <= 1e-4 * total


def merged_folder(kind: str, folder: Path, *, with_head: bool) -> Path:
    """The base with the tensors in place that PEFT's merge changed, its head apart or tied."""
    base = base_of(kind)
    shutil.copytree(base, folder)
    before = read_safetensors(base / "model.safetensors")
    tensors = {**before, **read_safetensors(FOLDER / kind / "merged.safetensors")}
    if with_head:
        tensors.setdefault("lm_head.weight", before["model.embed_tokens.weight"])
    else:
        tensors.pop("lm_head.weight", None)
    write_safetensors(
        folder / "model.safetensors",
        {name: ("F32", t.shape, stored(t.read_all(), "F32")) for name, t in tensors.items()},
    )
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = tensors["model.embed_tokens.weight"].rows
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_head_that_is_said_to_be_tied_and_is_not_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "head", tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "ensure_weight_tying": True}))
    with pytest.raises(ConvertError, match="ensure_weight_tying says that lm_head"):
        plan_conversion(BASE, [open_adapter(tmp_path / "adapter")], outtype_named("F32"))


def test_trained_tokens_of_a_shared_embedding_stand_alone(tmp_path: Path) -> None:
    """PEFT ties them to the head: with a head trained apart nobody can say which is meant."""
    adapters = [open_adapter(FOLDER / "tokens"), open_adapter(FOLDER / "head")]
    with pytest.raises(ConvertError, match="trained tokens of an embedding that the head shares"):
        plan_conversion(BASE, adapters, outtype_named("F32"))


def test_new_tokens_in_a_gguf_need_a_tokenizer(tmp_path: Path) -> None:
    converted(BASE, "F32", tmp_path / "base.gguf")
    adapter = tmp_path / "adapter"
    shutil.copytree(FOLDER / "resized", adapter)
    with pytest.raises(ConvertError, match="put the tokenizer of the training beside"):
        plan_conversion(tmp_path / "base.gguf", [open_adapter(adapter)], outtype_named("F32"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, adapter)
    converted(tmp_path / "base.gguf", "F32", tmp_path / "out.gguf", adapter)
    assert len(keys_of(tmp_path / "out.gguf")["tokenizer.ggml.tokens"][1]) == RESIZED


def test_new_tokens_of_an_adapter_are_in_the_vocabulary(tmp_path: Path) -> None:
    """The embedding has the size of the adapter, and its tokenizer names the new tokens."""
    adapter = tmp_path / "adapter"
    shutil.copytree(FOLDER / "resized", adapter)
    tokenizer = json.loads((BASE / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({"id": 300, "content": "<|me|>", "special": True})
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))
    converted(BASE, "F32", tmp_path / "out.gguf", adapter)
    keys = keys_of(tmp_path / "out.gguf")
    tokens = keys["tokenizer.ggml.tokens"][1]
    assert len(tokens) == keys["llama.vocab_size"][1] == RESIZED
    assert tokens[300] == "<|me|>"
    assert tokens[307] == "[PAD307]"


def test_fan_in_fan_out_is_not_heeded_as_in_peft(tmp_path: Path) -> None:
    """PEFT sets it back for every layer that is no Conv1D: the merge is the same with it."""
    shutil.copytree(FOLDER / "plain", tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "fan_in_fan_out": True}))
    converted(BASE, "F32", tmp_path / "with.gguf", tmp_path / "adapter")
    converted(BASE, "F32", tmp_path / "without.gguf", FOLDER / "plain")
    assert tensors_of(tmp_path / "with.gguf") == tensors_of(tmp_path / "without.gguf")


@pytest.mark.parametrize("kind", ["dora", "modules_to_save", "tokens"])
def test_what_counts_whole_is_not_weighed_or_added_up(kind: str) -> None:
    half, whole = open_adapter(FOLDER / kind, 0.5), open_adapter(FOLDER / kind)
    for adapters in ([half], [whole, whole]):
        with pytest.raises(ConvertError, match="counts whole and alone"):
            plan_conversion(BASE, adapters, outtype_named("F32"))
    plan_conversion(BASE, [whole], outtype_named("F32"))


def test_a_tied_head_stays_when_the_embedding_alone_was_trained(tmp_path: Path) -> None:
    """PEFT's merge changes both, as they share a tensor; in training the head was left alone."""
    converted(BASE, "F32", tmp_path / "out.gguf", FOLDER / "embedding")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    base = read_safetensors(BASE / "model.safetensors")["model.embed_tokens.weight"].read_all()
    assert np.array_equal(written["output.weight"], base)
    assert not np.array_equal(written["token_embd.weight"], base)


def test_two_adapters_add_up_with_their_weights(tmp_path: Path) -> None:
    plain = open_adapter(FOLDER / "plain", 0.5)
    rslora = open_adapter(FOLDER / "rslora", -2.0)
    merge(plan_conversion(BASE, [plain, rslora], outtype_named("F32")), tmp_path / "out.gguf")
    written = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    module = "model.layers.0.self_attn.q_proj"
    wanted = read_safetensors(BASE / "model.safetensors")[f"{module}.weight"].read_all()
    for adapter, scale in ((plain, 0.5 * 8 / 4), (rslora, -2.0 * 8 / 4**0.5)):
        change = adapter.changes[module]
        assert change.a is not None
        assert change.b is not None
        wanted = wanted + np.float32(scale) * (change.b.read() @ change.a.read())
    assert np.allclose(written["blk.0.attn_q.weight"], permute_rows(wanted, 4), atol=1e-6)


def test_how_much_of_an_adapter_is_left_is_told(tmp_path: Path) -> None:
    plan = plan_conversion(BASE, [open_adapter(FOLDER / "plain")], outtype_named("Q8_0"))
    fine = merge(plan, tmp_path / "fine.gguf")
    plan = plan_conversion(BASE, [open_adapter(FOLDER / "plain")], outtype_named("Q4_0"))
    coarse = merge(plan, tmp_path / "coarse.gguf")
    assert 0 < fine.ratio() < coarse.ratio()
    assert set(fine.added) == {
        f"blk.{layer}.{part}.weight"
        for layer in (0, 1)
        for part in ("attn_q", "attn_k", "ffn_down")
    }


@pytest.mark.parametrize(
    ("outtype", "larger"), [("Q4_0", "Q6_K or Q8_0"), ("Q6_K", "Q8_0"), ("Q8_0", "F16")]
)
def test_an_adapter_that_drowns_is_told_with_a_larger_type(
    outtype: str, larger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    little = f"{FOLDER / 'plain'}=0.001"
    arguments = ["merge", str(BASE), "--adapter", little, "--outtype", outtype]
    assert run([*arguments, "-o", str(tmp_path / "out.gguf")]) == 0
    assert capsys.readouterr().out.endswith(f"try a larger one, such as {larger}\n")


def test_the_converted_model_answers(
    smollm2_folder: Path, tmp_path: Path, abort: AbortFlag
) -> None:
    converted(smollm2_folder, "Q8_0", tmp_path / "smollm2.gguf")
    engine = LlamaEngine(Load(0, str(tmp_path / "smollm2.gguf"), context=512, threads=2), abort)
    messages = [
        PromptMessage("system", system_prompt(DEFAULT_SYSTEM, moderation=True)),
        PromptMessage("user", "What is the capital of France?"),
    ]
    request = Generate(0, Prompt(messages), Sampling(temperature=0), max_tokens=20)
    finished = [event for event in engine.generate(request) if isinstance(event, Finished)]
    engine.close()
    assert "Paris" in finished[0].text


def test_the_file_says_how_to_talk_with_it(tmp_path: Path, abort: AbortFlag) -> None:
    """What a recipe writes into the file, the engine reads out of it."""
    file = tmp_path / "out.gguf"
    options = ["--outtype", "Q4_0", "--prompt-format", "baize", "--stop", "[|Human|]", "-o"]
    assert run(["merge", str(BASE), *options, str(file)]) == 0
    engine = LlamaEngine(Load(0, str(file), context=64, threads=1), abort)
    loaded = engine.loaded
    engine.close()
    assert (loaded.prompt_format, loaded.stop) == ("baize", ["[|Human|]"])


# --- interrupted, refused -----------------------------------------------------------------------


def stop_after_half(
    folder: Path, output: Path, adapter: Path | None = None, outtype: str = "F32"
) -> Plan:
    """A merge that Ctrl-C ends when half of it is written."""
    adapters = [open_adapter(adapter)] if adapter is not None else []
    plan, seen = plan_conversion(folder, adapters, outtype_named(outtype)), 0

    def interrupt(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > plan.layout.length // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(plan, output, progress=interrupt)
    return plan


def test_an_interrupted_merge_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["grouped"])
    output = tmp_path / "out.gguf"
    plan = stop_after_half(folder, output, outtype="Q4_K_M")
    merge(plan, tmp_path / "whole.gguf")
    assert not output.exists()
    journal = Path(f"{output}.partial.journal")
    done = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert 0 < sum(one["count"] for one in done) < sum(p.tensor.rows for p in plan.layout.tensors)
    # A killed process may have begun a line.
    with journal.open("ab") as handle:
        handle.write(b'{"name": "blk.')
    # What is done is not done again: spoil it, and it stays spoilt.
    placed = next(p for p in plan.layout.tensors if p.tensor.name == done[0]["name"])
    spoilt = placed.offset + done[0]["first"] * placed.row_bytes
    with Path(f"{output}.partial").open("r+b") as handle:
        handle.seek(spoilt)
        kept = handle.read(4)
        handle.seek(spoilt)
        handle.write(bytes(255 - byte for byte in kept))
    merge(plan, output)
    found = bytearray(output.read_bytes())
    assert found != (tmp_path / "whole.gguf").read_bytes()
    found[spoilt : spoilt + 4] = kept
    assert found == (tmp_path / "whole.gguf").read_bytes()
    assert not journal.exists()
    assert not Path(f"{output}.partial").exists()


def test_a_journal_whose_partial_is_gone_is_begun_anew(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    stop_after_half(BASE, output)
    assert Path(f"{output}.partial.journal").exists()
    Path(f"{output}.partial").unlink()
    converted(BASE, "F32", output)
    converted(BASE, "F32", tmp_path / "fresh.gguf")
    assert output.read_bytes() == (tmp_path / "fresh.gguf").read_bytes()


def test_what_is_left_of_an_adapter_is_told_of_both_runs(tmp_path: Path) -> None:
    adapters = [open_adapter(FOLDER / "plain")]
    plan = plan_conversion(BASE, adapters, outtype_named("Q8_0"))
    whole = merge(plan, tmp_path / "whole.gguf")
    stop_after_half(BASE, tmp_path / "out.gguf", FOLDER / "plain", "Q8_0")
    resumed = merge(plan, tmp_path / "out.gguf")
    assert resumed.added.keys() == whole.added.keys()
    assert resumed.ratio() == pytest.approx(whole.ratio())


def test_a_partial_of_other_inputs_is_begun_anew(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    Path(f"{output}.partial").write_bytes(b"nonsense")
    journal = 'another fingerprint\n{"name": "token_embd.weight", "first": 0, "count": 1}\n'
    Path(f"{output}.partial.journal").write_text(journal)
    converted(BASE, "F32", output)
    converted(BASE, "F32", tmp_path / "fresh.gguf")
    assert output.read_bytes() == (tmp_path / "fresh.gguf").read_bytes()


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", "F32", **SHAPES["grouped"])
    tensor = read_safetensors(folder / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    with (folder / "model.safetensors").open("r+b") as handle:
        handle.seek(tensor.start + 4000)
        handle.write(np.float32(np.nan).tobytes())
    plan = plan_conversion(folder, [], outtype_named("Q4_0"))
    with pytest.raises(ConvertError, match=r"blk\.1\.ffn_up\.weight holds NaN"):
        merge(plan, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
    merge(plan, tmp_path / "out.gguf", allow_nan=True)
    assert (tmp_path / "out.gguf").exists()


def test_the_base_is_never_written_over(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["grouped"])
    before = (folder / "model.safetensors").read_bytes()
    plan = plan_conversion(folder, [], outtype_named("Q8_0"))
    with pytest.raises(ConvertError, match="is one of the inputs"):
        merge(plan, folder / "model.safetensors")
    assert (folder / "model.safetensors").read_bytes() == before


def test_too_little_disk_is_refused_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_conversion(BASE, [], outtype_named("F32"))
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(ConvertError, match="GB are free"):
        merge(plan, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory", [62_000_000, 80_000_000, 1_000_000_000])
def test_the_bytes_are_the_same_with_any_memory(memory: int, tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["biased"])
    plan = plan_conversion(folder, [], outtype_named("Q4_K_M"))
    merge(plan, tmp_path / "out.gguf", memory=memory)
    merge(plan, tmp_path / "usual.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == (tmp_path / "usual.gguf").read_bytes()


def test_too_little_memory_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    folder = random_folder(tmp_path / "model", **SHAPES["wide"])
    plan = plan_conversion(folder, [], outtype_named("Q4_K_M"))
    with pytest.raises(ConvertError, match=r"--max-ram 61M is too little .* it takes 6\dM"):
        merge(plan, tmp_path / "out.gguf", memory=61_000_000)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500_000_000), ("1G", 10**9), ("1.5g", 1_500_000_000), ("7", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_disk_that_fills_up_is_one_line_and_goes_on_later(tmp_path: Path) -> None:
    """The kernel refuses to make a file larger, as a full disk does."""
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
    assert types == {name: type for name, (type, _) in tensors_of(output).items()}


def test_a_failure_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"baize-convert: {tmp_path / 'nowhere'}: no such folder and no such file\n"
    assert run(["plan", str(BASE), "--outtype", "Q9"]) == 1
    assert "known: F32" in capsys.readouterr().err
    assert run(["plan"]) == 2
