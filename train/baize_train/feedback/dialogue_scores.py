"""A judge scores the last answers of dialogues."""

from __future__ import annotations

from collections.abc import Sequence

from baize_train.corpus.dialogues import Dialogue
from baize_train.feedback.judge import JudgeOptions, NoScoresError, judge_answers
from baize_train.speakers.concurrency import ReportDone, run_all
from baize_train.speakers.speaker import Speaker


async def score_dialogues(
    judge: Speaker, dialogues: Sequence[Dialogue], report: ReportDone = lambda done, total: None
) -> list[int | None]:
    """The score, 1 to 100, of the last answer of each dialogue; None where the judge gives none.

    Raises:
        TrainError: the judge does not reply.
    """
    scores: dict[int, int | None] = {}

    async def score(number: int) -> None:
        *question, answer = dialogues[number].messages
        try:
            given = await judge_answers(judge, question, [answer.content], JudgeOptions(passes=1))
            scores[number] = round(given.means[0])
        except NoScoresError:
            scores[number] = None
        report(len(scores), len(dialogues))

    await run_all(range(len(dialogues)), score, judge.max_concurrent)
    return [scores[number] for number in range(len(dialogues))]
