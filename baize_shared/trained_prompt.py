"""How the dialogues were prompted that an adapter was trained on: a file beside its weights.

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


class TrainedPrompt(Struct, frozen=True):
    """A prompt format of baize-tui and the system prompt."""

    format: str
    """``template`` is the model's own chat template."""
    system: str


def write_trained_prompt(prompt: TrainedPrompt, folder: Path) -> None:
    """Write the file of the adapter in ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(prompt)) + b"\n"
    write_atomically(folder / TRAINED_PROMPT_FILE, content)


def read_trained_prompt(folder: Path) -> TrainedPrompt | None:
    """The prompt of the adapter in ``folder``; None if it is not known."""
    try:
        raw = (folder / TRAINED_PROMPT_FILE).read_bytes()
        return msgspec.json.decode(raw, type=TrainedPrompt)
    except (OSError, *JSON_ERRORS):
        return None
