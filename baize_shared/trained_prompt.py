"""How the dialogues were prompted that a model was trained on: a file beside its weights.

``baize-train finetune`` writes it, ``baize-convert merge`` copies it into the GGUF, and the chat
client prompts the model in the same way.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS

TRAINED_PROMPT_FILE = "baize_prompt.json"


class NewToken(Struct, frozen=True, omit_defaults=True):
    """A token that training added to a vocabulary."""

    text: str
    special: bool = False
    """Whether only a chat template can write it. If not, it is a word: wherever its text occurs,
    that is this token."""


class TrainedPrompt(Struct, frozen=True, omit_defaults=True):
    """A prompt format of baize-tui, the system prompt, and tokens that were added."""

    format: str
    """``template`` is the model's own chat template."""
    system: str
    new_tokens: tuple[NewToken, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The added tokens that are words."""
        return tuple(token.text for token in self.new_tokens if not token.special)


def write_trained_prompt(prompt: TrainedPrompt, folder: Path) -> None:
    """Write the file of the model or adapter in ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(prompt)) + b"\n"
    write_atomically(folder / TRAINED_PROMPT_FILE, content)


def read_trained_prompt(folder: Path) -> TrainedPrompt | None:
    """The prompt of the model or adapter in ``folder``; None if it is not known."""
    try:
        raw = (folder / TRAINED_PROMPT_FILE).read_bytes()
        return msgspec.json.decode(raw, type=TrainedPrompt)
    except (OSError, *JSON_ERRORS):
        return None
