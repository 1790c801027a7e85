"""An answer that was generated again, compared with the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.common_prefix import common_prefix_length
from baize_shared.sanitizer import clean_line
from baize_tui.engine.protocol import TokenChoice
from baize_tui.store.records import Provenance
from baize_tui.translation import msg, tr

_LABELS: Mapping[str, str] = {
    "model": msg("model"),
    "model_sha256": msg("model file"),
    "format": msg("prompt format"),
    "adapters": msg("adapters"),
    "prompt_tokens": msg("tokens of the prompt"),
    "reused_tokens": msg("tokens that were not read again"),
    "summary": msg("summary of older turns"),
    "shifted": msg("shifted KV cache"),
    "threads": msg("threads"),
    "threads_batch": msg("threads for prompts"),
    "gpu_layers": msg("GPU layers"),
    "backend": "llama.cpp",
    "baize_tui": "baize-tui",
    "profile": msg("machine profile"),
    "flash_attention": msg("flash attention"),
    "kv_type": msg("KV cache"),
    "draft": msg("draft model"),
}
"""What can change an answer, by the name in its record."""
_CHANGE = msg("{what}: {before}, now {now}")
_LONGEST = 40


class Replay(Struct, frozen=True):
    """How a new answer differs from the stored one; ``place`` is None if it is the same."""

    place: int | None
    """The first token that differs, counted from 0."""
    before: TokenChoice | None = None
    """The stored token there; None if the stored answer has ended by then."""
    now: TokenChoice | None = None
    changed: Sequence[str] = ()
    """What was otherwise when the stored answer was made, a line each."""


def first_difference(before: Sequence[int], now: Sequence[int]) -> int | None:
    """The place of the first token that differs; None if all are the same."""
    place = common_prefix_length(before, now)
    return None if place == len(before) == len(now) else place


def changed_facts(made: Mapping[str, Any], now: Provenance) -> list[str]:
    """What a record says otherwise than ``now``; what it does not mention is left out."""
    facts = msgspec.to_builtins(now)
    return [
        tr(_CHANGE, what=tr(label), before=_text(made[key]), now=_text(facts[key]))
        for key, label in _LABELS.items()
        if key in made and made[key] != facts[key] and None not in (made[key], facts[key])
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return tr("on") if value else tr("off")
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {scale}" for name, scale in value.items())
    return clean_line(str(value), _LONGEST) or tr("none")
