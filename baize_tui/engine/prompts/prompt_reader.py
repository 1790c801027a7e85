"""A prompt as the token ids of a loaded model, and how the answer to it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import msgspec

from baize_tui.engine.prompts.fragments import PromptTokenizer, Tokenizer
from baize_tui.engine.prompts.reasoning_styles import (
    START,
    STYLES,
    Position,
    ReasoningStyle,
    appears_in,
    applicable_styles,
    position_after,
)
from baize_tui.engine.prompts.template_sandbox import TemplateError
from baize_tui.engine.prompts.templates import render, render_end
from baize_tui.engine.prompts.thinking_switch import find_switch
from baize_tui.engine.prompts.thought_splitter import MarkupTokens, Part, ThoughtSplitter
from baize_tui.engine.protocol import Prompt, PromptMessage
from baize_tui.translation import tr

_MARKUP = tuple(
    mark for style in STYLES if not style.spoken for mark in style.markup if "<" in mark
)


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

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; a control token is empty unless ``special``."""


@dataclass(frozen=True, slots=True)
class AnswerBeginning:
    """What is known about an answer before its first token."""

    styles: Sequence[ReasoningStyle] = STYLES
    position: Position = START
    known_from: Sequence[str] = ()
    """The template, and the end of the rendered prompt."""
    tokens: MarkupTokens = field(default_factory=lambda: MarkupTokens((), ()))

    def splitter(self) -> ThoughtSplitter:
        """For the text that is generated from here."""
        return ThoughtSplitter(self.styles, self.position, self.tokens)

    @property
    def style(self) -> ReasoningStyle:
        """The style in which the client writes a thought of this model."""
        return self.position.style or self.styles[0]

    def is_in(self, grammar: str) -> bool:
        """Whether a grammar has the markup that ends a thought of this model."""
        return any(mark in grammar for mark in self.style.stops)

    @property
    def needs_header(self) -> bool:
        """Whether even an answer without a thought begins with markup that the model writes."""
        style = self.style
        return (
            self.position.phase == "start"
            and style.has_channels
            and appears_in(style, *self.known_from)
        )


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """A prompt, ready to be computed."""

    ids: list[int]
    partial_ids: list[int]
    """The end of ``ids``: the partial answer."""
    beginning: AnswerBeginning
    notices: list[str]
    """What differs from what was asked, for a person."""
    why_thinking: str = ""
    """Why the answer can have a thought although thinking is switched off; empty if it is not."""


class PromptReader:
    """Renders prompts with a template and tokenizes them with a vocabulary."""

    def __init__(self, vocabulary: PromptVocabulary, template: str) -> None:
        """``template`` is the model's own, for prompts without one; empty if it has none."""
        self._vocabulary = vocabulary
        self._template = template
        self.tokenizer = PromptTokenizer(vocabulary)
        self._tokens = MarkupTokens(vocabulary.specials, STYLES)
        self._variables = {
            "bos_token": vocabulary.special_text(vocabulary.bos),
            "eos_token": vocabulary.special_text(vocabulary.eos),
        }
        self._answer_ids = lru_cache(256)(self._find_answer_ids)

    def read(self, prompt: Prompt) -> ReadPrompt:
        """Everything that generating an answer needs.

        Raises:
            TemplateError: the chat template failed.
        """
        source = self._source(prompt)
        notices = broken_marker_notices(prompt)
        why_thinking = self._unswitchable(source) if prompt.think is False else ""
        prompt = self._switched(prompt, source)
        end = render_end(prompt, source, self._vocabulary.specials, self._variables)
        styles = applicable_styles(source, end)
        position = position_after(end, styles)
        beginning = AnswerBeginning(styles, position, (source, end), self._tokens)
        prompt = self._with_partial_ids(prompt, beginning)
        partial_ids = (prompt.partial.ids or []) if prompt.partial is not None else []
        ids = self._ids(prompt, source)
        return ReadPrompt(ids, partial_ids, beginning, notices, why_thinking)

    def ids(self, prompt: Prompt) -> list[int]:
        """Token ids of ``prompt``, with a BOS in front where the vocabulary wants one.

        Raises:
            TemplateError: the chat template failed.
        """
        if prompt.partial is not None:
            return self.read(prompt).ids
        source = self._source(prompt)
        return self._ids(self._switched(prompt, source), source)

    def _ids(self, prompt: Prompt, source: str) -> list[int]:
        vocabulary = self._vocabulary
        messages = [self._with_answer_ids(message) for message in prompt.messages]
        prompt = msgspec.structs.replace(prompt, messages=messages)
        ids = self.tokenizer.ids(render(prompt, source, vocabulary.specials, self._variables))
        if vocabulary.add_bos and ids[:1] != [vocabulary.bos]:
            ids.insert(0, vocabulary.bos)
        return ids

    def _source(self, prompt: Prompt) -> str:
        source = prompt.template if prompt.template is not None else self._template
        if not source:
            raise TemplateError(tr("the file has none; choose a prompt format in the settings"))
        return source

    # --- thinking on and off --------------------------------------------------------------------

    def _switched(self, prompt: Prompt, source: str) -> Prompt:
        """``prompt`` with thinking on or off, as far as the template can switch it."""
        if prompt.think is None or (switch := find_switch(source, self._variables)) is None:
            return prompt
        return switch.apply(prompt, think=prompt.think)

    def _unswitchable(self, source: str) -> str:
        """Why thinking cannot be switched off; empty if it can, or if nobody thinks."""
        switch = find_switch(source, self._variables)
        if switch is not None:
            return "this model can only think less, not stop thinking" if switch.only_less else ""
        if any(appears_in(style, source) for style in STYLES):
            return "the template of this model has no switch for thinking"
        return ""

    # --- answers --------------------------------------------------------------------------------

    def _with_answer_ids(self, message: PromptMessage) -> PromptMessage:
        """``message`` with those of its ids that are its text, without thought and markup."""
        if not message.ids or message.role != "assistant":
            return message
        ids = self._answer_ids(tuple(message.ids), message.content)
        return msgspec.structs.replace(message, ids=list(ids) if ids else None)

    def _find_answer_ids(self, ids: tuple[int, ...], content: str) -> tuple[int, ...] | None:
        """The last of ``ids`` that spell ``content``; None if they end elsewhere."""
        expected = content.encode()
        start, size = len(ids), 0
        while start and size < len(expected):
            start -= 1
            size += len(self._vocabulary.piece(ids[start]))
        if b"".join(map(self._vocabulary.piece, ids[start:])) == expected:
            return ids[start:]
        pieces = (self._vocabulary.piece(token, special=True) for token in ids)
        whole = b"".join(pieces).decode("utf-8", "replace")
        # A text that was sanitized differs from its ids, which are still what was generated.
        return None if any(mark in whole for mark in _MARKUP) else ids

    def _with_partial_ids(self, prompt: Prompt, beginning: AnswerBeginning) -> Prompt:
        """``prompt`` with its partial answer as ids: those that were generated, if they continue
        this prompt, else new ones for its thought and its text."""
        partial = prompt.partial
        if partial is None or (partial.ids and self._continues(partial, beginning)):
            return prompt
        ids = self._write(partial, beginning)
        return msgspec.structs.replace(
            prompt, partial=msgspec.structs.replace(partial, ids=ids) if ids else None
        )

    def _continues(self, partial: PromptMessage, beginning: AnswerBeginning) -> bool:
        """Whether the ids of ``partial`` mean the same after this prompt as when they were
        generated: the other prompt may have had thinking switched the other way."""
        splitter = beginning.splitter()
        parts: list[Part] = []
        for token in partial.ids or []:
            parts += splitter.feed(self.text_of(token))
        parts += splitter.finish()
        kinds = {part.kind for part in parts if part.text.strip() or part.kind == "was_thought"}
        if "was_thought" in kinds:
            kinds.add("thought")
        answered = bool(partial.content.strip()) == ("answer" in kinds) or "was_thought" in kinds
        return answered and bool(partial.reasoning) == ("thought" in kinds)

    def text_of(self, token: int) -> str:
        """The text of a generated token, with a stand-in for markup."""
        stand_in = self._tokens.stand_ins.get(token)
        return stand_in or self._vocabulary.piece(token).decode("utf-8", "replace")

    def _write(self, partial: PromptMessage, beginning: AnswerBeginning) -> list[int]:
        """The ids of a thought and an answer, with the markup of the model around them."""
        style, phase = beginning.style, beginning.position.phase
        thought, answer = partial.reasoning, partial.content
        ids: list[int] = []
        if thought and phase == "start":
            ids += self.markup_ids(style.opens[0] + style.lead)
            phase = "thought"
        if thought and phase == "thought":
            ids += self.tokenizer.plain(thought)
        if answer.strip():
            if phase == "thought":
                ids += self.markup_ids(style.ending)
            elif beginning.needs_header:
                ids += self.markup_ids(style.answers[0])
            ids += self.tokenizer.plain(answer)
        return ids

    def markup_ids(self, markup: str) -> list[int]:
        """The ids of markup, as tokens where the vocabulary has them."""
        return self._vocabulary.tokenize(markup, parse_special=True)


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
