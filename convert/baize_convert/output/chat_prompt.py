"""The chat template and the strings that end an answer, for models whose files lack them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from gguf import GGUFWriter

from baize_shared.trained_prompt import read_trained_prompt


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
    words: tuple[str, ...] = ()
    """Tokens that were added to the vocabulary and that occur in texts. llama.cpp has one type for
    these and for markers, which nobody can type into the chat."""

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
        if self.words:
            writer.add_string("baize.words", msgspec.json.encode(self.words).decode())


def complete_prompt(prompt: ChatPrompt, folders: Sequence[Path]) -> ChatPrompt:
    """``prompt`` with what it lacks, as ``baize-train`` left it in ``folders``.

    The last folder that has a prompt says format and system prompt; the words are those of all.
    """
    found = [trained for trained in map(read_trained_prompt, folders) if trained is not None]
    if not found:
        return prompt
    words = [*prompt.words, *(word for trained in found for word in trained.words)]
    return replace(
        prompt,
        format=prompt.format or found[-1].format,
        system=found[-1].system if prompt.system is None else prompt.system,
        words=tuple(dict.fromkeys(words)),
    )
