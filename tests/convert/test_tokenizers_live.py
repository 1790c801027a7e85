"""What a tokenizer adds to a text, and where its tokens are, compared with transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from baize_tui.engine.llama.model import Model
from tests.convert.test_tokenizers import (
    BYTES,
    byte_level_folder,
    like_llama3,
    merged_keys,
    rewrite,
    sentencepiece,
    sentencepiece_folder,
    tokenizer_of,
)
from tests.convert.tokenizer_families import added_token, template_processing

__all__ = ["sentencepiece"]  # a fixture

pytestmark = pytest.mark.training
SEQUENCE = {"type": "Sequence", "processors": [BYTES, template_processing(("<s>", 1))]}
FURTHER = {"additional_special_tokens": ["[PAD]"]}


@pytest.mark.parametrize(
    ("post_processor", "settings"),
    [
        (None, {}),
        (SEQUENCE, {}),
        (template_processing(("<s>", 1), ("</s>", 2)), {}),
        (template_processing(("<s>", 1)), {"add_bos_token": False}),
        (template_processing(("<s>", 1)), {"add_eos_token": True}),
        (None, {"add_bos_token": True}),
        (None, {"add_bos_token": True, "bos_token": None}),
        (None, {"pad_token": "[PAD]"}),
        (None, {"pad_token": "b"}),
        (None, {"extra_special_tokens": ["[PAD]"]}),
        (None, {"extra_special_tokens": {"image_token": "[IMAGE]"}, **FURTHER}),
        (None, {"extra_special_tokens": ["[IMAGE]"], **FURTHER}),
        (None, {"extra_special_tokens": [], **FURTHER}),
    ],
)
def test_llama_cpp_reads_texts_as_transformers_does(
    post_processor: dict[str, Any] | None, settings: dict[str, Any], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    def change(tokenizer: dict[str, Any]) -> None:
        like_llama3(post_processor)(tokenizer)
        tokenizer["added_tokens"].append(added_token(260, "<new>", special=False))

    folder = byte_level_folder(
        tmp_path / "m", change, tokenizer_class="PreTrainedTokenizerFast", **settings
    )
    merged_keys(folder, tmp_path)
    theirs = AutoTokenizer.from_pretrained(folder)
    with Model(str(tmp_path / "out.gguf"), vocabulary_only=True) as model:
        for text in ("", "Hello", "a<new>b <s>", "[PAD]x[IMAGE]"):
            ours = model.vocabulary.tokenize(text, parse_special=True, add_special=True)
            assert ours == theirs(text).input_ids, text


TEXTS = ("<x>", "<y>", "<|w|>", "[Q]", "abc")


def random_token(random: Random, text: str) -> dict[str, Any]:
    flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
    return {"content": text, **{flag: random.random() < 0.3 for flag in flags}}


def random_tokens(random: Random, first: int) -> dict[int, dict[str, Any]]:
    """A few tokens by id, from ``first`` or a bit before or after it."""
    tokens = {}
    for text in random.sample(TEXTS, random.randint(0, 3)):
        first += random.choice((0, 0, -2, 3))
        tokens[first] = random_token(random, text)
        first += 1
    return tokens


def random_names(random: Random) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name in ("pad_token", "image_token"):
        if random.random() < 0.3:
            names[name] = random.choice(TEXTS)
    for name in ("extra_special_tokens", "additional_special_tokens"):
        if random.random() < 0.3:
            names[name] = random.sample(TEXTS, 2)
    return names


@pytest.mark.sampled(8)
@pytest.mark.parametrize("seed", range(24))
def test_added_tokens_of_all_files_are_those_of_transformers(
    seed: int, sentencepiece: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    random = Random(seed)
    if seed % 2:
        folder, first = byte_level_folder(tmp_path / "m", like_llama3(None)), 260
    else:
        tokenizer = tokenizer_of(sentencepiece)
        folder, first = sentencepiece_folder(tmp_path / "m", sentencepiece, tokenizer), 700
    in_file = random_tokens(random, first)
    rewrite(
        folder / "tokenizer.json",
        lambda content: content["added_tokens"].extend(
            {"id": id, **token} for id, token in in_file.items()
        ),
    )
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **random_names(random)}
    if random.random() < 0.5:
        settings["added_tokens_decoder"] = random_tokens(random, first + len(in_file))
    rewrite(folder / "tokenizer_config.json", lambda config: config.update(settings))
    if random.random() < 0.5:
        older = random_tokens(random, first)
        content = {token["content"]: id for id, token in older.items()}
        (folder / "added_tokens.json").write_text(json.dumps(content))

    keys = merged_keys(folder, tmp_path)
    theirs = AutoTokenizer.from_pretrained(folder)
    for id, token in theirs.added_tokens_decoder.items():
        assert keys["ggml.tokens"][id] == token.content
        looks_special = token.content.startswith("<|")
        control = keys["ggml.token_type"][id] in (2, 3)  # llama.cpp treats unknown alike
        assert control == (token.special or looks_special), token.content
    added = {
        token
        for token, type in zip(keys["ggml.tokens"], keys["ggml.token_type"], strict=True)
        if type in (3, 4)
    }
    assert added <= theirs.get_vocab().keys()
