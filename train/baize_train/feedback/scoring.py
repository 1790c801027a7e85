"""Let a judge score all candidates. Scores on disk are not requested again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from baize_train.corpus.append_only_file import AppendOnlyFile
from baize_train.feedback.candidates import Candidates
from baize_train.feedback.judge import JudgeOptions, NoScoresError, judge_answers
from baize_train.speakers.concurrency import ReportDone, run_all
from baize_train.speakers.speaker import Speaker

SCORES_FILE = "scores.jsonl"


class Scores(Struct, frozen=True, omit_defaults=True):
    """A judge's scores of one instruction's candidates; a line of ``scores.jsonl``."""

    key: str
    """That of the candidates."""
    judge: str
    passes: int
    scores: list[list[int]] = []
    """Of each pass, in the order of the answers."""
    problem: str = ""
    """Why there are no scores, for the user."""


async def score_candidates(
    judge: Speaker,
    candidates: Sequence[Candidates],
    folder: Path,
    options: JudgeOptions,
    report: ReportDone = lambda done, total: None,
) -> dict[str, Scores]:
    """The scores of all ``candidates`` by their keys, also written to ``folder``.

    Raises:
        TrainError: the judge does not reply, or the file cannot be written.
    """
    keys = {item.key for item in candidates}
    with AppendOnlyFile(folder / SCORES_FILE, Scores) as file:

        def scored() -> dict[str, Scores]:
            return {
                record.key: record
                for record in file.records
                if record.key in keys
                and record.judge == judge.name
                and record.passes == options.passes
            }

        async def score(item: Candidates) -> None:
            try:
                judgement = await judge_answers(judge, item.question, item.answers, options)
            except NoScoresError as error:
                file.add(Scores(item.key, judge.name, options.passes, problem=str(error)))
            else:
                file.add(Scores(item.key, judge.name, options.passes, judgement.scores))

        known = scored().keys()
        missing = [item for item in candidates if item.key not in known]
        await run_all(
            missing,
            score,
            judge.max_concurrent,
            on_finished=lambda: report(len(scored()), len(candidates)),
        )
        return scored()
