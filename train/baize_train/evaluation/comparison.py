"""How good models are beside each other: perplexity on held-out dialogues, and a judge's verdicts.

All of them are measured by one engine, llama.cpp, on the same tokens: those of answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.errors import TrainError, warn
from baize_train.feedback.judge import NoScores, judge
from baize_train.speakers.concurrency import Pace, each, patiently
from baize_train.speakers.runnable_model import RunnableModel
from baize_train.speakers.speaker import Speaker, Wish
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import TokenSet, tokenize
from baize_train.tokens.vocabulary import chat_format, open_vocabulary
from baize_tui.engine.blocking import BlockingEngine
from baize_tui.engine.client import EngineFailure, ModelSpec
from baize_tui.engine.protocol import AdapterUse
from baize_tui.paths import project_paths

Report = Callable[[int, int], object]


class Perplexity(Struct, frozen=True):
    """Over the tokens of answers, each with what ends it."""

    tokens: int
    loss: float
    """Mean negative log-likelihood, in nats."""
    cut: int = 0

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss)


class Verdicts(Struct):
    """How often one model's answer was scored above the other's, with the order swapped."""

    won: int = 0
    lost: int = 0
    tied: int = 0
    unjudged: int = 0
    mean: float = 0.0
    """Points of its answers."""
    mean_of_first: float = 0.0


def answer_tokens(
    dialogues: Sequence[Dialogue],
    model: RunnableModel,
    format: str | None,
    system: str | None,
    max_length: int,
) -> TokenSet:
    """The dialogues as ``model`` reads them.

    Raises:
        TrainError: none of them can be measured.
    """
    with open_vocabulary(model.path) as vocabulary:
        told = chat_format(vocabulary, format, system)
        tokenizer = DialogueTokenizer(vocabulary.vocabulary, told)
        found = tokenize(dialogues, tokenizer, max_length)
    if not found.dialogues:
        raise TrainError(f"no dialogue can be measured: {'; '.join(found.counts.left_out)}")
    return found


def perplexity(
    model: RunnableModel,
    tokens: TokenSet,
    max_length: int,
    report: Report = lambda done, of: None,
) -> Perplexity:
    """How well ``model`` foresees the answers in ``tokens``.

    Raises:
        TrainError: llama.cpp cannot load it.
    """
    total, count = 0.0, 0
    adapters = [AdapterUse(str(file)) for file in model.adapters]
    try:
        with BlockingEngine(project_paths(), warn) as engine:
            engine.load(ModelSpec(str(model.path), context=max_length, all_logits=True))
            for number, dialogue in enumerate(tokens.dialogues, 1):
                losses = engine.losses(list(dialogue.ids), adapters)
                trained = [
                    loss for loss, is_answer in zip(losses, dialogue.trained[1:], strict=True)
                    if is_answer
                ]  # fmt: skip
                total += float(sum(trained))
                count += len(trained)
                report(number, len(tokens.dialogues))
    except EngineFailure as error:
        raise TrainError(str(error)) from error
    return Perplexity(count, total / count, tokens.counts.cut)


async def answers_of(
    speaker: Speaker, questions: Sequence[Sequence[Turn]], wish: Wish
) -> list[str]:
    """One answer to each question.

    Raises:
        TrainError: the speaker cannot be asked.
    """
    pace = Pace(speaker.at_once)
    found: dict[int, str] = {}

    async def ask(number: int) -> None:
        async def say() -> str:
            return (await speaker.say(questions[number], wish)).text.strip()

        found[number] = await patiently(say, pace)

    await each(range(len(questions)), ask, pace)
    return [found[number] for number in range(len(questions))]


async def compare(
    judging: Speaker,
    questions: Sequence[Sequence[Turn]],
    first: Sequence[str],
    other: Sequence[str],
    *,
    passes: int = 2,
    seed: int = 0,
    report: Report = lambda done, of: None,
) -> Verdicts:
    """``other``'s answers against ``first``'s: each pair is scored in both orders, and the mean of
    both decides.

    Raises:
        TrainError: the judge cannot be asked.
    """
    pace, found = Pace(judging.at_once), Verdicts()
    points: list[tuple[float, float]] = []
    done = 0

    async def score(number: int) -> None:
        nonlocal done
        pair = [first[number], other[number]]
        try:
            # The same words are worth the same, whatever a judge says.
            means = (
                [1.0, 1.0]
                if pair[0] == pair[1]
                else (
                    await judge(judging, questions[number], pair, pace, passes=passes, seed=seed)
                ).means
            )
        except NoScores:
            found.unjudged += 1
        else:
            if pair[0] != pair[1]:
                points.append((means[0], means[1]))
            found.won += means[1] > means[0]
            found.lost += means[1] < means[0]
            found.tied += means[1] == means[0]
        done += 1
        report(done, len(questions))

    await each(range(len(questions)), score, pace)
    if points:
        found.mean_of_first = round(sum(one for one, _ in points) / len(points), 1)
        found.mean = round(sum(two for _, two in points) / len(points), 1)
    return found


def first_questions(dialogues: Sequence[Dialogue], limit: int | None) -> list[list[Turn]]:
    """The first question of each dialogue with the system turn before it; none twice."""
    found: dict[str, list[Turn]] = {}
    for dialogue in dialogues:
        turns: list[Turn] = []
        for turn in dialogue.messages:
            turns.append(turn)
            if turn.role == "user":
                found.setdefault(turn.content, turns)
                break
    return list(found.values())[:limit]


def name_of(path: Path) -> str:
    """A short name for a row of a table."""
    return path.stem if path.is_file() else path.name
