"""Special tokens: begin, end, padding, and every token that ends an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import SpecialVocab

from baize_convert.failures import ConvertError
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.sentencepiece_model import UNKNOWN
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
"""What llama.cpp takes for an end of generation by its text (``llama_vocab::impl::load``)."""


class _SpecialTokens(SpecialVocab):
    """An id of -1 says "none" in old configs; the gguf package raises for it."""

    def _set_special_token(self, typ: str, tid: Any) -> None:
        if not isinstance(tid, int) or tid >= 0:
            super()._set_special_token(typ, tid)


def add_special_tokens(found: Vocabulary, folder: Path, config: ModelConfig) -> None:
    bpe = found.scores is None
    try:
        special = _SpecialTokens(folder, load_merges=bpe, n_vocab=len(found.tokens))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        why = " ".join(str(error).split())
        raise ConvertError(f"{folder}: the files of the tokenizer cannot be read: {why}") from error
    found.merges = special.merges if bpe else []
    found.special_ids = dict(special.special_token_ids)
    for kind, id in (("bos", config.bos_token_id), ("eos", config.eos_token_id)):
        if isinstance(id, int) and 0 <= id < len(found.tokens):
            found.special_ids.setdefault(kind, id)
    found.add_special = dict(special.add_special_token)
    found.chat_template = special.chat_template


def repair_begin_and_end(found: Vocabulary, folder: Path) -> None:
    """Take ``<s>`` and ``</s>`` of the vocabulary where the config names what cannot be they."""
    wrong_for = {"bos": (_BEGIN, {_END}), "eos": (_END, {_BEGIN})}
    for kind, (piece, others) in wrong_for.items():
        id = found.special_ids.get(kind)
        if id is None or piece not in found.tokens:
            continue
        if found.types[id] == UNKNOWN or found.tokens[id] in others:
            right = found.tokens.index(piece)
            found.warnings.append(
                f"{folder}: the config says that {kind} is {id}, {found.tokens[id].decode()}: "
                f"taken is {right}, {piece.decode()}, as the vocabulary has it"
            )
            found.special_ids[kind] = right


def add_end_tokens(found: Vocabulary, folder: Path, config: ModelConfig) -> None:
    """All tokens that end an answer: llama.cpp has three places for them besides those it knows."""
    generation = read_json_file(folder / "generation_config.json", GenerationConfig)
    ends: list[int] = []
    for given in (config.eos_token_id, generation.eos_token_id if generation else None):
        ends += [id for id in (given if isinstance(given, list) else [given]) if id is not None]
    begin = found.special_ids.get("bos")
    ends = [
        id
        for id in dict.fromkeys(ends)
        if 0 <= id < len(found.tokens) and id != begin and found.types[id] != UNKNOWN
    ]
    if ends:
        found.special_ids.setdefault("eos", ends[0])
    known = set(found.special_ids.values())
    left = [id for id in ends if id not in known and found.tokens[id] not in _RECOGNIZED_END_TOKENS]
    for kind in ("eot", "eom"):
        if left and kind not in found.special_ids:
            found.special_ids[kind] = left.pop(0)
    if left:
        named = ", ".join(found.tokens[id].decode("utf-8", "replace") for id in left)
        found.warnings.append(
            f"{folder}: llama.cpp has no place for more ends of an answer: {named}"
        )
