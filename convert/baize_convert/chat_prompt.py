"""How to talk with a model, where its own files do not say: a template and what ends an answer."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from gguf import GGUFWriter


@dataclass(frozen=True)
class ChatPrompt:
    """Keys for programs that chat with the output.

    ``format`` is the name of a prompt format of baize-tui, ``stop`` the strings that end an answer:
    no key of llama.cpp holds them.
    """

    template: str | None = None
    stop: tuple[str, ...] = ()
    format: str | None = None

    def add_keys(self, writer: GGUFWriter) -> None:
        if self.format is not None:
            writer.add_string("baize.prompt_format", self.format)
        if self.stop:
            # As JSON: llama.cpp hands out keys of text, and none that are arrays.
            writer.add_string("baize.stop", msgspec.json.encode(self.stop).decode())
