"""The texts that are read and written: numbered notes of a length in tokens, and no two alike."""

from __future__ import annotations

from collections.abc import Sequence

from baize_tui.bench.results import Lengths
from baize_tui.chat.formats import prompt_from_turns
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import Count, Generate, Prompt, PromptMessage
from baize_tui.settings import Sampling

_FIRST_NOTE, _STEP = 1000, 100
_STORY = "Write a very long story with all of these notes."
_REPEAT = "Repeat these notes, word for word."
_FEW, _MANY = 4, 12
_BEGUN = 2
"""Notes that an answer begins with, so that a small model goes on with the next."""
SAMPLING = Sampling(seed=1)
"""As in a chat; with a fixed seed, so that no token is guessed."""


def notes(number: int, count: int) -> list[str]:
    """``count`` lines; another ``number`` gives other lines, from the first token on."""
    first = _FIRST_NOTE + _STEP * number
    return [
        f"{note}. The knight rode {7 * note % 89 + 10} miles and met {note % 9 + 2} travellers."
        for note in range(first, first + count)
    ]


class Prompts:
    """The prompts for one model."""

    def __init__(self, format_name: str, lengths: Lengths, tokens: tuple[float, float]) -> None:
        """``tokens`` are those of the prompt around the notes, and of one note."""
        self.format_name = format_name
        self.lengths = lengths
        self._around, self._per_note = tokens
        self._number = 0

    def prompt(self, turns: Sequence[PromptMessage], partial: str = "") -> Prompt:
        """The prompt of a conversation; ``partial`` is the beginning of its answer."""
        return prompt_from_turns(
            self.format_name,
            turns,
            system="",
            moderation=False,
            partial=PromptMessage("assistant", partial) if partial else None,
            think=False,
        )

    def story(self) -> str:
        """A question of ``lengths.prompt`` tokens, different from all before."""
        return "\n".join([*self._notes(self.lengths.prompt), _STORY])

    def history(self) -> list[PromptMessage]:
        """A conversation of ``lengths.history`` tokens, different from all before."""
        text = "\n".join(self._notes(self.lengths.history))
        return [PromptMessage("user", text), PromptMessage("assistant", "I have read them.")]

    def repetition(self) -> Prompt:
        """A prompt whose answer has the notes of the prompt."""
        lines = self._notes(2 * self.lengths.answer)
        turns = [PromptMessage("user", "\n".join([_REPEAT, *lines]))]
        return self.prompt(turns, "\n".join(lines[:_BEGUN]) + "\n")

    def request(self, prompt: Prompt, tokens: int, conversation: str = "") -> Generate:
        """Ask for an answer of ``tokens`` after ``prompt``, without a thought before it."""
        return Generate(
            0,
            prompt,
            SAMPLING,
            max_tokens=tokens,
            max_thinking_tokens=0,
            conversation=conversation,
        )

    def _notes(self, tokens: int) -> list[str]:
        self._number += 1
        count = round((tokens - self._around) / self._per_note)
        return notes(self._number, max(count, _BEGUN + 1))


async def count_note_tokens(engine: WorkerEngine, format_name: str) -> tuple[float, float]:
    """Tokens of the prompt around the notes, and of one note, for the loaded model.

    Raises:
        EngineFailure: its chat template fails.
    """
    counts = []
    for count in (_FEW, _MANY):
        text = "\n".join([*notes(0, count), _STORY])
        prompt = prompt_from_turns(
            format_name, [PromptMessage("user", text)], system="", moderation=False, think=False
        )
        counts.append(await engine.count(Count(0, prompt)))
    per_note = max((counts[1] - counts[0]) / (_MANY - _FEW), 1.0)
    return counts[0] - _FEW * per_note, per_note
