"""How often a judge prefers one model's answers to another's."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.errors import TrainError
from baize_train.feedback.judge import JudgeOptions, NoScoresError, judge_answers
from baize_train.speakers.concurrency import ReportDone, run_all
from baize_train.speakers.speaker import RequestFailed, SamplingOptions, Speaker


class Comparison(Struct):
    """How often the second model's answer scored above the first's, over both orders."""

    won: int = 0
    lost: int = 0
    tied: int = 0
    unjudged: int = 0
    """Questions for which the judge gave no scores."""
    mean: float = 0.0
    """Mean score of the second model's answers; equal answers do not count."""
    mean_of_first: float = 0.0


async def answer_questions(
    speaker: Speaker, questions: Sequence[Sequence[Turn]], sampling: SamplingOptions
) -> list[str]:
    """One answer to each question.

    Raises:
        TrainError: the speaker does not reply.
    """
    answers: dict[int, str] = {}

    async def answer(number: int) -> None:
        try:
            reply = await speaker.reply(questions[number], sampling)
        except RequestFailed as error:
            raise TrainError(f"question {number + 1} has no answer: {error}") from error
        answers[number] = reply.text.strip()

    await run_all(range(len(questions)), answer, speaker.max_concurrent)
    return [answers[number] for number in range(len(questions))]


async def compare_answers(
    judge: Speaker,
    questions: Sequence[Sequence[Turn]],
    first: Sequence[str],
    second: Sequence[str],
    options: JudgeOptions = JudgeOptions(),  # noqa: B008
    report: ReportDone = lambda done, total: None,
) -> Comparison:
    """Compare the answers ``second`` with ``first`` by the mean scores over both orders.

    Raises:
        TrainError: the judge does not reply.
    """
    comparison = Comparison()
    means: list[tuple[float, float]] = []
    done = 0

    async def compare(number: int) -> None:
        nonlocal done
        pair = (first[number], second[number])
        if pair[0] == pair[1]:  # equal answers are a tie, whatever a judge says
            comparison.tied += 1
        else:
            try:
                scores = (await judge_answers(judge, questions[number], pair, options)).means
            except NoScoresError:
                comparison.unjudged += 1
            else:
                means.append((scores[0], scores[1]))
        done += 1
        report(done, len(questions))

    await run_all(range(len(questions)), compare, judge.max_concurrent)
    _add_scores(comparison, means)
    return comparison


def _add_scores(comparison: Comparison, means: Sequence[tuple[float, float]]) -> None:
    comparison.won += sum(second > first for first, second in means)
    comparison.lost += sum(second < first for first, second in means)
    comparison.tied += sum(second == first for first, second in means)
    if means:
        comparison.mean_of_first = round(sum(first for first, _ in means) / len(means), 1)
        comparison.mean = round(sum(second for _, second in means) / len(means), 1)


def first_questions(dialogues: Sequence[Dialogue], limit: int | None) -> list[list[Turn]]:
    """The distinct first questions of ``dialogues``, each with the system turn before it."""
    questions: dict[str, list[Turn]] = {}
    for dialogue in dialogues:
        turns: list[Turn] = []
        for turn in dialogue.messages:
            turns.append(turn)
            if turn.role == "user":
                questions.setdefault(turn.content, turns)
                break
    return list(questions.values())[:limit]
