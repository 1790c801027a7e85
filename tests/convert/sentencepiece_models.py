"""Small SentencePiece models, trained on the text that ``merge`` and ``verify`` compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceTrainer

from baize_convert.parity.text import verification_text

PIECES = 700


def train_sentencepiece(file: Path, **options: Any) -> None:
    """Train a BPE like LLaMA's of ``PIECES`` pieces; ``options`` of the trainer change it."""
    text = file.with_suffix(".txt")
    text.write_text(verification_text(), "utf-8")
    usual: dict[str, Any] = {
        "vocab_size": PIECES,
        "model_type": "bpe",
        "byte_fallback": True,
        "character_coverage": 0.98,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "minloglevel": 2,
    }
    prefix = str(file.with_suffix(""))
    SentencePieceTrainer.train(input=str(text), model_prefix=prefix, **{**usual, **options})
    text.unlink()
