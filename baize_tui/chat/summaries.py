"""Summaries of turns that no longer fit, written by the conversation's own model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from baize_shared.sanitizer import clean_text
from baize_tui.chat.answer_plan import AnswerPlan, stop_strings
from baize_tui.chat.errors import NoSummary, StoppedBeforeStart
from baize_tui.chat.formats import format_named, prompt_from_turns
from baize_tui.engine.client import Engine, Generation
from baize_tui.engine.protocol import (
    Count,
    Delta,
    Finished,
    Generate,
    Prefilling,
    Prompt,
    PromptMessage,
)
from baize_tui.settings import Sampling
from baize_tui.store.records import Message, MessageRole
from baize_tui.translation import tr

_MOST_TOKENS, _MOST_OF_CONTEXT = 512, 1 / 8
"""Most tokens of a summary, and how much of the context it may take."""
_WORDS_PER_TOKEN = 0.6
_READING = 0.6
"""About how much of the time for a part passes until the first word of its summary."""
_EXACT_ENOUGH = 64
"""Characters that a part may be shorter than it could be."""
_NAMES: dict[MessageRole, str] = {"user": "User", "assistant": "Assistant"}
_EARLIER = "Summary of what was said before:"
_INSTRUCTION = (
    "Summarize this part of the conversation between the user and the assistant, with what was "
    "said before. Keep names, facts, numbers, decisions and open questions. Write only the "
    "summary, in at most {words} words, in the language of the conversation."
)

Attach = Callable[[Generation], Generation]
"""Receives each generation that is started, so that it can be stopped; returns it."""


def summary_tokens(n_ctx: int) -> int:
    """Most tokens of a summary in a context of ``n_ctx``."""
    return max(1, min(_MOST_TOKENS, int(n_ctx * _MOST_OF_CONTEXT)))


class SummaryWriter:
    """Writes one summary: of a part after the other, if together they are too long to be read."""

    def __init__(self, engine: Engine, plan: AnswerPlan, attach: Attach) -> None:
        self._engine = engine
        self._plan = plan
        self._attach = attach
        self.most_tokens = summary_tokens(plan.n_ctx)
        """Most tokens that the summary has."""
        self.text = ""
        """The summary, once it is written."""

    async def write(self, earlier: str, turns: Sequence[Message]) -> AsyncGenerator[float, None]:
        """Summarize ``turns``, and what was said before them as far as it is in ``earlier``;
        yields how much of the work is done, 0.0 to 1.0.

        Raises:
            NoSummary: the model wrote none, or the context is too small to read the turns.
            EngineFailure: the model failed.
            StoppedBeforeStart: the person stopped it.
        """
        blocks = [f"{_EARLIER}\n{earlier.strip()}"] if earlier.strip() else []
        blocks += [f"{_NAMES[t.role]}: {t.text.strip()}" for t in turns if t.text.strip()]
        parts = await split_to_fit("\n\n".join(blocks), self._fits)
        if not parts:
            raise NoSummary(tr("these turns have no text"))
        summary = ""
        for number, part in enumerate(parts):
            generation = self._attach(self._engine.generate(self._request(summary, part)))
            written = 0
            async for event in generation:
                done = 0.0
                if isinstance(event, Prefilling):
                    done = _READING * event.done / max(event.total, 1)
                elif isinstance(event, Delta):
                    written += len(event.ids)
                    done = _READING + (1 - _READING) * min(written / self.most_tokens, 1.0)
                elif isinstance(event, Finished):
                    summary, done = _summary_in(event), 1.0
                yield (number + done) / len(parts)
        self.text = summary

    async def _fits(self, part: str) -> bool:
        """Whether the model can read ``part`` with a summary of the parts before."""
        counted = Count(0, self._prompt("", part))
        # Before the first part there is no summary, but all parts may be equally long.
        tokens = await self._engine.count(counted) + 2 * self.most_tokens
        return tokens <= self._plan.n_ctx

    def _prompt(self, earlier: str, part: str) -> Prompt:
        words = max(10, int(self.most_tokens * _WORDS_PER_TOKEN))
        texts = [f"{_EARLIER}\n{earlier}" if earlier else "", part]
        texts.append(_INSTRUCTION.format(words=words))
        text = "\n\n".join(text for text in texts if text)
        return prompt_from_turns(
            self._plan.format_name,
            [PromptMessage("user", text)],
            system="",
            moderation=False,
            think=False,
        )

    def _request(self, earlier: str, part: str) -> Generate:
        plan = self._plan
        return Generate(
            request=0,
            prompt=self._prompt(earlier, part),
            sampling=Sampling(temperature=0, repeat_penalty=1.1),
            max_tokens=self.most_tokens,
            max_thinking_tokens=0,
            reserve=self.most_tokens,
            stop=stop_strings(plan.format_name, plan.running),
            trim_at_stop=format_named(plan.format_name).trim_at_stop,
            adapters=plan.adapters,
            prompt_lookup=plan.prompt_lookup,
        )


async def split_to_fit(text: str, fits: Callable[[str], Awaitable[bool]]) -> list[str]:
    """``text`` in parts that fit, each as long as possible; it is cut between paragraphs, lines or
    words, where there are any.

    Raises:
        NoSummary: not even a short part fits.
    """
    parts = []
    while text.strip():
        length = await _longest_that_fits(text, fits)
        if not length:
            raise NoSummary(tr("the context is too small to read the oldest turns in it"))
        parts.append(text[:length])
        text = text[length:]
    return parts


async def _longest_that_fits(text: str, fits: Callable[[str], Awaitable[bool]]) -> int:
    """How many characters of ``text`` fit, up to a place where it may be cut; 0 for none."""
    low, high = 0, len(text)
    if await fits(text):
        return high
    while high - low > _EXACT_ENOUGH:
        middle = (low + high) // 2
        if await fits(text[:middle]):
            low = middle
        else:
            high = middle
    for separator in ("\n\n", "\n", " "):
        at = text.rfind(separator, low // 2, low)
        if at >= 0:
            return at + len(separator)
    return low


def _summary_in(finished: Finished) -> str:
    """The summary that the model has written.

    Raises:
        NoSummary: there is none.
        StoppedBeforeStart: the person stopped it.
    """
    if finished.reason == "cancelled":
        raise StoppedBeforeStart(
            tr("stopped while the oldest turns were summarized; the question is not answered")
        )
    text = clean_text(finished.text).strip()
    if finished.reason == "length":  # the last sentence is not complete
        end = max(text.rfind(mark) for mark in ".!?。！？\n")
        text = text[: end + 1].strip() if end > len(text) // 2 else text
    if not text:
        raise NoSummary(tr("the model wrote no summary"))
    return text
