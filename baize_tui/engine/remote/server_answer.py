"""The text of an answer that a server streams: thought and answer, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from baize_tui.engine.answer_text import AnswerText
from baize_tui.engine.prompts.prompt_reader import AnswerBeginning
from baize_tui.engine.protocol import Delta, PromptMessage
from baize_tui.engine.remote.chunks import Chunk
from baize_tui.engine.stop_strings import TextUntilStop


class _Pieces:
    """The pieces of text so far, in place of a vocabulary."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    def piece(self, token: int) -> bytes:
        return self.texts[token]


class ServerAnswer:
    """Takes chunks, and gives out what is new."""

    def __init__(
        self, partial: PromptMessage | None, stop: Sequence[str], *, trim_at_stop: bool
    ) -> None:
        """``partial`` is the answer that is continued."""
        self._pieces = _Pieces()
        # Where the server tells the thought apart, or the answer has begun, tags in it are text.
        self._split = AnswerText(AnswerBeginning(), self._pieces, stop, trim_at_stop=trim_at_stop)
        self._plain = TextUntilStop(stop, trim_at_stop=trim_at_stop)
        self._is_plain = bool(partial is not None and partial.content)
        self.text = partial.content if partial is not None else ""
        self.reasoning = partial.reasoning if partial is not None else ""
        self._began_as = (self.reasoning, self.text)
        self._plain_chunks = self._thinking_chunks = 0

    def begin(self) -> Delta | None:
        """What the answer has before the first chunk; None for nothing."""
        reasoning, text = self._began_as
        return Delta(0, text, [], reasoning) if reasoning or text else None

    def add(self, chunk: Chunk) -> Delta | None:
        """Take in ``chunk``; None if it shows nothing new."""
        thought = answer = ""
        was_thought = False
        if chunk.reasoning:
            self._thinking_chunks += 1
            self._is_plain |= not self._pieces.texts
            thought = chunk.reasoning
        if chunk.text and not self.stopped:
            if self._is_plain:
                self._plain_chunks += 1
                answer = self._plain.feed(chunk.text.encode())
            else:
                self._pieces.texts.append(chunk.text.encode())
                self._split.feed(len(self._pieces.texts) - 1)
                new = self._split.take_new()
                thought, answer = thought + new.thought, new.answer
                was_thought = new.answer_was_thought
        return self._take(thought, answer, was_thought=was_thought)

    def finish(self) -> Delta | None:
        """What was held back: no more chunks come."""
        if self._is_plain:
            return self._take("", self._plain.finish())
        self._split.finish()
        new = self._split.take_new()
        return self._take(new.thought, new.answer, was_thought=new.answer_was_thought)

    def _take(self, thought: str, answer: str, *, was_thought: bool = False) -> Delta | None:
        if not self.text and self.reasoning:
            answer = answer.lstrip()
        if was_thought:
            self.reasoning, self.text = self.reasoning + self.text, ""
        self.reasoning += thought
        self.text += answer
        if not (thought or answer or was_thought):
            return None
        return Delta(0, answer, [], thought, self.in_thought, was_thought)

    @property
    def in_thought(self) -> bool:
        """Whether the last text was a thought."""
        if self._is_plain:
            return not self.text
        return self._split.in_thought

    @property
    def answer_chunks(self) -> int:
        """Chunks of the answer: at most as many as it has tokens."""
        return self._plain_chunks + self._split.spent_on_answer

    @property
    def thinking_chunks(self) -> int:
        """The same for the thought before it."""
        return self._thinking_chunks + self._split.spent_on_thought

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; what comes after it is not wanted."""
        return self._plain.stopped() if self._is_plain else self._split.stopped()
