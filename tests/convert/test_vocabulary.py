"""Vocabularies: SentencePiece from its own file and from tokenizer.json alone."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter, TokenType

from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.model_config import read_config
from baize_convert.vocabulary.reading import read_vocabulary
from baize_convert.vocabulary.sentencepiece_model import read_sentencepiece_model
from baize_tui.engine.llama.model import Model
from tests.convert.model_folders import file_digests, random_folder, read_keys, references
from tests.vocabularies import FOLDER as VOCABULARIES

SHAPE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
LEGACY_NORMALIZER = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}
"""How transformers 4 wrote the spaces of LLaMA's tokenizer."""


def sentencepiece_model(pieces: list[tuple[str, float, TokenType]]) -> bytes:
    """The protobuf that SentencePiece writes: field 1 is a piece with text, score and type."""
    raw = b""
    for text, score, type in pieces:
        encoded = text.encode()
        body = b"\x0a" + bytes([len(encoded)]) + encoded + b"\x15" + struct.pack("<f", score)
        if type != TokenType.NORMAL:
            body += b"\x18" + bytes([type])
        raw += b"\x0a" + bytes([len(body)]) + body
    trainer = b"\x18\x02" + b"\x98\x02\x01"  # model_type BPE, byte_fallback
    # The normalizer: identity, a space in front, extra spaces stay.
    normalizer = b"\x0a\x08identity" + b"\x18\x01" + b"\x20\x00" + b"\x28\x01"
    raw += b"\x12" + bytes([len(trainer)]) + trainer
    return raw + b"\x1a" + bytes([len(normalizer)]) + normalizer


def sentencepiece_folder(folder: Path) -> Path:
    """A folder with every kind of piece, added tokens of both files, and a padded vocabulary."""
    random_folder(folder, "F32", vocab_size=320, **SHAPE)
    (folder / "tokenizer.json").unlink()
    pieces = [
        ("<unk>", 0.0, TokenType.UNKNOWN),
        ("<s>", 0.0, TokenType.CONTROL),
        ("</s>", 0.0, TokenType.CONTROL),
    ]
    pieces += [(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
    pieces += [
        ("▁", -1.0, TokenType.NORMAL),
        ("白", -2.0, TokenType.NORMAL),
        ("▁a", -3.5, TokenType.NORMAL),
    ]
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(pieces))
    added = {"<|im_start|>": 262, "▁mine": 263}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    settings = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "add_eos_token": False,
        "chat_template": "{{ messages }}",
        "added_tokens_decoder": {
            "0": {"content": "<unk>", "special": True},
            "1": {"content": "<s>", "special": True},
            "264": {"content": "▁world", "special": False},
            "265": {"content": "<|end|>", "special": False},
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_sentencepiece_equals_the_output_of_llama_cpp(tmp_path: Path) -> None:
    folder = sentencepiece_folder(tmp_path / "model")
    merge(plan_conversion(folder, [], parse_outtype("F32")), tmp_path / "out.gguf")
    # llama.cpp's converter looks for named tokens in tokenizer.json alone, and writes no ids.
    ids = [f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "unknown")]
    ours = file_digests(tmp_path / "out.gguf", without=ids)
    assert ours == references()["sentencepiece"]


def test_pieces_are_read_with_score_and_type(tmp_path: Path) -> None:
    file = sentencepiece_folder(tmp_path / "model") / "tokenizer.model"
    pieces = read_sentencepiece_model(file).pieces
    assert (pieces[0].text, pieces[0].type) == ("<unk>", TokenType.UNKNOWN)
    assert (pieces[3].text, pieces[3].type) == ("<0x00>", TokenType.BYTE)
    assert (pieces[-1].text, pieces[-1].score, pieces[-1].type) == ("▁a", -3.5, TokenType.NORMAL)


def test_ids_that_contradict_the_vocabulary_are_repaired(tmp_path: Path) -> None:
    """As in decapoda's LLaMA: begin 0, end 1, no padding, and empty names."""
    folder = sentencepiece_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1}
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"bos_token": "", "eos_token": "", "unk_token": "", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    plan = plan_conversion(folder, [], parse_outtype("F32"))
    assert len(plan.warnings) == 2
    assert "eos is 1, <s>; the vocabulary's 2, </s>, is used instead" in plan.warnings[1]
    merge(plan, tmp_path / "out.gguf")
    keys = read_keys(tmp_path / "out.gguf")
    assert keys["tokenizer.ggml.bos_token_id"][1] == 1
    assert keys["tokenizer.ggml.eos_token_id"][1] == 2
    assert "tokenizer.ggml.padding_token_id" not in keys


def test_every_token_of_an_eos_list_ends_an_answer(tmp_path: Path) -> None:
    """llama.cpp's converter ignores lists, and never reads generation_config.json."""
    folder = sentencepiece_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": [2, 264]}))
    ends = {"bos_token_id": 1, "eos_token_id": [2, 265, 263, 262]}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    plan = plan_conversion(folder, [], parse_outtype("F32"))
    merge(plan, tmp_path / "out.gguf")
    model = Model(str(tmp_path / "out.gguf"), vocabulary_only=True)
    end_tokens = [id for id in range(320) if model.vocabulary.is_end_of_generation(id)]
    model.close()
    # 265 is <|end|>, which llama.cpp knows by its text.
    assert end_tokens == [2, 263, 264, 265]
    assert "no key for further tokens that end an answer: <|im_start|>" in plan.warnings[0]


def test_a_pre_tokenizer_with_other_steps_is_recognized_by_its_hash(
    smollm2_folder: Path, tmp_path: Path
) -> None:
    """The same splits written another way: the ids of llama.cpp's text are the same."""
    folder = tmp_path / "model"
    shutil.copytree(smollm2_folder, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    digits, rest = tokenizer["pre_tokenizer"]["pretokenizers"]
    step = {"type": "Split", "pattern": {"Regex": "[0-9]"}, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"]["pretokenizers"] = [step, digits, rest]
    file.write_text(json.dumps(tokenizer))
    assert read_vocabulary(folder, read_config(folder)).pre == "smollm"
    tokenizer["pre_tokenizer"]["pretokenizers"] = [step, rest, {**step, "pattern": {"Regex": "e"}}]
    file.write_text(json.dumps(tokenizer))
    with pytest.raises(ConvertError, match="name it with --pre"):
        read_vocabulary(folder, read_config(folder))


@pytest.mark.vocabularies
def test_scores_are_rebuilt_from_the_order_of_merges(tmp_path: Path) -> None:
    """LLaMA's own vocabulary, as its tokenizer.json alone would give it, splits text the same.

    llama.cpp's converter writes one score for all of it, and most lines come out otherwise.
    """
    file = VOCABULARIES / "ggml-vocab-llama-spm.gguf"
    fields = GGUFReader(file).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    scores: list[float] = fields["tokenizer.ggml.scores"].contents()
    ids = {token: id for id, token in enumerate(tokens)}
    merges = [
        (scores[id], left, token[len(left) :])
        for token, id in ids.items()
        if id > 2 and not token.startswith("<0x")
        for left in (token[:at] for at in range(1, len(token)))
        if left in ids and token[len(left) :] in ids
    ]
    merges.sort(key=lambda merge: -merge[0])  # as transformers converts SentencePiece
    folder = random_folder(tmp_path / "model", "F32", **{**SHAPE, "vocab_size": len(tokens)})
    tokenizer = {
        "added_tokens": [{"id": id, "content": tokens[id], "special": True} for id in range(3)],
        "normalizer": LEGACY_NORMALIZER,
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "unk_token": "<unk>",
            "vocab": ids,
            "merges": [[left, right] for _, left, right in merges],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    result = read_vocabulary(folder, read_config(folder))
    ours = _vocabulary_file(tmp_path / "ours.gguf", result.tokens, result.scores, result.types)
    text = Path(__file__).parents[2] / "README.md"
    lines = [*text.read_text().split("\n"), "白泽 knows  all\tghosts 🐉", "Ünïcödé"]
    theirs, rebuilt = (Model(str(gguf), vocabulary_only=True) for gguf in (file, ours))
    for line in lines:
        wanted = theirs.vocabulary.tokenize(line, parse_special=False)
        assert rebuilt.vocabulary.tokenize(line, parse_special=False) == wanted, line
    theirs.close()
    rebuilt.close()


def _vocabulary_file(
    file: Path, tokens: list[bytes], scores: list[float] | None, types: list[TokenType]
) -> Path:
    writer = GGUFWriter(file, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    assert scores is not None
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_tensor("none", np.zeros(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
