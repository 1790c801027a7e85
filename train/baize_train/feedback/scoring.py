"""Several answers to each instruction, and a judge's scores of them: what SDF learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.corpus.append_only_file import GrowingFile
from baize_train.corpus.dialogues import Dialogue, Turn, id_of
from baize_train.feedback.judge import Judgement, NoScores, judge
from baize_train.selfchat.collection import key_of
from baize_train.speakers.concurrency import Pace, each, patiently
from baize_train.speakers.speaker import Speaker, Wish

ANSWERS, SCORES = "answers.jsonl", "scores.jsonl"


class Answers(Struct, frozen=True):
    """What the model in training said to one instruction, several times."""

    key: str
    question: list[Turn]
    answers: list[str]
    whole: list[bool]
    """Which of them ended by themselves."""


class Scores(Struct, frozen=True, omit_defaults=True):
    """All that a judge said of them."""

    key: str
    judge: str
    passes: int
    scores: list[list[int]] = []
    """Of each pass, in the order of the answers."""
    problem: str = ""
    """Why there are none."""


class Choice(Struct, frozen=True):
    """The best and the worst answer to one instruction, by the mean of all passes."""

    question: list[Turn]
    best: str
    worst: str
    margin: float
    """Points between them."""

    def dialogue(self) -> Dialogue:
        turns = [*self.question, Turn("assistant", self.best)]
        return Dialogue(turns, id_of(turns), "sdf")


async def sample_answers(
    speaker: Speaker,
    questions: Sequence[list[Turn]],
    count: int,
    wish: Wish,
    folder: Path,
    report: Callable[[int, int], object] = lambda done, of: None,
    settings: Any = None,
) -> list[Answers]:
    """``count`` answers to each question, in ``folder``; those that are there are not asked again.

    ``settings`` tell of the model what its name does not: other weights give other answers.

    Raises:
        TrainError: the speaker cannot be asked, or the file not be written; what came is kept.
    """
    pace = Pace(speaker.at_once)
    with GrowingFile(folder / ANSWERS, Answers) as file:
        known = {one.key for one in file.lines}
        made_by = [speaker.name, count, wish, settings]
        keyed = {key_of(question, made_by): question for question in questions}

        async def sample(key: str) -> None:
            replies = []
            for number in range(count):
                # Another seed for each: the same again would teach nothing.
                seeded = msgspec.structs.replace(
                    wish, seed=(int(key[:8], 16) + number + (wish.seed or 0)) % 2**31
                )

                async def say(seeded: Wish = seeded) -> tuple[str, bool]:
                    reply = await speaker.say(keyed[key], seeded)
                    return reply.text.strip(), reply.whole

                replies.append(await patiently(say, pace))
            texts, whole = [text for text, _ in replies], [ended for _, ended in replies]
            file.add(Answers(key, keyed[key], texts, whole))

        def ended() -> None:
            report(len(keyed.keys() & {one.key for one in file.lines}), len(keyed))

        await each([key for key in keyed if key not in known], sample, pace, ended=ended)
        found = {one.key: one for one in file.lines}
        return [found[key] for key in keyed]


async def score_answers(
    speaker: Speaker,
    sampled: Sequence[Answers],
    folder: Path,
    *,
    passes: int,
    seed: int,
    report: Callable[[int, int], object] = lambda done, of: None,
) -> dict[str, Scores]:
    """A judge's scores of all answers, by their keys; all are kept in ``folder``.

    Raises:
        TrainError: the judge cannot be asked, or the file not be written.
    """
    pace = Pace(speaker.at_once)
    with GrowingFile(folder / SCORES, Scores) as file:
        wanted = {one.key for one in sampled}

        def judged() -> dict[str, Scores]:
            return {
                one.key: one
                for one in file.lines
                if one.key in wanted and one.judge == speaker.name and one.passes == passes
            }

        known = judged().keys()

        async def score(one: Answers) -> None:
            try:
                found = await judge(
                    speaker, one.question, one.answers, pace, passes=passes, seed=seed
                )
            except NoScores as error:
                file.add(Scores(one.key, speaker.name, passes, problem=str(error)))
            else:
                file.add(Scores(one.key, speaker.name, passes, found.scores))

        waiting = [one for one in sampled if one.key not in known]
        done = len(sampled) - len(waiting)

        def ended() -> None:
            nonlocal done
            done += 1
            report(done, len(sampled))

        await each(waiting, score, pace, ended=ended)
        return judged()


def choices(sampled: Sequence[Answers], scores: dict[str, Scores]) -> list[Choice]:
    """The best against the worst where there are scores; what was cut off is never the best."""
    found = []
    for one in sampled:
        given = scores.get(one.key)
        if given is None or not given.scores:
            continue
        means = Judgement(given.scores).means
        whole = [at for at, ended in enumerate(one.whole) if ended and one.answers[at]]
        if not whole:
            continue
        best = max(whole, key=lambda at: means[at])
        worst = min(range(len(means)), key=lambda at: means[at])
        margin = means[best] - means[worst]
        found.append(Choice(one.question, one.answers[best], one.answers[worst], margin))
    return found
