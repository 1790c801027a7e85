"""Splits what a model generates into thought, answer and the markup between them.

It is known where an answer begins (``position_after`` reads it from the rendered prompt), and
markup that the vocabulary has as tokens counts only as those tokens: an answer that writes about
``</think>`` spells it. The caller puts a stand-in character for such tokens (``MarkupTokens``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from baize_tui.engine.prompts.fragments import SpecialToken, partition
from baize_tui.engine.prompts.reasoning_styles import (
    START,
    Phase,
    Position,
    ReasoningStyle,
    applicable_styles,
)

PartKind = Literal["thought", "answer", "markup", "was_thought"]
_FIRST_STAND_IN = 0x10F000
_LONGEST_HEADER = 200
_QUOTES = "`\"'"


class Part(NamedTuple):
    """A piece of what was generated. ``was_thought`` has no text: it says that all of the answer
    before it was a thought."""

    kind: PartKind
    text: str


class MarkupTokens:
    """Stand-ins for the tokens of a vocabulary that the markup of the styles consists of."""

    def __init__(self, specials: Sequence[SpecialToken], styles: Iterable[ReasoningStyle]) -> None:
        styles = list(styles)
        markup = [mark for style in styles for mark in style.markup]
        tags = {tag for style in styles if not style.has_channels for tag in style.markup}
        self._tokens = [
            special
            for special in specials
            if special.is_marker and any(special.text in mark for mark in markup)
        ]
        self.stand_ins = {
            token.id: chr(_FIRST_STAND_IN + i) for i, token in enumerate(self._tokens)
        }
        """By token id."""
        self._texts = {self.stand_ins[token.id]: token.text for token in self._tokens}
        self._hidden = {
            self.stand_ins[token.id]
            for token in self._tokens
            if token.control and token.text not in tags
        }

    def encode(self, mark: str) -> str:
        """``mark`` as it is generated: with stand-ins for tokens."""
        parts = partition(mark, self._tokens)
        return "".join(
            self.stand_ins[part.id] if isinstance(part, SpecialToken) else part for part in parts
        )

    def restore(self, text: str) -> str:
        """``text`` with the texts of the tokens in place of their stand-ins."""
        if text.isascii():
            return text
        return "".join(self._texts.get(char, char) for char in text)

    def show(self, text: str) -> str:
        """``text`` as a person reads it: without control tokens, except tags that it mentions."""
        if text.isascii():
            return text
        return self.restore("".join(char for char in text if char not in self._hidden))

    def is_token(self, mark: str) -> bool:
        """Whether an encoded ``mark`` begins and ends with a token, so that no text spells it."""
        return bool(mark) and mark[0] in self._texts and mark[-1] in self._texts


def split_text(text: str) -> tuple[str, str]:
    """The thought and the answer in the whole ``text`` of a model of which nothing is known."""
    splitter = ThoughtSplitter(applicable_styles(), START)
    thought = answer = ""
    for kind, part in [*splitter.feed(text), *splitter.finish()]:
        if kind == "was_thought":
            thought, answer = thought + answer, ""
        elif kind == "thought":
            thought += part
        elif kind == "answer":
            answer += part
    return thought.strip(), answer


class _Style(Struct, frozen=True):
    """A style with its markup encoded for a vocabulary."""

    source: ReasoningStyle
    opens: tuple[str, ...]
    stops: tuple[str, ...]
    answers: tuple[str, ...]
    ends: tuple[str, ...]
    between: tuple[str, ...]
    header: tuple[str, str] | None
    closes_alone: tuple[str, ...]
    """What may end a thought that nothing opened."""


class ThoughtSplitter:
    """Takes generated text in pieces of any size; the parts that it gives back join to it."""

    def __init__(
        self,
        styles: Sequence[ReasoningStyle],
        position: Position,
        tokens: MarkupTokens | None = None,
    ) -> None:
        """``styles`` are those of the model (``applicable_styles``); ``position`` is where its
        answer begins."""
        self._tokens = tokens if tokens is not None else MarkupTokens((), ())
        self._styles = [self._encode(style) for style in styles]
        self.phase: Phase = position.phase
        self._style = next((s for s in self._styles if s.source is position.style), None)
        self._began_here = position.phase == "start"
        """Whether the prompt says nothing about thoughts, and nothing else has since."""
        self._wrapped = position.phase == "answer"
        self._blanks_follow = self._wrapped or self.in_thought
        """Whether blanks that come now belong to the markup before them."""
        self._held = ""
        self._before = ""
        """The end of the last line of the answer."""
        self._in_code = False
        """Whether that line is in a code block."""

    def _encode(self, style: ReasoningStyle) -> _Style:
        encode = self._tokens.encode
        closes = tuple(map(encode, style.closes or style.answers))
        alone = () if style.has_channels else closes
        return _Style(
            source=style,
            opens=tuple(map(encode, style.opens)),
            stops=tuple(map(encode, style.stops)),
            answers=tuple(map(encode, style.answers)),
            ends=tuple(map(encode, style.ends)),
            between=tuple(map(encode, style.between)),
            header=(encode(style.header[0]), encode(style.header[1])) if style.header else None,
            closes_alone=alone,
        )

    @property
    def style(self) -> ReasoningStyle | None:
        """The style of the thoughts so far; None if there were none."""
        return self._style.source if self._style is not None else None

    @property
    def in_thought(self) -> bool:
        return self.phase == "thought"

    def ends_thought(self, text: str) -> bool:
        """Whether ``text``, a stand-in, would end the present thought."""
        return self._style is not None and self.in_thought and text in self._style.stops

    def feed(self, text: str) -> list[Part]:
        """The parts that ``text`` makes final."""
        self._held += text
        return self._take_all(last=False)

    def finish(self) -> list[Part]:
        """The rest, when nothing more is generated."""
        return self._take_all(last=True)

    def _take_all(self, *, last: bool) -> list[Part]:
        parts: list[Part] = []
        take = {
            "start": self._take_start,
            "thought": self._take_thought,
            "gap": self._take_gap,
            "answer": self._take_answer,
        }
        while self._held and take[self.phase](parts, last):
            pass
        restore, show = self._tokens.restore, self._tokens.show
        return [Part(kind, (restore if kind == "markup" else show)(text)) for kind, text in parts]

    # --- before the answer ----------------------------------------------------------------------

    def _take_start(self, parts: list[Part], last: bool) -> bool:
        for style in self._styles:
            if self._take_lead(style, style.opens, style.answers, parts):
                return True
        marks = [mark for style in self._styles for mark in style.opens + style.answers]
        headers = [style.header for style in self._styles]
        if self._may_become(marks, headers) and self._hold(parts, last):
            return False
        self.phase = "answer"
        return True

    def _take_gap(self, parts: list[Part], last: bool) -> bool:
        style = self._style
        assert style is not None
        self._began_here = False
        for mark in style.between + style.stops[: len(style.source.closes)]:
            if self._starts_with(mark):
                self._cut(parts, "markup", self._end_of(mark))
                return True
        if self._take_lead(style, style.opens, style.answers, parts):
            return True
        marks = style.between + style.stops + style.opens
        if self._may_become(marks, [style.header]) and self._hold(parts, last):
            return False
        blanks = len(self._held) - len(self._held.lstrip())
        if blanks:
            self._cut(parts, "markup", blanks)
        if self._held or not last:
            self.phase, self._wrapped = "answer", False
        return bool(self._held)

    def _take_lead(
        self, style: _Style, opens: Sequence[str], answers: Sequence[str], parts: list[Part]
    ) -> bool:
        """Take the markup that begins a thought or an answer, if the held text begins with it."""
        for marks, phase in ((opens, "thought"), (answers, "answer")):
            for mark in marks:
                if self._starts_with(mark):
                    self._enter(phase, style, self._end_of(mark), parts)
                    return True
        core = self._held.lstrip()
        if style.header is not None and core.startswith(style.header[0]):
            head, found, _ = core.partition(style.header[1])
            if found and len(head) < _LONGEST_HEADER:
                # The model may begin a header twice; the last one counts.
                channel = f"{head.rpartition(style.header[0])[2]} ".split(" ")[0]
                thinks = f"{style.header[0]}{channel}{style.header[1]}" in opens
                self._enter(
                    "thought" if thinks else "answer",
                    style,
                    self._end_of(head + style.header[1]),
                    parts,
                )
                return True
        return False

    def _enter(self, phase: str, style: _Style, size: int, parts: list[Part]) -> None:
        self._cut(parts, "markup", size)
        self._style, self._began_here = style, False
        self._wrapped = phase == "answer"
        self.phase = "thought" if phase == "thought" else "answer"
        self._blanks_follow = True

    def _starts_with(self, mark: str) -> bool:
        return self._held.lstrip().startswith(mark)

    def _end_of(self, mark: str) -> int:
        """Where ``mark`` ends, with which the held text begins after its blanks."""
        return len(self._held) - len(self._held.lstrip()) + len(mark)

    def _may_become(self, marks: Iterable[str], headers: Iterable[tuple[str, str] | None]) -> bool:
        """Whether more text can complete one of ``marks`` or a header at the beginning."""
        core = self._held.lstrip()
        if any(mark.startswith(core) for mark in marks):
            return True
        return any(
            header is not None
            and (header[0].startswith(core) or core.startswith(header[0]))
            and len(core) < _LONGEST_HEADER
            and header[1] not in core
            for header in headers
        )

    def _hold(self, parts: list[Part], last: bool) -> bool:
        """Keep the held text, which may become markup. When nothing more comes, it is markup if
        it has begun with a token or stands where only markup can; False if it is text."""
        if not last:
            return True
        core = self._held.lstrip()
        expected = self.phase == "gap" and self._style is not None and self._style.between
        if not core or not (expected or self._tokens.is_token(core[0])):
            return False
        self._cut(parts, "markup", len(self._held))
        return True

    # --- inside ---------------------------------------------------------------------------------

    def _take_thought(self, parts: list[Part], last: bool) -> bool:
        style = self._style
        assert style is not None
        if self._skip_blanks(parts):
            return bool(self._held)
        found = self._find(style.stops, last)
        if found is None:
            return self._release("thought", style.stops, parts, last)
        at, mark = found
        thought = self._held[:at].rstrip()
        self._cut(parts, "thought", len(thought))
        self._cut(parts, "markup", at + len(mark) - len(thought))
        if mark in style.answers:
            self.phase, self._wrapped, self._blanks_follow = "answer", True, True
        else:
            self.phase = "gap"
        return True

    def _take_answer(self, parts: list[Part], last: bool) -> bool:
        if self._skip_blanks(parts):
            return bool(self._held)
        style = self._style
        if style is not None and self._wrapped:
            return self._take_wrapped(style, parts, last)
        if style is not None and (tokens := self._opening_tokens(style)):
            return self._take_until_thought(style, tokens, parts, last)
        if self._began_here:
            return self._take_until_close(parts, last)
        return self._release("answer", (), parts, last)

    def _take_wrapped(self, style: _Style, parts: list[Part], last: bool) -> bool:
        """The answer up to the markup that ends it."""
        found = self._find(style.ends, last)
        if found is None:
            return self._release("answer", style.ends, parts, last)
        at, mark = found
        self._cut(parts, "answer", at)
        self._cut(parts, "markup", len(mark))
        self._wrapped = False
        if style.source.has_channels:
            self.phase = "gap"
        return True

    def _opening_tokens(self, style: _Style) -> list[str]:
        """What begins another thought after the answer: only tokens, which no text spells."""
        if not style.source.reopens:
            return []
        return [mark for mark in style.opens if self._tokens.is_token(mark[0])]

    def _take_until_thought(
        self, style: _Style, opens: Sequence[str], parts: list[Part], last: bool
    ) -> bool:
        found = self._find(opens, last)
        if found is None:
            return self._release("answer", opens, parts, last)
        self._cut(parts, "answer", found[0])
        self._enter("thought", style, len(found[1]), parts)
        return True

    def _take_until_close(self, parts: list[Part], last: bool) -> bool:
        """The answer, which turns out to be a thought if a closing tag follows.

        No opening tag may precede it. One that is spelled has to stand on a line of its own, and
        not in a code block.
        """
        styles = [style for style in self._styles if style.closes_alone]
        marks = [mark for style in styles for mark in style.opens + style.closes_alone]
        found = self._find(marks, last)
        if found is None:
            return self._release("answer", marks, parts, last)
        at, mark = found
        closing = [style for style in styles if mark in style.closes_alone]
        after = self._held[at + len(mark) :]
        spelled = not self._tokens.is_token(mark)
        if closing and spelled and not after and not last:
            return self._release("answer", (), parts, last, keep=len(self._held) - at)
        self._cut(parts, "answer", at)
        follows = not after or after[0] == "\n"
        alone = not self._before.strip() and follows and not self._in_code
        if not closing or (spelled and not alone):
            self._began_here = bool(closing)
            self._cut(parts, "answer", len(mark))
            return True
        self._style, self._began_here = closing[0], False
        parts.append(Part("was_thought", ""))
        self._cut(parts, "markup", len(mark))
        self.phase, self._wrapped = "gap", False
        if mark in closing[0].answers:
            self.phase, self._wrapped, self._blanks_follow = "answer", True, True
        return True

    # --- cutting --------------------------------------------------------------------------------

    def _skip_blanks(self, parts: list[Part]) -> bool:
        if not self._blanks_follow:
            return False
        blanks = len(self._held) - len(self._held.lstrip())
        if blanks:
            self._cut(parts, "markup", blanks)
        self._blanks_follow = not self._held
        return True

    def _find(self, marks: Iterable[str], last: bool) -> tuple[int, str] | None:
        """The first of ``marks`` in the held text, the longest at one place; not in quotes."""
        best: tuple[int, str] | None = None
        for mark in marks:
            at = self._held.find(mark) if mark else -1
            while at >= 0 and self._is_quoted(at, mark, last):
                at = self._held.find(mark, at + 1)
            if at >= 0 and (best is None or (at, -len(mark)) < (best[0], -len(best[1]))):
                best = at, mark
        return best

    def _is_quoted(self, at: int, mark: str, last: bool) -> bool:
        """Whether spelled markup stands in quotes; until more follows, it may."""
        if self._tokens.is_token(mark):
            return False
        before = self._held[at - 1] if at else self._before[-1:]
        after = self._held[at + len(mark) : at + len(mark) + 1]
        if not before or before not in _QUOTES:
            return False
        return after == before if after else not last

    def _release(
        self, kind: PartKind, marks: Iterable[str], parts: list[Part], last: bool, keep: int = 0
    ) -> bool:
        """Give out the held text, but for what may still become markup; always False."""
        if not keep:
            keep = max((self._possible_end(mark) for mark in marks if mark), default=0)
            if last:
                half = self._held[len(self._held) - keep :]
                keep = keep if half and self._tokens.is_token(half[0]) else 0
            elif kind == "thought":
                kept = self._held[: len(self._held) - keep]
                keep += len(kept) - len(kept.rstrip())
        self._cut(parts, kind, len(self._held) - keep)
        if last:
            self._cut(parts, "markup", keep)
        return False

    def _possible_end(self, mark: str) -> int:
        """How many characters at the end may be the beginning of ``mark``, with a quote before."""
        held = self._held
        for size in range(min(len(mark), len(held)), 0, -1):
            if held.endswith(mark[:size]):
                quoted = size < len(held) and held[-size - 1] in _QUOTES
                return size + quoted
        return 0

    def _cut(self, parts: list[Part], kind: PartKind, size: int) -> None:
        """Move the first ``size`` characters of the held text to ``parts``."""
        text, self._held = self._held[:size], self._held[size:]
        if not text:
            return
        parts.append(Part(kind, text))
        if kind == "markup":
            self._before = ""
            return
        *lines, last = (self._before + text).split("\n")
        fences = sum(line.lstrip().startswith(("```", "~~~")) for line in lines)
        self._in_code ^= fences % 2 == 1
        self._before = last[-_LONGEST_HEADER:]
