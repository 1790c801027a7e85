"""Sample several answers to each instruction. Those on disk are not requested again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.corpus.append_only_file import AppendOnlyFile
from baize_train.corpus.dialogues import Turn, record_key
from baize_train.errors import warn
from baize_train.speakers.concurrency import ReportDone, run_all
from baize_train.speakers.speaker import Reply, RequestFailed, SamplingOptions, Speaker

ANSWERS_FILE = "answers.jsonl"


class Candidates(Struct, frozen=True):
    """Answers of the model in training to one instruction; a line of ``answers.jsonl``."""

    key: str
    question: list[Turn]
    answers: list[str]
    complete: list[bool] = msgspec.field(name="whole")
    """Which answers the model ended itself."""


async def sample_candidates(
    speaker: Speaker,
    questions: Sequence[list[Turn]],
    count: int,
    sampling: SamplingOptions,
    folder: Path,
    report: ReportDone = lambda done, total: None,
    model: Any = None,
) -> list[Candidates]:
    """``count`` answers to each question, also written to ``folder``.

    ``model`` identifies the weights where the speaker's name does not: other weights give other
    answers.

    Raises:
        TrainError: the speaker does not reply, or the file cannot be written. Answers so far are
            kept.
    """
    settings = [speaker.name, count, sampling, model]
    keyed = {record_key(question, settings): question for question in questions}
    with AppendOnlyFile(folder / ANSWERS_FILE, Candidates) as file:
        known = {record.key for record in file.records}

        async def sample(key: str) -> None:
            try:
                replies = [
                    await _ask(speaker, keyed[key], sampling, key, number)
                    for number in range(count)
                ]
            except RequestFailed as error:
                warn(f"an instruction is left out: {error}")
                return
            texts = [reply.text.strip() for reply in replies]
            file.add(Candidates(key, keyed[key], texts, [reply.complete for reply in replies]))

        def on_finished() -> None:
            report(len(keyed.keys() & {record.key for record in file.records}), len(keyed))

        missing = [key for key in keyed if key not in known]
        await run_all(missing, sample, speaker.max_concurrent, on_finished=on_finished)
        records = {record.key: record for record in file.records}
        return [records[key] for key in keyed if key in records]


async def _ask(
    speaker: Speaker, question: list[Turn], sampling: SamplingOptions, key: str, number: int
) -> Reply:
    """Ask for answer ``number``. Each has another seed: equal answers would teach nothing."""
    seed = (int(key[:8], 16) + number + (sampling.seed or 0)) % 2**31
    return await speaker.reply(question, msgspec.structs.replace(sampling, seed=seed))
