"""The text of a growing answer: its thought and its answer, without markup and stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from baize_tui.engine.prompts.prompt_reader import AnswerBeginning
from baize_tui.engine.prompts.thought_splitter import Part
from baize_tui.engine.stop_strings import TextUntilStop

MOST_BLANKS = 32
"""Blank tokens, and those that may be markup, before an answer or a thought."""
_BETWEEN = "\n\n"
"""Between two thoughts, or two parts of an answer, that markup separated."""


class Pieces(Protocol):
    """What the text needs from a vocabulary."""

    def piece(self, token: int) -> bytes:
        """The bytes of one token; a control token is empty."""


class NewText(NamedTuple):
    """What has come; before it, all of the answer may have turned out to be a thought."""

    thought: str
    answer: str
    answer_was_thought: bool


class AnswerText:
    """Takes the tokens of an answer."""

    def __init__(
        self,
        beginning: AnswerBeginning,
        vocabulary: Pieces,
        stop: Sequence[str] = (),
        *,
        trim_at_stop: bool = False,
    ) -> None:
        self._beginning = beginning
        self._vocabulary = vocabulary
        self._stand_ins = beginning.tokens.stand_ins
        self._raw = TextUntilStop(stop, trim_at_stop=trim_at_stop)
        self._splitter = beginning.splitter()
        self.thought = ""
        self.answer = ""
        self.thought_tokens = 0
        self.answer_tokens = 0
        self._undecided_tokens = 0
        self._separated = False
        self._sent_thought = 0
        self._sent_answer = 0
        self._was_thought = False

    def piece(self, token: int) -> bytes:
        """The bytes of ``token``, with a stand-in for markup."""
        stand_in = self._stand_ins.get(token)
        return stand_in.encode() if stand_in is not None else self._vocabulary.piece(token)

    def feed(self, token: int) -> None:
        """Add a token."""
        piece = self.piece(token)
        parts = self._splitter.feed(self._raw.feed(piece))
        self._add(parts)
        if piece or parts:
            self._count(parts)
        elif self.in_thought:  # a control token without text
            self.thought_tokens += 1
        else:
            self.answer_tokens += 1

    def _count(self, parts: Sequence[Part]) -> None:
        """Count a token where it belongs: to the thought, to the answer, or, if it is markup, to
        neither. ``parts`` are what it made final."""
        phase = self._splitter.phase
        if not parts or phase == "start":
            # It may be markup or text, which the next tokens decide.
            self._undecided_tokens += 1
            return
        kinds = {part.kind for part in parts}
        held, self._undecided_tokens = self._undecided_tokens, 0
        if phase == "thought" and "thought" in kinds:
            self.thought_tokens += held + 1
        elif phase == "answer" and "answer" in kinds:
            self.answer_tokens += 1 if "markup" in kinds else held + 1

    def finish(self) -> None:
        """Take the rest of the text: no more tokens come."""
        self._add(self._splitter.feed(self._raw.finish()))
        self._add(self._splitter.finish())

    def _add(self, parts: Sequence[Part]) -> None:
        for kind, text in parts:
            if kind == "was_thought":
                self.thought, self.answer = self.thought + self.answer, ""
                self.thought_tokens += self.answer_tokens
                self.answer_tokens = 0
                self._sent_thought, self._sent_answer = self._sent_answer, 0
                self._was_thought = True
            elif kind == "markup":
                self._separated = True
            elif kind == "thought":
                between = _BETWEEN if self._separated and self.thought else ""
                self.thought += between + text
                self._separated = False
            else:
                between = _BETWEEN if self._separated and self.answer else ""
                self.answer += between + text
                self._separated = False

    def take_new(self) -> NewText:
        """What has come since the last call."""
        new = NewText(
            self.thought[self._sent_thought :], self.answer[self._sent_answer :], self._was_thought
        )
        self._sent_thought, self._sent_answer = len(self.thought), len(self.answer)
        self._was_thought = False
        return new

    @property
    def spent_on_thought(self) -> int:
        """Tokens of the thought, with those of which that is not decided yet."""
        return self.thought_tokens + (self._undecided_tokens if self.in_thought else 0)

    @property
    def spent_on_answer(self) -> int:
        """The same for the answer; before it, ``MOST_BLANKS`` may begin a thought and are free."""
        if self.in_thought:
            return self.answer_tokens
        free = 0 if self._splitter.phase == "answer" else MOST_BLANKS
        return self.answer_tokens + max(0, self._undecided_tokens - free)

    # --- state ----------------------------------------------------------------------------------

    @property
    def in_thought(self) -> bool:
        return self._splitter.in_thought

    @property
    def in_answer(self) -> bool:
        return self._splitter.phase == "answer"

    @property
    def inside_character(self) -> bool:
        """Whether the last bytes were the beginning of a character."""
        return self._raw.inside_character

    @property
    def ending(self) -> str:
        """The markup that ends the present thought and begins the answer."""
        return (self._splitter.style or self._beginning.style).ending

    def ends_thought(self, token: int) -> bool:
        """Whether ``token`` ends a thought, whatever else it ends in this vocabulary."""
        return self._splitter.ends_thought(self._stand_ins.get(token, ""))

    def stopped(self) -> bool:
        """Whether a stop string was found; no more tokens may be fed then."""
        return self._raw.stopped()

    @property
    def kept_bytes(self) -> int:
        """Bytes of the tokens (``piece``) before the stop string; all of them without one."""
        return self._raw.kept_bytes
