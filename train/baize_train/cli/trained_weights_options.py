"""The options of ``finetune`` that say what is trained besides, or instead of, a LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from baize_shared.typed_text import typed_text


@dataclass(frozen=True, kw_only=True)
class TrainedWeightsOptions:
    """New tokens and full fine-tuning. A config file can name them too."""

    full: Annotated[
        bool, typer.Option("--full", help="Train all weights instead of a LoRA; small models.")
    ] = False
    new_tokens: Annotated[
        list[str] | None,
        typer.Option(
            "--new-token",
            help="A word to add to the vocabulary and train; may be repeated.",
            parser=typed_text,
        ),
    ] = None
    special_tokens: Annotated[
        list[str] | None,
        typer.Option(
            "--special-token",
            help="A token to add that only a chat template writes; repeatable.",
            parser=typed_text,
        ),
    ] = None

    @property
    def trained_weights(self) -> dict[str, Any]:
        """The values of a preset that the options replace."""
        return {
            "full": self.full or None,
            "new_tokens": tuple(self.new_tokens) if self.new_tokens else None,
            "special_tokens": tuple(self.special_tokens) if self.special_tokens else None,
        }
