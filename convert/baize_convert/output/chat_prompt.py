"""The chat template and the strings that end an answer, for models whose files lack them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from gguf import GGUFWriter


@dataclass(frozen=True)
class ChatPrompt:
    """Keys for programs that chat with the output.

    ``template`` replaces the chat template of the model. ``format`` is the name of a prompt format
    of baize-tui, and ``stop`` are the strings that end an answer; llama.cpp has a key for neither.
    """

    template: str | None = None
    stop: tuple[str, ...] = ()
    format: str | None = None
    system: str | None = None
    """The system prompt that it was trained with."""

    def add_keys(self, writer: GGUFWriter) -> None:
        """Add the keys that llama.cpp does not have."""
        if self.format is not None:
            writer.add_string("baize.prompt_format", self.format)
        if self.system is not None:
            # As JSON, because an empty text is not the same as none.
            writer.add_string("baize.system", msgspec.json.encode(self.system).decode())
        if self.stop:
            # As JSON, because llama.cpp returns keys with text, but not arrays.
            writer.add_string("baize.stop", msgspec.json.encode(self.stop).decode())
