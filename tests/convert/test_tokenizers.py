"""Tokenizers come out as they are, or are refused by name: small folders of public bug reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baize_convert.cli.program import run
from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.output.chat_prompt import ChatPrompt
from baize_convert.output.vocabulary_file import write_vocabulary
from baize_convert.parity.check import TokenizerDiffers
from baize_convert.parity.llama_model import open_vocabulary
from baize_convert.parity.source_tokenizers import open_source_tokenizer
from baize_convert.plan import ConversionOptions, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.model_config import read_config
from baize_convert.vocabulary.reading import read_vocabulary
from baize_tui.engine.llama.model import Model
from tests.convert.model_folders import random_folder, read_keys
from tests.convert.sentencepiece_models import train_sentencepiece
from tests.convert.test_vocabulary import LEGACY_NORMALIZER, SHAPE
from tests.convert.tokenizer_families import (
    GPT2_STEP,
    SPM_DECODER,
    added_token,
    metaspace,
    spm_merges,
    template_processing,
)
from tests.made_once import made_once

Json = dict[str, Any]
Change = Callable[[Json], None]
SPM_SIZE = 720


def byte_level_folder(folder: Path, change: Change = lambda _: None, **settings: object) -> Path:
    """A small model with a BPE on bytes, whose ``tokenizer.json`` is changed."""
    random_folder(folder, "F32", **SHAPE)
    rewrite(folder / "tokenizer.json", change)
    rewrite(folder / "tokenizer_config.json", lambda config: config.update(settings))
    return folder


@pytest.fixture(scope="session")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``tokenizer.model`` of 700 pieces, of which ``<ud>`` is user-defined."""

    return made_once(
        tmp_path_factory,
        "pieces.model",
        lambda file: train_sentencepiece(file, user_defined_symbols=["<ud>"]),
    )


def sentencepiece_folder(
    folder: Path, model: Path, tokenizer: Json | None, **settings: Any
) -> Path:
    """A small model with a ``tokenizer.model`` and perhaps a ``tokenizer.json``."""
    random_folder(folder, "F32", **{**SHAPE, "vocab_size": SPM_SIZE})
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(model.read_bytes())
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


def tokenizer_of(model: Path, **steps: Any) -> Json:
    """The ``tokenizer.json`` that transformers makes of a ``tokenizer.model``."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(model))
    size = processor.get_piece_size()
    pieces = [processor.id_to_piece(id) for id in range(size)]
    scores = [processor.get_score(id) for id in range(size)]
    special = {id for id in range(size) if processor.is_control(id) or processor.is_unknown(id)}
    skipped = {id for id in range(size) if processor.is_byte(id)} | special
    return {
        "version": "1.0",
        "added_tokens": [
            *(added_token(id, pieces[id], special=True) for id in sorted(special)),
            added_token(pieces.index("<ud>"), "<ud>", special=False),
        ],
        "normalizer": LEGACY_NORMALIZER,
        "pre_tokenizer": None,
        "post_processor": template_processing(("<s>", 1)),
        "decoder": SPM_DECODER,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {piece: id for id, piece in enumerate(pieces)},
            "merges": spm_merges(pieces, scores, skipped),
        },
        **steps,
    }


def rewrite(file: Path, change: Change) -> None:
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(content), "utf-8")


def merged_keys(folder: Path, tmp_path: Path) -> Json:
    """The keys of a merge, which has compared the tokenizers."""
    output = tmp_path / "out.gguf"
    merge(plan_conversion(folder, [], parse_outtype("F32")), output)
    keys = read_keys(output)
    return {name.removeprefix("tokenizer."): value for name, (_, value) in keys.items()}


def refusal(folder: Path) -> str:
    with pytest.raises(ConvertError) as caught:
        plan_conversion(folder, [], parse_outtype("F32"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def first_id(file: Path) -> int | None:
    """The id that llama.cpp puts in front of a text."""
    with Model(str(file), vocabulary_only=True) as model:
        alone = model.vocabulary.tokenize("a")
        framed = model.vocabulary.tokenize("a", add_special=True)
    return None if framed == alone else framed[0]


# --- tokens of several files --------------------------------------------------------------------


@pytest.mark.parametrize("new_spaces", [False, True], ids=["legacy", "transformers 5"])
def test_tokens_of_tokenizer_json_alone_are_written_beside_a_tokenizer_model(
    new_spaces: bool, sentencepiece: Path, tmp_path: Path
) -> None:
    """transformers 5 writes no ``added_tokens_decoder``: they were [PAD700], and so was eos."""
    steps: Json = {"normalizer": None, "pre_tokenizer": metaspace("first")} if new_spaces else {}
    tokenizer = tokenizer_of(sentencepiece, **steps)
    tokenizer["added_tokens"] += [
        added_token(700, "<|im_start|>", special=True),
        added_token(701, "<|im_end|>", special=True),
        added_token(702, "<mine>", special=False, normalized=True),
    ]
    folder = sentencepiece_folder(
        tmp_path / "m", sentencepiece, tokenizer, eos_token="<|im_end|>", pad_token="[PAD]"
    )
    keys = merged_keys(folder, tmp_path)
    assert keys["ggml.tokens"][700:705] == [
        *("<|im_start|>", "<|im_end|>", "<mine>"),
        "[PAD]",  # it has a name only, and transformers adds it after the others
        "[PAD704]",
    ]
    assert keys["ggml.token_type"][700:705] == [3, 3, 4, 3, 5]
    assert keys["ggml.eos_token_id"] == 701
    assert keys["ggml.tokens"][3] == "<ud>"
    assert keys["ggml.token_type"][3] == 4


@pytest.mark.parametrize(
    "extra", [["<|tool|>"], {"tool_token": "<|tool|>"}], ids=["list", "by name"]
)
def test_extra_special_tokens_of_transformers_5_are_written(extra: object, tmp_path: Path) -> None:
    """They were left out, so that llama.cpp spelled them."""
    keys = merged_keys(byte_level_folder(tmp_path / "m", extra_special_tokens=extra), tmp_path)
    at = keys["ggml.tokens"].index("<|tool|>")
    assert keys["ggml.token_type"][at] == 3


def test_a_token_of_the_vocabulary_is_special_if_it_has_a_name(
    sentencepiece: Path, tmp_path: Path
) -> None:
    """llama.cpp would not look for the end of an answer, and would spell it."""

    def change(tokenizer: Json) -> None:
        tokenizer["model"]["vocab"]["<|im_end|>"] = 260

    folder = byte_level_folder(tmp_path / "m", change, eos_token="<|im_end|>")
    (warning,) = plan_conversion(folder, [], parse_outtype("F32")).warnings
    assert "the ordinary token '<|im_end|>' is named as a special one" in warning
    assert merged_keys(folder, tmp_path)["ggml.token_type"][260] == 3

    alone = sentencepiece_folder(tmp_path / "n", sentencepiece, None, pad_token="e")
    keys = merged_keys(alone, tmp_path)
    assert keys["ggml.token_type"][keys["ggml.tokens"].index("e")] == 3


@pytest.mark.parametrize("with_json", [False, True])
def test_user_defined_pieces_keep_their_type(
    with_json: bool, sentencepiece: Path, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(sentencepiece) if with_json else None
    folder = sentencepiece_folder(tmp_path / "m", sentencepiece, tokenizer)
    assert merged_keys(folder, tmp_path)["ggml.token_type"][3] == 4


def take_all_ids(tokenizer: Json) -> None:
    """A further token comes after all that the model has an embedding for."""
    taken = range(len(tokenizer["model"]["vocab"]), 300)
    tokenizer["model"]["vocab"] |= {f"<{id}>": id for id in taken}


PADDING = added_token(300, "[PAD]", special=True)
NO_EMBEDDING = "no embedding for '[PAD]' of the tokenizer"


@pytest.mark.parametrize("file", ["tokenizer.json", "added_tokens.json", "tokenizer_config.json"])
def test_a_padding_without_an_embedding_is_left_out(file: str, tmp_path: Path) -> None:
    """As in Alpaca's and Guanaco's tokenizers: transformers loads them, and no text contains it."""

    def change(tokenizer: Json) -> None:
        take_all_ids(tokenizer)
        if file == "tokenizer.json":
            tokenizer["added_tokens"].append(PADDING)

    named = {"pad_token": "[PAD]"} if file == "tokenizer_config.json" else {}
    folder = byte_level_folder(tmp_path / "m", change, **named)
    if file == "added_tokens.json":
        (folder / file).write_text('{"[PAD]": 300}')
    plan = plan_conversion(folder, [], parse_outtype("F32"))
    assert [NO_EMBEDDING in warning for warning in plan.warnings] == [True]
    keys = merged_keys(folder, tmp_path)
    assert len(keys["ggml.tokens"]) == 300
    assert "[PAD]" not in keys["ggml.tokens"]
    assert run(["verify", str(tmp_path / "out.gguf"), "--base", str(folder), "--tokens", "16"]) == 0


@pytest.mark.parametrize(
    "settings", [{"chat_template": "{{ messages[0].content }}[PAD]"}, {"eos_token": "[PAD]"}]
)
def test_conversations_need_an_embedding_for_each_token(settings: Json, tmp_path: Path) -> None:
    def change(tokenizer: Json) -> None:
        take_all_ids(tokenizer)
        tokenizer["added_tokens"].append(PADDING)

    folder = byte_level_folder(tmp_path / "m", change, **settings)
    why = refusal(folder)
    assert "conversations have the token '[PAD]'" in why
    assert "resize_token_embeddings" in why
    if "chat_template" in settings:
        prompt = ChatPrompt(template="{{ messages[0].content }}")
        plan_conversion(folder, [], parse_outtype("F32"), ConversionOptions(prompt=prompt))


def test_files_that_disagree_are_reported(sentencepiece: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(sentencepiece)
    tokenizer["added_tokens"].append(added_token(700, "<one>", special=False))
    decoder = {"700": {"content": "<other>", "special": True}}
    folder = sentencepiece_folder(
        tmp_path / "m", sentencepiece, tokenizer, added_tokens_decoder=decoder
    )
    (folder / "added_tokens.json").write_text('{"<unread>": 701}')
    plan = plan_conversion(folder, [], parse_outtype("F32"))
    first, second = plan.warnings
    assert "tokenizer_config.json says that token 700 is '<other>'" in first
    assert "transformers makes it token 701" in first
    assert "transformers does not load '<unread>' of added_tokens.json" in second
    keys = merged_keys(folder, tmp_path)
    assert keys["ggml.tokens"][700:703] == ["<one>", "<other>", "[PAD702]"]


@pytest.mark.parametrize(
    ("settings", "older", "tokens"),
    [
        ({"added_tokens_decoder": {"705": {"content": "<x>"}}}, {}, {"<x>": 4}),
        ({"added_tokens_decoder": {"5": {"content": "<x>", "special": True}}}, {}, {"<x>": 3}),
        ({}, {"<x>": 709, "<y>": 704}, {"<y>": 4, "<x>": 4}),
        ({"pad_token": "<x>"}, {"<x>": 702}, {"<x>": 3}),
        ({"image_token": "<x>", "add_image_token": True}, {}, {"<x>": 3}),
        ({"image_token": {"content": "<x>", "__type": "AddedToken"}}, {}, {"<x>": 3}),
    ],
)
def test_tokens_beside_tokenizer_json_get_the_next_ids(
    settings: Json, older: Json, tokens: dict[str, int], sentencepiece: Path, tmp_path: Path
) -> None:
    """As in transformers, whatever id a file states: they were written at that id."""
    folder = sentencepiece_folder(
        tmp_path / "m", sentencepiece, tokenizer_of(sentencepiece), **settings
    )
    (folder / "added_tokens.json").write_text(json.dumps(older))
    keys = merged_keys(folder, tmp_path)
    after = 700 + len(tokens)
    assert keys["ggml.tokens"][700 : after + 1] == [*tokens, f"[PAD{after}]"]
    assert keys["ggml.token_type"][700:after] == list(tokens.values())
    assert keys["ggml.tokens"][5] == "<0x01>"


def test_spelled_special_tokens_are_refused(tmp_path: Path) -> None:
    """llama.cpp would read the tokens of a conversation that training had spelled."""
    folder = byte_level_folder(tmp_path / "m", split_special_tokens=True)
    assert "tokenizer_config.json: with split_special_tokens" in refusal(folder)


def test_another_tokenizer_model_beside_tokenizer_json_does_not_count(
    sentencepiece: Path, tmp_path: Path
) -> None:
    """A tiktoken file of that name, or the pieces of another model."""
    folder = byte_level_folder(tmp_path / "m")
    (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    assert plan_conversion(folder, [], parse_outtype("F32")).warnings == ()
    (folder / "tokenizer.model").write_bytes(b"neither of the two")
    (warning,) = plan_conversion(folder, [], parse_outtype("F32")).warnings
    assert "not a SentencePiece model" in warning
    assert "tokenizer.json counts" in warning
    merged_keys(folder, tmp_path)

    tokenizer = tokenizer_of(sentencepiece)
    vocab = tokenizer["model"]["vocab"]
    last = max(vocab, key=vocab.__getitem__)
    vocab["☃"] = vocab.pop(last)
    folder = sentencepiece_folder(tmp_path / "n", sentencepiece, tokenizer)
    (warning,) = plan_conversion(folder, [], parse_outtype("F32")).warnings
    assert "tokenizer.model and tokenizer.json disagree: token 699" in warning
    assert "'☃'" in warning


# --- the whole pipeline -------------------------------------------------------------------------


def set_step(part: str, value: object) -> Change:
    return lambda tokenizer: tokenizer.update({part: value})


def before_bytes(step: Json) -> Change:
    return set_step("pre_tokenizer", {"type": "Sequence", "pretokenizers": [step, GPT2_STEP]})


def isolate(pattern: Json) -> Json:
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (set_step("normalizer", {"type": "NFKC"}), "its normalizer NFKC"),
        (set_step("normalizer", {"type": "Lowercase"}), "its normalizer Lowercase"),
        (set_step("normalizer", {"type": "Strip"}), "its normalizer Strip"),
        (set_step("normalizer", {"type": "Prepend", "prepend": "▁"}), "Prepend(prepend='▁')"),
        (
            set_step("normalizer", {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}),
            "Replace(pattern='a', content='b')",
        ),
        (
            set_step("normalizer", {"type": "Sequence", "normalizers": [{"type": "StripAccents"}]}),
            "its normalizer StripAccents",
        ),
        (set_step("pre_tokenizer", {**GPT2_STEP, "add_prefix_space": True}), "add_prefix_space"),
        (before_bytes(isolate({"String": "~~"})), "Split(pattern='~~'"),
        (before_bytes(isolate({"Regex": "TODO"})), "the regex 'TODO'"),
        (set_step("pre_tokenizer", {"type": "Whitespace"}), "Whitespace"),
        (set_step("decoder", {"type": "WordPiece", "prefix": "##"}), "its decoder WordPiece"),
        (lambda tokenizer: tokenizer["model"].update(dropout=0.1), "dropout 0.1"),
        (
            lambda tokenizer: tokenizer["model"].update(end_of_word_suffix="</w>"),
            "end_of_word_suffix",
        ),
        (set_step("post_processor", {"type": "Other"}), "its post-processor Other"),
    ],
)
def test_what_llama_cpp_cannot_do_is_refused_by_name(
    change: Change, named: str, tmp_path: Path
) -> None:
    """The ids of llama.cpp's one text are those of GPT-2 in half of these."""
    assert named in refusal(byte_level_folder(tmp_path / "m", change))


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ({"normalizer": {"type": "NFKC"}}, "its normalizer NFKC"),
        ({"normalizer": None}, "how it writes spaces"),
        (
            {"normalizer": None, "pre_tokenizer": metaspace("always", split=True)},
            "its pre-tokenizer Metaspace",
        ),
        ({"normalizer": None, "pre_tokenizer": GPT2_STEP}, "its pre-tokenizer ByteLevel"),
    ],
)
def test_other_spaces_of_sentencepiece_are_refused_by_name(
    steps: Json, named: str, sentencepiece: Path, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(sentencepiece, **steps)
    vocab = tokenizer["model"]["vocab"]
    vocab["▁of▁the"] = len(vocab)
    folder = sentencepiece_folder(tmp_path / "m", sentencepiece, tokenizer)
    assert named in refusal(folder)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("alone", [True, False], ids=["tokenizer.json", "both files"])
@pytest.mark.parametrize(
    ("steps", "prefix"),
    [
        ({}, None),
        ({"normalizer": None, "pre_tokenizer": metaspace("always")}, None),
        ({"normalizer": None, "pre_tokenizer": metaspace("never")}, False),
        ({"normalizer": LEGACY_NORMALIZER["normalizers"][1]}, False),
    ],
    ids=["Prepend", "always", "never", "Gemma"],
)
def test_the_space_in_front_is_that_of_the_pipeline(
    steps: Json, prefix: bool | None, alone: bool, sentencepiece: Path, tmp_path: Path
) -> None:
    folder = sentencepiece_folder(
        tmp_path / "m", sentencepiece, tokenizer_of(sentencepiece, **steps)
    )
    if alone:
        (folder / "tokenizer.model").unlink()
    assert merged_keys(folder, tmp_path).get("ggml.add_space_prefix") is prefix


def test_add_prefix_space_counts_for_a_tokenizer_model_alone(
    sentencepiece: Path, tmp_path: Path
) -> None:
    folder = sentencepiece_folder(tmp_path / "m", sentencepiece, None, add_prefix_space=False)
    assert merged_keys(folder, tmp_path)["ggml.add_space_prefix"] is False


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"model_type": "unigram"}, "a Unigram model"),
        ({"normalization_rule_name": "nmt_nfkc"}, "its normalizer nmt_nfkc"),
        ({"remove_extra_whitespaces": True}, "removes extra spaces"),
    ],
)
def test_other_kinds_of_sentencepiece_are_refused(option: Json, named: str, tmp_path: Path) -> None:
    train_sentencepiece(tmp_path / "other.model", hard_vocab_limit=False, **option)
    folder = sentencepiece_folder(tmp_path / "m", tmp_path / "other.model", None)
    assert named in refusal(folder)


# --- begin and end ------------------------------------------------------------------------------

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def like_llama3(post_processor: Json | None) -> Change:
    def change(tokenizer: Json) -> None:
        splits = [isolate({"Regex": LLAMA3}), {**GPT2_STEP, "use_regex": False}]
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": splits}
        tokenizer["model"]["ignore_merges"] = True
        tokenizer["post_processor"] = post_processor

    return change


BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("post_processor", "settings", "begin", "end"),
    [
        (None, {}, None, None),
        (BYTES, {}, None, None),
        (template_processing(("<s>", 1)), {}, 1, None),
        (
            {"type": "Sequence", "processors": [BYTES, template_processing(("<s>", 1))]},
            {},
            *(1, None),
        ),
        (template_processing(("<s>", 1), ("</s>", 2)), {}, 1, 2),
        (template_processing(after=("</s>", 2)), {}, None, 2),
        # transformers 5 ignores these two beside a tokenizer.json.
        (template_processing(("<s>", 1)), {"add_bos_token": False}, 1, None),
        (template_processing(("<s>", 1)), {"add_eos_token": True}, 1, None),
        (None, {"add_bos_token": True}, None, None),
        (None, {"add_bos_token": True, "bos_token": None}, None, None),
        # Not the named BOS, but what is really added.
        (template_processing(("<unk>", 0)), {}, 0, None),
    ],
)
def test_llama_cpp_adds_what_the_post_processor_adds(
    post_processor: Json | None,
    settings: Json,
    begin: int | None,
    end: int | None,
    tmp_path: Path,
) -> None:
    """By default llama.cpp puts a BOS in front of every text for a tokenizer like LLaMA 3's."""
    folder = byte_level_folder(tmp_path / "m", like_llama3(post_processor), **settings)
    merged_keys(folder, tmp_path)
    with Model(str(tmp_path / "out.gguf"), vocabulary_only=True) as model:
        ids = model.vocabulary.tokenize("a", add_special=True)
        (letter,) = model.vocabulary.tokenize("a")
    assert ids == [id for id in (begin, letter, end) if id is not None]


def test_more_than_one_token_in_front_is_refused(tmp_path: Path) -> None:
    twice = template_processing(("<s>", 1))
    twice["single"].insert(0, twice["single"][0])
    assert "2 tokens in front" in refusal(byte_level_folder(tmp_path / "m", like_llama3(twice)))


def test_without_a_bos_token_nothing_is_in_front(tmp_path: Path) -> None:
    """llama.cpp's default ids could be any tokens, eos among them."""
    folder = byte_level_folder(tmp_path / "m", like_llama3(None), bos_token=None)
    keys = merged_keys(folder, tmp_path)
    assert "ggml.bos_token_id" not in keys
    assert keys["ggml.add_bos_token"] is False
    assert first_id(tmp_path / "out.gguf") is None


def test_an_ordinary_token_never_ends_an_answer(tmp_path: Path) -> None:
    """Without eos llama.cpp takes token 11 of a BPE on bytes, a comma."""
    folder = byte_level_folder(tmp_path / "m", eos_token=None)
    keys = merged_keys(folder, tmp_path)
    assert keys["ggml.tokens"][keys["ggml.eos_token_id"]] == "</s>"


def test_eos_of_the_config_is_no_filler(tmp_path: Path) -> None:
    folder = byte_level_folder(tmp_path / "m", eos_token=None, bos_token=None)
    rewrite(
        folder / "config.json", lambda config: config.update(bos_token_id=280, eos_token_id=290)
    )
    keys = merged_keys(folder, tmp_path)
    assert keys["ggml.eos_token_id"] == 2
    assert "ggml.bos_token_id" not in keys


@pytest.mark.parametrize("named", [True, False])
def test_code_llama_is_known_by_its_tokens_not_by_their_number(
    named: bool, sentencepiece: Path, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(sentencepiece)
    texts = ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"] if named else ["<a>", "<b>", "<c>", "<d>"]
    tokenizer["added_tokens"] += [
        added_token(32007 + at, text, special=True) for at, text in enumerate(texts)
    ]
    vocab = tokenizer["model"]["vocab"]
    vocab |= {f"<filler {id}>": id for id in range(len(vocab), 32007)}
    folder = sentencepiece_folder(tmp_path / "m", sentencepiece, tokenizer)
    rewrite(folder / "config.json", lambda config: config.update(vocab_size=32016))
    (folder / "tokenizer.model").unlink()
    ids = read_vocabulary(folder, read_config(folder)).special_ids
    assert ids.get("prefix") == (32007 if named else None)
    assert ids.get("eot") == (32010 if named else None)


# --- chat templates -----------------------------------------------------------------------------


def test_a_template_file_comes_before_tokenizer_config(tmp_path: Path) -> None:
    folder = byte_level_folder(tmp_path / "m", chat_template="old {{ messages[-1].content }}")
    assert merged_keys(folder, tmp_path)["chat_template"].startswith("old")
    (folder / "chat_template.jinja").write_text("new {{ messages[-1].content }}")
    assert merged_keys(folder, tmp_path)["chat_template"].startswith("new")
    further = folder / "additional_chat_templates"
    further.mkdir()
    (further / "tool_use.jinja").write_text("tools {{ messages[-1].content }}")
    keys = merged_keys(folder, tmp_path)
    assert keys["chat_template"].startswith("new")
    assert keys["chat_templates"] == ["tool_use"]
    assert keys["chat_template.tool_use"].startswith("tools")


def test_named_templates_of_tokenizer_config(tmp_path: Path) -> None:
    named = [
        {"name": "default", "template": "plain {{ messages[-1].content }}"},
        {"name": "rag", "template": "documents"},
    ]
    keys = merged_keys(byte_level_folder(tmp_path / "m", chat_template=named), tmp_path)
    assert keys["chat_template"].startswith("plain")
    assert keys["chat_template.rag"] == "documents"


def test_a_template_that_fails_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = byte_level_folder(tmp_path / "m", chat_template="{% if %}")
    assert run(["merge", str(folder), "--outtype", "F32", "-o", str(tmp_path / "out.gguf")]) == 0
    assert "a conversation cannot be compared: the chat template failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "settings", "arguments", "is_reported"),
    [
        ("<turn|>", {}, [], True),
        ("<turn|>", {"eos_token": "<turn|>"}, [], False),
        ("<turn|>", {}, ["--stop", "<turn|>"], False),
        ("</s>", {}, [], False),
        ("", {}, [], True),
    ],
)
def test_a_template_whose_answers_do_not_end_is_reported(
    end: str,
    settings: Json,
    arguments: list[str],
    is_reported: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of trainers that put the base's EOS back: the model writes the whole conversation."""
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + end + "\n{% endfor %}"
    folder = byte_level_folder(
        tmp_path / "m",
        lambda tokenizer: tokenizer["added_tokens"].append(
            added_token(260, "<turn|>", special=True)
        ),
        chat_template=template,
        **settings,
    )
    output = ["--outtype", "F32", "-o", str(tmp_path / "out.gguf")]
    assert run(["merge", str(folder), *output, *arguments]) == 0
    printed = capsys.readouterr().err
    assert (f"puts '{end}\\nuser: ' behind an answer, which" in printed) == is_reported


# --- the check ----------------------------------------------------------------------------------


def test_a_difference_leaves_no_file_and_shows_both_tokenizations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    def join_digits(tokenizer: Json) -> None:
        tokenizer["model"]["vocab"]["22"] = 260
        tokenizer["model"]["merges"].append("2 2")

    folder = byte_level_folder(tmp_path / "m", join_digits)
    output = tmp_path / "out.gguf"
    arguments = ["merge", str(folder), "--outtype", "F32", "--pre", "smollm", "-o", str(output)]
    assert run(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("baize-convert: first: ")
    assert lines[1].startswith("baize-convert: source [")
    assert lines[2].startswith("baize-convert: result [")
    assert "texts otherwise than the tokenizer in" in lines[3]
    assert list(tmp_path.glob("out.gguf*")) == []
    assert run([*arguments, "--allow-tokenizer-difference"]) == 0
    assert "texts otherwise than the tokenizer in" in capsys.readouterr().err
    assert output.is_file()


def test_the_check_is_part_of_every_merge(tmp_path: Path) -> None:
    """Whatever the reader does wrong, for whoever calls ``merge``."""
    folder = byte_level_folder(tmp_path / "m", chat_template="{{ bos_token }}{{ messages[-1] }}")
    wrong = plan_conversion(folder, [], parse_outtype("F32"))
    rewrite(
        folder / "tokenizer.json",
        lambda tokenizer: tokenizer["added_tokens"].append(
            added_token(260, "<new>", special=False)
        ),
    )
    with pytest.raises(TokenizerDiffers) as caught:
        merge(wrong, tmp_path / "out.gguf")
    assert caught.value.comparison.differences[0].line == "<new>"
    assert caught.value.comparison.differences[0].source == [260]


def test_the_check_needs_no_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The home may be read-only. Here it cannot even exist: root may write everywhere else."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAIZE_HOME", str(tmp_path / "file" / "home"))
    folder = byte_level_folder(tmp_path / "checked-without-home")
    output = tmp_path / "out.gguf"
    assert run(["merge", str(folder), "--outtype", "F32", "-o", str(output)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["phi3.5-tuned", "My Phi-3", "Modern-BERT-like"])
def test_the_name_of_a_model_changes_no_tokens(name: str, tmp_path: Path) -> None:
    """llama.cpp strips spaces by that name, and asks for tokens that need not be there."""
    folder = byte_level_folder(
        tmp_path / name,
        lambda tokenizer: tokenizer["added_tokens"].append(
            added_token(260, "[MASK]", special=True)
        ),
    )
    output = tmp_path / "out.gguf"
    assert run(["merge", str(folder), "--outtype", "F32", "-o", str(output)]) == 0


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_known_limits_are_reported_and_do_not_fail(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = byte_level_folder(
        tmp_path / "m",
        lambda tokenizer: tokenizer["added_tokens"].append(
            added_token(260, "<new>", special=False, **{flag: True})
        ),
    )
    output = tmp_path / "out.gguf"
    assert run(["merge", str(folder), "--outtype", "F32", "-o", str(output), "--json"]) == 0
    captured = capsys.readouterr()
    (warning,) = json.loads(captured.out)["warnings"]
    assert "llama.cpp ignores lstrip, rstrip, single_word" in warning
    assert warning in captured.err


@pytest.mark.parametrize("said", [True, False, None])
def test_a_space_that_a_class_of_transformers_adds_is_reported(
    said: bool | None, tmp_path: Path
) -> None:
    settings: Json = {} if said is None else {"add_prefix_space": said}
    folder = byte_level_folder(tmp_path / "m", **settings)
    warnings = read_vocabulary(folder, read_config(folder)).warnings
    assert ["add_prefix_space True" in warning for warning in warnings] == [True] * bool(said)


@pytest.mark.parametrize(
    ("texts", "overlap"),
    [
        (("ab c", "c ddd"), "'ab c' and 'c ddd' can overlap"),
        (("[|a|]", "][|bbb"), "'[|a|]' and '][|bbb' can overlap"),
        (("ab cc", "c dd"), None),  # both take the first, which is the longer one
        (("\n\n", "\n\n\n", "\n\n\n\n"), None),
        (("<a>", "<a>b", "<|a|>"), None),
    ],
)
def test_added_tokens_that_overlap_are_reported(
    texts: tuple[str, ...], overlap: str | None, tmp_path: Path
) -> None:
    """The tokenizer takes the first of them in a text, llama.cpp the longest."""

    def add(tokenizer: Json) -> None:
        for at, text in enumerate(texts):
            tokenizer["added_tokens"].append(added_token(260 + at, text, special=False))

    folder = byte_level_folder(tmp_path / "m", add)
    warnings = read_vocabulary(folder, read_config(folder)).warnings
    assert [overlap in warning for warning in warnings if overlap] == [True] * bool(overlap)
    assert bool(warnings) == bool(overlap)
    vocabulary = tmp_path / "vocabulary.gguf"
    write_vocabulary(folder, vocabulary)
    text = "ab c ddd ab cc dd [|a|][|bbb \n\n\n\n\n\n\n <a>b"
    with open_source_tokenizer(folder) as source, open_vocabulary(vocabulary) as result:
        assert (source.encode([text]) != result.encode([text])) == bool(overlap)


def test_a_tokenizer_that_no_library_reads_is_refused_unless_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = byte_level_folder(tmp_path / "m", lambda tokenizer: tokenizer.update(version="9.9"))
    arguments = ["merge", str(folder), "--outtype", "F32", "-o", str(tmp_path / "out.gguf")]
    assert run(arguments) == 1
    assert "cannot be compared with that of the source" in capsys.readouterr().err
    assert run([*arguments, "--allow-tokenizer-difference"]) == 0


def test_truncation_left_by_training_does_not_count(tmp_path: Path) -> None:
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    merged_keys(byte_level_folder(tmp_path / "m", set_step("truncation", cut)), tmp_path)
