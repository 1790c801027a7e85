"""A prompt as the token ids of a loaded model."""

from __future__ import annotations

from typing import Protocol

import msgspec

from baize_tui.engine.prompts.fragments import PromptTokenizer, Tokenizer
from baize_tui.engine.prompts.template_sandbox import TemplateError
from baize_tui.engine.prompts.templates import render
from baize_tui.engine.protocol import Prompt


class PromptVocabulary(Tokenizer, Protocol):
    """What a prompt needs from a vocabulary."""

    bos: int
    """Id of the token that begins a text, -1 for none."""
    add_bos: bool
    """Whether every prompt begins with it."""

    @property
    def eos(self) -> int:
        """Id of the token that ends a text, -1 for none."""

    def special_text(self, token: int) -> str:
        """The text of a special token as a template writes it; empty for -1."""


class PromptReader:
    """Renders prompts with a template and tokenizes them with a vocabulary."""

    def __init__(self, vocabulary: PromptVocabulary, template: str) -> None:
        """``template`` is the model's own, for prompts without one; empty if it has none."""
        self._vocabulary = vocabulary
        self._template = template
        self.tokenizer = PromptTokenizer(vocabulary)

    def with_partial_ids(self, prompt: Prompt) -> Prompt:
        """``prompt`` with its partial answer as ids, tokenized apart from the rest."""
        partial = prompt.partial
        if partial is None or partial.ids:
            return prompt
        ids = self.tokenizer.plain(partial.content)
        return msgspec.structs.replace(
            prompt, partial=msgspec.structs.replace(partial, ids=ids) if ids else None
        )

    def ids(self, prompt: Prompt) -> list[int]:
        """Token ids of ``prompt``, with a BOS in front where the vocabulary wants one.

        Raises:
            TemplateError: the chat template failed.
        """
        source = prompt.template if prompt.template is not None else self._template
        if not source:
            raise TemplateError("the file has none; choose a prompt format in the settings")
        vocabulary = self._vocabulary
        marked = render(
            prompt,
            source,
            vocabulary.specials,
            {
                "bos_token": vocabulary.special_text(vocabulary.bos),
                "eos_token": vocabulary.special_text(vocabulary.eos),
            },
        )
        ids = self.tokenizer.ids(marked)
        if vocabulary.add_bos and ids[:1] != [vocabulary.bos]:
            ids.insert(0, vocabulary.bos)
        return ids


def broken_marker_notices(prompt: Prompt) -> list[str]:
    """One line for a person about turn markers in the contents that were broken up."""
    typed = [
        marker
        for marker in prompt.markers
        if any(marker in message.content for message in prompt.messages)
    ]
    if not typed:
        return []
    markers = " and ".join(typed)
    return [f"{markers} in the text would end a turn: a zero-width break was inserted"]
