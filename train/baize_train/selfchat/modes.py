"""How a dialogue develops from a seed.

``transcript`` is Baize v1: one call writes the whole dialogue. ``two-speaker`` is v2: one model
asks and one answers. ``rewrite`` is v1.5: a second model answers the questions of a dialogue again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct

from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.duplicates import REPEATED
from baize_train.corpus.quality import Limits, ProblemKind, find_problems
from baize_train.selfchat.budget import Usage
from baize_train.selfchat.prompts import ASKER_PROMPT, END, TRANSCRIPT_PROMPT, transcript_grammar
from baize_train.speakers.speaker import SamplingOptions, Speaker

Mode = Literal["transcript", "two-speaker", "rewrite"]
_QUESTION_TRIES = 3
"""A small model often answers when it is asked for a question."""
_REQUEST = re.compile(
    r"[?？]|^(please|tell|explain|give|show|write|list|describe|make|help|compare|name|suggest|"
    r"translate|summari[sz]e|what|why|how|when|where|who|which)\b",
    re.IGNORECASE,
)
_RESPONSE = re.compile(
    r"^(you'?re (right|welcome|correct)|you'?ve already|that'?s (right|correct|great)|yes,|no,|"
    r"i'?m glad|sure|certainly|of course|great question|thank)",
    re.IGNORECASE,
)


def is_request(text: str) -> bool:
    """Whether ``text`` asks for something: small models answer or praise instead."""
    return bool(_REQUEST.search(text)) and not _RESPONSE.match(text)


class DialogueOptions(Struct, frozen=True):
    """The form of a dialogue."""

    turns: int = 3
    """Answers, at most."""
    limits: Limits = Limits()
    sampling: SamplingOptions = SamplingOptions()


class Rejection(Struct, frozen=True):
    """Why a dialogue is not kept."""

    kind: ProblemKind | Literal["cut off", "repeat"]
    description: str
    """A few words for the user."""


CUT_OFF = Rejection("cut off", "cut off")
REPEAT = Rejection("repeat", REPEATED)


class RejectedDialogue(Exception):
    """A dialogue that is not kept; ``turns`` are those before it was rejected."""

    def __init__(self, rejection: Rejection, turns: Sequence[Turn]) -> None:
        super().__init__(rejection.description)
        self.rejection = rejection
        self.turns = list(turns)


@dataclass(frozen=True)
class SelfChat:
    """A mode with its speakers: holds one dialogue for each seed."""

    mode: Mode
    answerer: Speaker
    asker: Speaker
    options: DialogueOptions
    originals: Mapping[str, Dialogue]
    """For ``rewrite``: the dialogues by their ids, which are the seeds then."""

    async def hold(self, seed: str, random_seed: int, usage: Usage) -> list[Turn]:
        """The turns that develop from ``seed``, with their cost added to ``usage``.

        Raises:
            RejectedDialogue: the dialogue is not good.
            SpeakerError: a speaker does not reply.
        """
        sampling = msgspec.structs.replace(self.options.sampling, seed=random_seed)
        options = msgspec.structs.replace(self.options, sampling=sampling)
        if self.mode == "transcript":
            return await transcript(self.answerer, seed, options, usage)
        if self.mode == "rewrite":
            return await rewrite(self.answerer, self.originals[seed].messages, options, usage)
        return await two_speakers(self.asker, self.answerer, seed, options, usage)


async def transcript(
    speaker: Speaker, seed: str, options: DialogueOptions, usage: Usage
) -> list[Turn]:
    """One call writes the dialogue.

    Raises:
        RejectedDialogue: it was cut off, or is not good.
        SpeakerError: the speaker does not reply.
    """
    prompt = [Turn("user", TRANSCRIPT_PROMPT.format(seed=seed))]
    sampling = options.sampling
    if speaker.supports_grammars:
        sampling = msgspec.structs.replace(sampling, grammar=transcript_grammar(options.turns))
    reply = usage.add(await speaker.reply(prompt, sampling))
    turns = parse_transcript(reply.text, seed)
    if not reply.complete:
        raise RejectedDialogue(CUT_OFF, turns)
    return _require_good(turns, options)


async def two_speakers(
    asker: Speaker, answerer: Speaker, seed: str, options: DialogueOptions, usage: Usage
) -> list[Turn]:
    """The seed is the first question; then the speakers take turns.

    Raises:
        RejectedDialogue, SpeakerError: see ``transcript``.
    """
    turns = [Turn("user", seed.strip())]
    while True:
        reply = usage.add(await answerer.reply(turns, options.sampling))
        turns = [*turns, Turn("assistant", reply.text.strip())]
        if not reply.complete:
            raise RejectedDialogue(CUT_OFF, turns)
        if sum(turn.role == "assistant" for turn in turns) >= options.turns:
            break
        question = await _next_question(asker, seed, turns, options, usage)
        if question is None:
            break
        turns = [*turns, Turn("user", question)]
    return _require_good(turns, options)


async def _next_question(
    asker: Speaker, seed: str, turns: Sequence[Turn], options: DialogueOptions, usage: Usage
) -> str | None:
    """The asker's next message, or None if it has no more questions."""
    # The asker plays the user, so what the user said is the asker's own side of the dialogue.
    swapped = [Turn("assistant" if turn.role == "user" else "user", turn.content) for turn in turns]
    messages = [Turn("system", ASKER_PROMPT.format(seed=seed)), *swapped]
    rejection = CUT_OFF
    for number in range(_QUESTION_TRIES):
        sampling = options.sampling
        if number and sampling.seed is not None:
            sampling = msgspec.structs.replace(sampling, seed=sampling.seed + number)
        reply = usage.add(await asker.reply(messages, sampling))
        text = reply.text.strip().removeprefix("[Human]").strip()
        if END in text or not text:
            return None
        problem = _question_problem(turns, text)
        if reply.complete and problem is None:
            return text
        rejection = problem or CUT_OFF
    raise RejectedDialogue(rejection, turns)


def _question_problem(turns: Sequence[Turn], question: str) -> Rejection | None:
    """Why ``question`` cannot follow ``turns``; None if it can."""
    continued = Dialogue([*turns, Turn("user", question), Turn("assistant", "…")])
    for problem in find_problems(continued):
        if problem.kind in ("role drift", "prompt leak"):
            return Rejection(problem.kind, problem.description)
    if not is_request(question):
        return Rejection("role drift", "role drift: the asker does not ask")
    return None


async def rewrite(
    answerer: Speaker, turns: Sequence[Turn], options: DialogueOptions, usage: Usage
) -> list[Turn]:
    """The questions of a dialogue with new answers by ``answerer``.

    Raises:
        RejectedDialogue, SpeakerError: see ``transcript``.
    """
    rewritten: list[Turn] = []
    for turn in turns:
        if turn.role != "user":
            continue
        rewritten.append(turn)
        reply = usage.add(await answerer.reply(rewritten, options.sampling))
        rewritten.append(Turn("assistant", reply.text.strip()))
        if not reply.complete:
            raise RejectedDialogue(CUT_OFF, rewritten)
    return _require_good(rewritten, options)


def _require_good(turns: list[Turn], options: DialogueOptions) -> list[Turn]:
    if problems := find_problems(Dialogue(turns), options.limits):
        first = problems[0]
        raise RejectedDialogue(Rejection(first.kind, first.description), turns)
    return turns
