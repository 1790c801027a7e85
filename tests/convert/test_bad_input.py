"""Bad files of every kind give one clear line: no crash, no hang, no output."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.lora.peft_keys import module_name
from baize_convert.opening import open_adapter, open_base
from baize_convert.plan import ConversionOptions, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.vocabulary.pre_tokenizers import detect_pre_tokenizer
from baize_convert.vocabulary.sentencepiece_model import read_sentencepiece_model
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import read_safetensors, to_bytes, write_safetensors


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE, tmp_path / "base"))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER / "plain", tmp_path / "adapter"))


def change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def error_message(read: Callable[[], object]) -> str:
    """The message of the ``ConvertError`` that ``read`` raises; empty if it does not."""
    try:
        read()
    except ConvertError as error:
        return str(error)
    return ""


# --- JSON of Python, and of Windows ---------------------------------------------------------------


def insert(file: Path, text: str) -> None:
    """Add a field, written as ``text``, to a JSON object."""
    file.write_bytes(file.read_bytes().rstrip()[:-1] + f", {text}}}".encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_only_python_reads(number: str, base: Path, adapter: Path) -> None:
    """transformers and PEFT read them; in a field that counts they are named."""
    files = [base / "config.json", base / "tokenizer_config.json", adapter / "adapter_config.json"]
    for file in files:
        insert(file, f'"initializer_range": {number}')
    plan_conversion(base, [open_adapter(adapter)], parse_outtype("F32"))
    insert(base / "config.json", f'"rope_theta": {number}')
    assert "config.json: rope_theta is " in error_message(lambda: open_base(base))
    insert(adapter / "adapter_config.json", f'"lora_alpha": {number}')
    assert "adapter_config.json: lora_alpha is " in error_message(lambda: open_adapter(adapter))


@pytest.mark.parametrize(
    ("encoding", "what"),
    [("utf-8-sig", "begins with a byte order mark"), ("utf-16", "is in UTF-16")],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_json_as_windows_saves_it(name: str, encoding: str, what: str, base: Path) -> None:
    (base / name).write_text((base / name).read_text(), encoding)
    message = error_message(lambda: plan_conversion(base, [], parse_outtype("F32")))
    assert f"{name}: it {what}, as some programs on Windows save it: save it as UTF-8" in message


def test_half_of_a_surrogate_pair(base: Path) -> None:
    insert(base / "config.json", '"_name_or_path": "\\ud800"')
    assert "half of a surrogate pair" in error_message(lambda: open_base(base))


# --- safetensors --------------------------------------------------------------------------------


def write_header(file: Path, header: object, data: bytes = b"") -> Path:
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return file


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "is outside the file"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, "is outside the file"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, "is outside the file"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "size of its shape"),
        ({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, "type X9"),
        ({"a": {"dtype": "F32"}}, "cannot be read"),
        ([1, 2], "cannot be read"),
        (
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F16", "shape": [1], "data_offsets": [2, 4]},
            },
            "b overlaps",
        ),
    ],
)
def test_an_impossible_header_is_reported(header: object, wrong: str, tmp_path: Path) -> None:
    file = write_header(tmp_path / "x.safetensors", header, b"\0" * 4)
    with pytest.raises(ConvertError, match=wrong):
        read_safetensors(file)


def test_a_header_beyond_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(ConvertError, match="ends beyond the file"):
        read_safetensors(file)


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1) | st.integers(0, 200))
def test_any_bytes_are_a_clear_error_or_tensors(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, length: int
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    file.write_bytes(struct.pack("<Q", length) + raw)
    assert "\n" not in error_message(lambda: read_safetensors(file))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["a", "__metadata__", "b"]),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "Q"]),
                "shape": st.lists(st.integers(-2, 2**63), max_size=3),
                "data_offsets": st.tuples(st.integers(-9, 99), st.integers(-9, 2**63)),
            }
        ),
    )
)
def test_any_header_is_a_clear_error_or_tensors(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any]
) -> None:
    file = write_header(tmp_path_factory.mktemp("fuzz") / "x.safetensors", header, b"\0" * 64)

    def read() -> None:
        for tensor in read_safetensors(file).values():
            if tensor.dtype in ("F32", "F16", "BF16"):
                tensor.read_all()

    assert "\n" not in error_message(read)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_clear_error_or_pieces(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "tokenizer.model"
    file.write_bytes(raw)
    message = error_message(lambda: read_sentencepiece_model(file))
    assert not message or "not a SentencePiece model" in message


# --- a base -------------------------------------------------------------------------------------


def test_a_shard_outside_the_folder(base: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "../../etc/passwd"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    (base / "model.safetensors").rename(base / "model-00001-of-00001.bin")
    with pytest.raises(ConvertError, match="not in the folder"):
        open_base(base)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"hidden_size": 64}, r"is \[300, 32\], but the config says \[300, 64\]"),
        ({"num_hidden_layers": 3}, r"model\.layers\.2\.\S+ is missing"),
        ({"num_hidden_layers": 1}, r"model\.layers\.1\..* says num_hidden_layers 1: correct it"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel cannot be converted"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"vocab_size": 0}, "vocab_size is 0"),
    ],
)
def test_a_config_that_does_not_fit_is_named(
    fields: dict[str, Any], wrong: str, base: Path
) -> None:
    change(base / "config.json", **fields)
    with pytest.raises(ConvertError, match=wrong):
        open_base(base)


def test_a_part_that_the_architecture_does_not_have_says_what_to_do(base: Path) -> None:
    """As a module that predicts further tokens at once; transformers ignores it."""
    file = base / "model.safetensors"
    tensors = {
        name: (tensor.dtype, tensor.shape, to_bytes(tensor.read_all(), tensor.dtype))
        for name, tensor in read_safetensors(file).items()
    }
    write_safetensors(file, {**tensors, "model.mtp.fc.weight": ("F32", (1,), b"\0" * 4)})
    with pytest.raises(ConvertError, match=r"no tensor model\.mtp\.fc\.weight: if .* remove it"):
        open_base(base)


def test_a_quantized_base_is_refused_with_what_to_use(base: Path) -> None:
    (base / "model.safetensors").unlink()
    tensors = {"model.layers.0.mlp.up_proj.weight.absmax": ("F32", (1,), b"\0" * 4)}
    write_safetensors(base / "model.safetensors", tensors)
    with pytest.raises(ConvertError, match="use the model it was made from"):
        open_base(base)


def test_an_unknown_pre_tokenizer_is_never_guessed(base: Path) -> None:
    odd = {"type": "Split", "pattern": {"Regex": "odd"}, "behavior": "Isolated", "invert": False}
    change(base / "tokenizer.json", pre_tokenizer=odd)
    with pytest.raises(ConvertError, match=r"'odd'.*--pre"):
        plan_conversion(base, [], parse_outtype("F16"))
    plan = plan_conversion(base, [], parse_outtype("F16"), ConversionOptions(pre="llama-bpe"))
    assert b"llama-bpe" in plan.layout.head


def test_an_edited_post_processor_does_not_change_the_pre_tokenizer(base: Path) -> None:
    """llama.cpp's converter hashes token ids, including BOS, and gives up here."""
    template = {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}
    change(base / "tokenizer.json", post_processor=template)
    file = base / "tokenizer.json"
    assert detect_pre_tokenizer(file, json.loads(file.read_text())["pre_tokenizer"]) == "gpt-2"


def test_a_token_beyond_the_vocabulary_is_named(base: Path) -> None:
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    change(base / "tokenizer.json", model={**tokenizer["model"], "vocab": {"late": 300}})
    with pytest.raises(ConvertError, match=r"'late' has the id 300.* of another model"):
        plan_conversion(base, [], parse_outtype("F16"))


# --- an adapter ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights 'olora'"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"target_parameters": ["experts"]}, "target_parameters"),
        ({"r": "eight"}, "`int`"),
    ],
)
def test_unsupported_methods_are_refused_by_field(
    fields: dict[str, Any], wrong: str, adapter: Path
) -> None:
    change(adapter / "adapter_config.json", **fields)
    with pytest.raises(ConvertError, match=wrong):
        open_adapter(adapter)


def test_an_unknown_key_is_named(adapter: Path) -> None:
    tensors = {"base_model.model.model.layers.0.mlp.up_proj.hada_w1": ("F32", (1,), b"\0" * 4)}
    write_safetensors(adapter / "adapter_model.safetensors", tensors)
    with pytest.raises(ConvertError, match="hada_w1"):
        open_adapter(adapter)


def test_a_name_in_a_file_cannot_control_the_terminal(
    adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {"evil\x1b]0;pwned\x07\nkey": ("F32", (1,), b"\0" * 4)}
    write_safetensors(adapter / "adapter_model.safetensors", tensors)
    assert run(["plan", str(BASE), "--adapter", str(adapter)]) == 1
    captured = capsys.readouterr().err
    assert "\x1b" not in captured
    assert captured.count("\n") == 1


def test_an_adapter_given_as_base_is_recognized() -> None:
    with pytest.raises(ConvertError, match="is an adapter: give it with --adapter"):
        open_base(FOLDER / "plain")


def test_an_empty_adapter_and_one_of_zeros_are_refused(adapter: Path) -> None:
    write_safetensors(adapter / "adapter_model.safetensors", {})
    with pytest.raises(ConvertError, match="saved empty"):
        open_adapter(adapter)
    change(adapter / "adapter_config.json", r=2)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    zeros = {
        f"{prefix}.lora_A.weight": ("F32", (2, 32), b"\1" * 256),
        f"{prefix}.lora_B.weight": ("F32", (32, 2), b"\0" * 256),
    }
    write_safetensors(adapter / "adapter_model.safetensors", zeros)
    with pytest.raises(ConvertError, match="never trained"):
        open_adapter(adapter)


def test_an_adapter_of_another_model_lists_every_mismatch(adapter: Path) -> None:
    change(adapter / "adapter_config.json", r=2)
    prefix = "base_model.model.model.layers"
    other = {
        f"{prefix}.0.self_attn.q_proj.lora_A.weight": ("F32", (2, 64), b"\1" * 512),
        f"{prefix}.0.self_attn.q_proj.lora_B.weight": ("F32", (64, 2), b"\1" * 512),
        f"{prefix}.7.self_attn.q_proj.lora_A.weight": ("F32", (2, 32), b"\1" * 256),
        f"{prefix}.7.self_attn.q_proj.lora_B.weight": ("F32", (32, 2), b"\1" * 256),
    }
    write_safetensors(adapter / "adapter_model.safetensors", other)
    with pytest.raises(ConvertError) as error:
        plan_conversion(BASE, [open_adapter(adapter)], parse_outtype("F16"))
    assert "layers.0.self_attn.q_proj: [64, 64] for [32, 32]" in str(error.value)
    assert "layers.7.self_attn.q_proj: no such module" in str(error.value)


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "_orig_mod.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "module.base_model.model.model.layers.0.self_attn.q_proj.lora_A.mine.weight",
    ],
)
def test_wrappers_of_every_version_are_removed(key: str) -> None:
    assert module_name(key).startswith("model.layers.0.self_attn.q_proj.lora_A")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("generation_config.json", "{nonsense"),
        ("generation_config.json", '{"eos_token_id": "x"}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": 5}'),
        ("chat_template.json", "[]"),
        ("tokenizer.json", '{"model": {"vocab": {"a": 0}, "merges": [3]}}'),
        ("tokenizer.json", '{"model": {"vocab": {"a": 0}, "merges": [["a"]]}}'),
        ("tokenizer.json", '{"model": 5}'),
        ("tokenizer.json", '{"model": {"vocab": {"a": "b"}}}'),
        ("tokenizer.json", '{"model": {"vocab": [["a", 0.5]], "type": "Unigram"}}'),
        ("tokenizer.json", '{"added_tokens": [5]}'),
        ("tokenizer.json", '{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}'),
        ("tokenizer.json", '{"model": {"byte_fallback": true, "merges": [[]]}}'),
        ("tokenizer.json", '{"model": {"byte_fallback": true, "merges": ["a"]}}'),
        ("tokenizer.json", '{"model": {"byte_fallback": true, "vocab": {"a": 300}}}'),
        ("tokenizer.json", '{"model": {"byte_fallback": true, "vocab": {"a": -1}}}'),
    ],
)
def test_an_unreadable_file_beside_the_weights_is_one_line(
    file: str, text: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / file).write_text(text)
    assert run(["plan", str(base), "--pre", "gpt-2"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"baize-convert: {base}")
    assert captured.err.count("\n") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_damage_to_a_tokenizer_file_is_one_line_or_none(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "base"
    shutil.copytree(BASE, folder)
    names = ["tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"]
    file = folder / data.draw(st.sampled_from(names))
    raw = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(1, 40))] = data.draw(st.binary(max_size=12))
    file.write_bytes(raw)
    assert run(["plan", str(folder), "--json"]) in (0, 1)


# --- names of outputs -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["merge", "adapter"])
@pytest.mark.parametrize("name", ["x" * 251 + ".gguf", "x" * 400 + ".gguf", "泽" * 84 + ".gguf"])
def test_an_output_with_a_long_name_is_refused_in_clear_words(
    command: str, name: str, base: Path, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = {"merge": (str(base),), "adapter": (str(adapter), "--base", str(base))}[command]
    capsys.readouterr()
    output = base.parent / "out" / name
    output.parent.mkdir()
    assert run([command, *inputs, "-o", str(output)]) == 1
    message = capsys.readouterr().err
    assert f"{len(name.encode())} bytes, and at most 239 are possible" in message
    assert message.count("\n") == 1
    assert list(output.parent.iterdir()) == []


def test_an_output_with_the_longest_name(base: Path) -> None:
    output = base.parent / ("x" * 234 + ".gguf")
    assert run(["merge", str(base), "--outtype", "F32", "-o", str(output)]) == 0
    assert output.stat().st_size
