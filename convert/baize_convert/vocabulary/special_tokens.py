"""Special tokens: begin, end, padding, and every token that ends an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import SpecialVocab, TokenType

from baize_convert.failures import ConvertError, reason
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.tokenizer_files import GenerationConfig, read_json_file
from baize_convert.vocabulary.vocabulary import Vocabulary

_BEGIN, _END = b"<s>", b"</s>"
_RECOGNIZED_END_TOKENS = frozenset(
    {
        b"<|eot_id|>",
        b"<|im_end|>",
        b"<|end|>",
        b"<|return|>",
        b"<|call|>",
        b"<|flush|>",
        b"<|calls|>",
        b"<end_of_turn>",
        b"<|endoftext|>",
        b"</s>",
        b"<|eom_id|>",
        b"<EOT>",
        b"_<EOT>",
        b"[EOT]",
        b"[EOS]",
        b"<|end_of_text|>",
        b"<end_of_utterance>",
        b"<eos>",
    }
)
"""Tokens that llama.cpp recognizes by text as ends of generation (``llama_vocab::impl::load``)."""


class _SpecialTokens(SpecialVocab):
    """Ignores the id -1, which means "none" in old configs and makes the gguf package raise."""

    def _set_special_token(self, typ: str, tid: Any) -> None:
        if not isinstance(tid, int) or tid >= 0:
            super()._set_special_token(typ, tid)


def add_special_tokens(vocabulary: Vocabulary, folder: Path, config: ModelConfig) -> None:
    """Add ids of special tokens, merges and the chat template from the files in ``folder``.

    Raises:
        ConvertError: a file of the tokenizer cannot be read.
    """
    bpe = vocabulary.scores is None
    try:
        special = _SpecialTokens(folder, load_merges=bpe, n_vocab=len(vocabulary.tokens))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        raise ConvertError(
            f"{folder}: the files of the tokenizer cannot be read: {reason(error)}"
        ) from error
    vocabulary.merges = special.merges if bpe else []
    vocabulary.special_ids = dict(special.special_token_ids)
    for kind, id in (("bos", config.bos_token_id), ("eos", config.eos_token_id)):
        if isinstance(id, int) and 0 <= id < len(vocabulary.tokens):
            vocabulary.special_ids.setdefault(kind, id)
    vocabulary.add_special = dict(special.add_special_token)
    vocabulary.chat_template = special.chat_template


def repair_begin_and_end(vocabulary: Vocabulary, folder: Path) -> None:
    """Use ``<s>`` and ``</s>`` where the config names tokens that cannot be begin and end."""
    expected = {"bos": (_BEGIN, {_END}), "eos": (_END, {_BEGIN})}
    for kind, (piece, others) in expected.items():
        id = vocabulary.special_ids.get(kind)
        if id is None or piece not in vocabulary.tokens:
            continue
        if vocabulary.types[id] == TokenType.UNKNOWN or vocabulary.tokens[id] in others:
            right = vocabulary.tokens.index(piece)
            vocabulary.warnings.append(
                f"{folder}: the config says that {kind} is {id}, "
                f"{vocabulary.tokens[id].decode()}; the vocabulary's {right}, {piece.decode()}, is "
                "used instead"
            )
            vocabulary.special_ids[kind] = right


def add_end_tokens(vocabulary: Vocabulary, folder: Path, config: ModelConfig) -> None:
    """Add all tokens that end an answer.

    llama.cpp has three keys for them, and recognizes others by their text.
    """
    generation = read_json_file(folder / "generation_config.json", GenerationConfig)
    ends: list[int] = []
    for ids in (config.eos_token_id, generation.eos_token_id if generation else None):
        ends += [id for id in (ids if isinstance(ids, list) else [ids]) if id is not None]
    begin = vocabulary.special_ids.get("bos")
    ends = [
        id
        for id in dict.fromkeys(ends)
        if 0 <= id < len(vocabulary.tokens)
        and id != begin
        and vocabulary.types[id] != TokenType.UNKNOWN
    ]
    if ends:
        vocabulary.special_ids.setdefault("eos", ends[0])
    known = set(vocabulary.special_ids.values())
    left = [
        id for id in ends if id not in known and vocabulary.tokens[id] not in _RECOGNIZED_END_TOKENS
    ]
    for kind in ("eot", "eom"):
        if left and kind not in vocabulary.special_ids:
            vocabulary.special_ids[kind] = left.pop(0)
    if left:
        names = ", ".join(vocabulary.tokens[id].decode("utf-8", "replace") for id in left)
        vocabulary.warnings.append(
            f"{folder}: llama.cpp has no key for further tokens that end an answer: {names}"
        )
