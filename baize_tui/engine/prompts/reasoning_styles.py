"""The registry of reasoning styles: how models mark their thoughts, as data.

The formats are those of the chat templates in llama.cpp's source and of the output that its own
parsers expect (``common/parsers``, ``common/chat-diff-analyzer.cpp``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct


class ReasoningStyle(Struct, frozen=True, kw_only=True):
    """Markup around a thought and around the answer after it.

    Every tuple lists alternatives; the first one is used where the client writes markup itself.
    """

    name: str
    opens: tuple[str, ...]
    """Begins a thought."""
    closes: tuple[str, ...] = ()
    """Ends a thought."""
    answers: tuple[str, ...] = ()
    """Begins the answer, after a thought or in place of one."""
    ends: tuple[str, ...] = ()
    """Ends an answer that ``answers`` began."""
    between: tuple[str, ...] = ()
    """Stands between the messages of one turn, in formats with channels."""
    header: tuple[str, str] | None = None
    """Start and end of a message header whose first word is its channel; a channel that is not in
    ``opens`` carries an answer."""
    lead: str = "\n"
    """Follows the opening markup where the client writes it."""
    to_answer: str = ""
    """What ends an unfinished thought and begins the answer; empty for the closing markup between
    newlines."""
    reopens: bool = False
    """Whether its opening token begins another thought in the middle of an answer. Tags that
    answers write about do not."""
    spoken: bool = False
    """Plain words: they count only in models whose template has them."""

    @property
    def has_channels(self) -> bool:
        """Whether several messages make a turn, so that a thought can follow an answer."""
        return bool(self.between)

    @property
    def stops(self) -> tuple[str, ...]:
        """Everything that ends a thought."""
        return self.closes + self.answers

    @property
    def ending(self) -> str:
        """What ends an unfinished thought and begins the answer."""
        return self.to_answer or f"\n{self.stops[0]}\n\n"

    @property
    def markup(self) -> tuple[str, ...]:
        """All strings that this style gives a meaning."""
        headers = self.header or ()
        return self.opens + self.stops + self.ends + self.between + headers


def _tags(name: str) -> ReasoningStyle:
    return ReasoningStyle(name=name, opens=(f"<{name}>",), closes=(f"</{name}>",))


STYLES: tuple[ReasoningStyle, ...] = (
    # DeepSeek, Qwen, GLM, Kimi K2, LFM2.5, MiniMax M2, Nemotron, Reka, SmolLM3, Step, Laguna …
    # Granite 3.3 and DeepSeek R1-Zero also put tags around the answer.
    ReasoningStyle(
        name="think",
        opens=("<think>",),
        closes=("</think>",),
        answers=("<response>", "<answer>"),
        ends=("</response>", "</answer>"),
    ),
    _tags("thinking"),
    _tags("thought"),
    _tags("reasoning"),
    _tags("seed:think"),
    _tags("mm:think"),
    _tags("think:opensource"),  # Hunyuan
    ReasoningStyle(name="mistral", opens=("[THINK]",), closes=("[/THINK]",), lead=""),
    ReasoningStyle(name="kimi-vl", opens=("◁think▷",), closes=("◁/think▷",)),
    ReasoningStyle(
        name="apertus",
        opens=("<|inner_prefix|>",),
        closes=("<|inner_suffix|>",),
        lead="",
        to_answer="<|inner_suffix|>",
        reopens=True,
    ),
    # Command R7B, Command A and their successors
    ReasoningStyle(
        name="cohere",
        opens=("<|START_THINKING|>",),
        closes=("<|END_THINKING|>",),
        answers=("<|START_RESPONSE|>", "<|START_TEXT|>"),
        ends=("<|END_RESPONSE|>", "<|END_TEXT|>"),
        lead="",
        to_answer="<|END_THINKING|>",
        reopens=True,
    ),
    ReasoningStyle(
        name="gemma-4",
        opens=("<|channel>thought",),
        closes=("<channel|>",),
        to_answer="\n<channel|>",
        reopens=True,
    ),
    # gpt-oss
    ReasoningStyle(
        name="harmony",
        opens=("<|channel|>analysis<|message|>",),
        closes=("<|end|>",),
        answers=("<|channel|>final<|message|>", "<|channel|>commentary<|message|>"),
        ends=("<|end|>", "<|return|>", "<|call|>"),
        between=("<|start|>assistant",),
        header=("<|channel|>", "<|message|>"),
        lead="",
        to_answer="<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    ReasoningStyle(
        name="solar",
        opens=("<|think|>",),
        closes=("<|end|>",),
        answers=("<|content|>",),
        ends=("<|end|>",),
        between=("<|begin|>assistant",),
        lead="",
        to_answer="<|end|><|begin|>assistant<|content|>",
    ),
    ReasoningStyle(
        name="muse",
        opens=("to=self<|message|>",),
        closes=("<|eom|>",),
        answers=("to=user<|message|>",),
        ends=("<|eom|>", "<|eot|>"),
        between=("<|start|>assistant",),
        lead="",
        to_answer="<|eom|><|start|>assistant to=user<|message|>",
    ),
    ReasoningStyle(
        name="kimi-k3",
        opens=("<|open|>think<|sep|>",),
        closes=("<|close|>think<|sep|>",),
        answers=("<|open|>response<|sep|>",),
        ends=("<|close|>response<|sep|>",),
        between=("<|close|>message<|sep|>", "<|end_of_msg|>"),
        lead="",
        to_answer="<|close|>think<|sep|><|open|>response<|sep|>",
    ),
    # Apriel: the end of the thought is the beginning of the answer.
    ReasoningStyle(
        name="apriel",
        opens=("Here are my reasoning steps:",),
        answers=("[BEGIN FINAL RESPONSE]",),
        ends=("[END FINAL RESPONSE]",),
        spoken=True,
    ),
    ReasoningStyle(
        name="granite-3.2",
        opens=("Here is my thought process:", "Here's my thought process:"),
        answers=("Here is my response:", "Here's my response:"),
        spoken=True,
    ),
)


def applicable_styles(*texts: str) -> tuple[ReasoningStyle, ...]:
    """The styles of a model with this template and rendered prompt: those that appear there come
    first, and the words of ``spoken`` ones mean something only there."""
    appearing = [style for style in STYLES if appears_in(style, *texts)]
    shown = sorted(appearing, key=lambda style: not style.spoken)
    others = (style for style in STYLES if style not in shown and not style.spoken)
    return (*shown, *others)


def appears_in(style: ReasoningStyle, *texts: str) -> bool:
    """Whether one of ``texts``, a template or what it wrote, has thoughts of this style."""
    marks = style.opens + (style.stops if style.spoken or not style.has_channels else ())
    # "<response>" alone is also a tag of tools.
    marks = tuple(mark for mark in marks if style.spoken or mark not in style.answers)
    return any(mark in text for mark in marks for text in texts)


Phase = Literal["start", "thought", "gap", "answer"]
"""Where an answer is: before its first character, in a thought, between a thought and the answer,
in the answer."""


class Position(NamedTuple):
    """A phase, and the style whose markup led there; None before any."""

    phase: Phase
    style: ReasoningStyle | None


START = Position("start", None)


def position_after(prompt_end: str, styles: Sequence[ReasoningStyle]) -> Position:
    """Where an answer begins, from the template's own text after the last turn.

    Its last piece of markup decides: ``<think>`` is open, ``<think></think>`` is closed.
    """
    last, longest, position = -1, 0, START
    for style in styles:
        for at, mark, phase in _marks_in(prompt_end, style):
            if (at, len(mark)) > (last, longest):
                last, longest, position = at, len(mark), Position(phase, style)
    return position


def _marks_in(text: str, style: ReasoningStyle) -> Iterator[tuple[int, str, Phase]]:
    """The last place of each piece of markup in ``text``, with the phase that it leads to."""
    opened = max(text.rfind(mark) for mark in style.opens)
    kinds: tuple[tuple[tuple[str, ...], Phase], ...] = (
        (style.opens, "thought"),
        (style.answers, "answer"),
        (style.closes, "gap"),
    )
    for marks, phase in kinds:
        for mark in marks:
            at = text.rfind(mark)
            if at < 0:
                continue
            # In formats with channels the same markup also ends the turns of the person.
            if phase == "gap" and style.has_channels and not 0 <= opened < at:
                continue
            yield at, mark, phase
