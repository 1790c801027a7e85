"""How a dialogue develops from a seed.

``transcript`` is Baize v1: one call writes the whole dialogue. ``two-speaker`` is v2: one model
asks and one answers. ``rewrite`` is v1.5: a second model answers the questions of a dialogue again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from msgspec import Struct

from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.duplicates import REPEATED
from baize_train.corpus.quality import FOR_SELF_CHAT, FilterName, Limits, find_problems
from baize_train.selfchat.prompts import (
    END,
    TRANSCRIPT_PROMPT,
    asker_prompt,
    transcript_grammar,
)
from baize_train.speakers.speaker import Reply, RequestFailed, SamplingOptions, Speaker
from baize_train.speakers.usage import Usage

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
    filters: frozenset[FilterName] = FOR_SELF_CHAT
    sampling: SamplingOptions = SamplingOptions()
    keep_thoughts: bool = False
    """Whether the thoughts of a reasoning model stay with its answers."""


class Rejection(Struct, frozen=True):
    """Why a dialogue is not kept."""

    kind: FilterName | Literal["cut off", "request"]
    """The filter, or that a reply was cut off or refused."""
    description: str
    """A few words for the user."""


CUT_OFF = Rejection("cut off", "cut off")
REPEAT = Rejection("repeats", REPEATED)


class RejectedDialogue(Exception):
    """A dialogue that is not kept; ``turns`` are those before it was rejected."""

    def __init__(
        self, rejection: Rejection, turns: Sequence[Turn], *, unclear: bool = False
    ) -> None:
        """``unclear``: the reason may concern every request to this server."""
        super().__init__(rejection.description)
        self.rejection = rejection
        self.turns = list(turns)
        self.unclear = unclear


@dataclass
class DialogueRequest:
    """A dialogue to hold."""

    seed: str
    random_seed: int
    usage: Usage = field(default_factory=Usage)
    """What it has taken so far."""
    meta: dict[str, Any] = field(default_factory=dict)
    """To be recorded with it."""
    remember: Callable[[Speaker], Speaker] = lambda speaker: speaker
    """Makes a speaker use the replies of an earlier run."""


@dataclass(frozen=True)
class SelfChat:
    """A mode with its speakers: holds one dialogue for each seed."""

    mode: Mode
    answerer: Speaker
    asker: Speaker
    options: DialogueOptions
    originals: Mapping[str, Dialogue]
    """For ``rewrite``: the dialogues by their seeds."""
    personas: Sequence[str] = ()
    """For ``two-speaker``: who asks; each dialogue has one of them."""

    async def hold(self, request: DialogueRequest) -> list[Turn]:
        """The turns that develop from a seed.

        Raises:
            RejectedDialogue: the dialogue is not good, or a request of it is refused.
            RequestFailed: ``later``, the server fails now.
            TrainError: a speaker does not reply.
        """
        sampling = msgspec.structs.replace(self.options.sampling, seed=request.random_seed)
        options = msgspec.structs.replace(self.options, sampling=sampling)
        answerer, asker = request.remember(self.answerer), request.remember(self.asker)
        seed, usage = request.seed, request.usage
        if self.mode == "transcript":
            return await transcript(answerer, seed, options, usage)
        if self.mode == "rewrite":
            original = self.originals[seed]
            request.meta["original"] = original.id
            return await rewrite(answerer, original.messages, options, usage)
        persona = ""
        if self.personas:
            persona = self.personas[request.random_seed % len(self.personas)]
            request.meta["persona"] = persona
        return await two_speakers(asker, answerer, seed, options, usage, persona)


async def _ask(
    speaker: Speaker,
    messages: Sequence[Turn],
    turns: Sequence[Turn],
    sampling: SamplingOptions,
    usage: Usage,
) -> Reply:
    """The reply to ``messages``, for a dialogue that has come to ``turns``."""
    try:
        return usage.add(await speaker.reply(messages, sampling))
    except RequestFailed as error:
        usage.count(error.cost.prompt, error.cost.completion)
        if error.later:
            raise
        raise RejectedDialogue(
            Rejection("request", str(error)), turns, unclear=error.unclear
        ) from error


def _answer(reply: Reply, options: DialogueOptions) -> Turn:
    thoughts = reply.thoughts.strip() if options.keep_thoughts else ""
    return Turn("assistant", reply.text.strip(), reasoning_content=thoughts)


async def transcript(
    speaker: Speaker, seed: str, options: DialogueOptions, usage: Usage
) -> list[Turn]:
    """One call writes the dialogue.

    Raises:
        RejectedDialogue, RequestFailed, TrainError: see ``SelfChat.hold``.
    """
    prompt = [Turn("user", TRANSCRIPT_PROMPT.format(seed=seed))]
    sampling = options.sampling
    if speaker.supports_grammars:
        sampling = msgspec.structs.replace(sampling, grammar=transcript_grammar(options.turns))
    reply = await _ask(speaker, prompt, [], sampling, usage)
    turns = parse_transcript(reply.text, seed)
    if not reply.complete:
        raise RejectedDialogue(CUT_OFF, turns)
    return _require_good(turns, options)


async def two_speakers(
    asker: Speaker,
    answerer: Speaker,
    seed: str,
    options: DialogueOptions,
    usage: Usage,
    persona: str = "",
) -> list[Turn]:
    """The seed is the first question; then the speakers take turns.

    Raises:
        RejectedDialogue, RequestFailed, TrainError: see ``SelfChat.hold``.
    """
    turns = [Turn("user", seed.strip())]
    while True:
        reply = await _ask(answerer, turns, turns, options.sampling, usage)
        turns = [*turns, _answer(reply, options)]
        if not reply.complete:
            raise RejectedDialogue(CUT_OFF, turns)
        if sum(turn.role == "assistant" for turn in turns) >= options.turns:
            break
        question = await _next_question(asker, asker_prompt(seed, persona), turns, options, usage)
        if question is None:
            break
        turns = [*turns, Turn("user", question)]
    return _require_good(turns, options)


async def _next_question(
    asker: Speaker, prompt: str, turns: Sequence[Turn], options: DialogueOptions, usage: Usage
) -> str | None:
    """The asker's next message, or None if it has no more questions."""
    # The asker plays the user, so what the user said is the asker's own side of the dialogue.
    swapped = [Turn("assistant" if turn.role == "user" else "user", turn.content) for turn in turns]
    messages = [Turn("system", prompt), *swapped]
    rejection = CUT_OFF
    for number in range(_QUESTION_TRIES):
        sampling = options.sampling
        if number and sampling.seed is not None:
            sampling = msgspec.structs.replace(sampling, seed=sampling.seed + number)
        reply = await _ask(asker, messages, turns, sampling, usage)
        text = reply.text.strip().removeprefix("[Human]").strip()
        if END in text or not text:
            return None
        problem = _question_problem(turns, text, options)
        if reply.complete and problem is None:
            return text
        rejection = problem or CUT_OFF
    raise RejectedDialogue(rejection, turns)


def _question_problem(
    turns: Sequence[Turn], question: str, options: DialogueOptions
) -> Rejection | None:
    """Why ``question`` cannot follow ``turns``; None if it can."""
    continued = Dialogue([*turns, Turn("user", question), Turn("assistant", "…")])
    of_questions = options.filters & {"role-drift", "prompt-leak"}
    for problem in find_problems(continued, options.limits, of_questions):
        return Rejection(problem.kind, problem.description)
    if "role-drift" in options.filters and not is_request(question):
        return Rejection("role-drift", "role drift: the asker does not ask")
    return None


async def rewrite(
    answerer: Speaker, turns: Sequence[Turn], options: DialogueOptions, usage: Usage
) -> list[Turn]:
    """The questions and system turns of a dialogue with new answers by ``answerer``.

    Raises:
        RejectedDialogue, RequestFailed, TrainError: see ``SelfChat.hold``.
    """
    rewritten: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant":
            continue
        rewritten.append(turn)
        if turn.role == "system":
            continue
        reply = await _ask(answerer, rewritten, rewritten, options.sampling, usage)
        rewritten.append(_answer(reply, options))
        if not reply.complete:
            raise RejectedDialogue(CUT_OFF, rewritten)
    return _require_good(rewritten, options)


def _require_good(turns: list[Turn], options: DialogueOptions) -> list[Turn]:
    if problems := find_problems(Dialogue(turns), options.limits, options.filters):
        first = problems[0]
        raise RejectedDialogue(Rejection(first.kind, first.description), turns)
    return turns
