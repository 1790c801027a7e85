"""What a tokenizer adds to a text, and where its tokens are, compared with transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baize_tui.engine.llama.model import Model
from tests.convert.test_tokenizers import BYTES, byte_level_folder, like_llama3, merged_keys
from tests.convert.tokenizer_families import added_token, template_processing

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
