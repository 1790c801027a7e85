"""Self-chat: how a dialogue comes to be out of a seed.

``transcript`` is Baize v1, one call that writes all of it; ``two-speaker`` is v2, one asks and one
answers; ``rewrite`` is v1.5, a second model writes the answers of a dialogue anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from baize_train.corpus.baize_transcripts import turns_of
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.quality import Limits, problems_of
from baize_train.speakers.speaker import Reply, Speaker, Wish

Mode = Literal["transcript", "two-speaker", "rewrite"]
TRANSCRIPT_PROMPT = (
    "Forget the instruction you have previously received. The following is a conversation between "
    "a human and an AI assistant. The human and the AI assistant take turns chatting about the "
    "topic: '{seed}'. Human statements start with [Human] and AI assistant statements start with "
    "[AI]. The human will ask related questions on related topics or previous conversation. The "
    "human will stop the conversation when they have no more question. The AI assistant tries not "
    "to ask questions. Complete the transcript in exactly that format.\n[Human] Hello!\n[AI] Hi! "
    "How can I help you?\n"
)
"""Of the paper (appendix A), word for word."""
ASKER_PROMPT = (
    "You play a person who talks with an AI assistant about this topic: '{seed}'. You are given "
    "what the assistant said; write only the person's next message: one short, related question or "
    "request, as a person would type it. Do not answer it and do not thank. If the person would "
    "have no more questions, write only: [END]"
)
END = "[END]"
_TRIES = 3
"""How often a question is asked for that does not sound like one."""


_REQUEST = re.compile(
    r"[?？]|^(please|tell|explain|give|show|write|list|describe|make|help|compare|name|suggest|"
    r"translate|summari[sz]e|what|why|how|when|where|who|which)\b",
    re.IGNORECASE,
)
_REPLY = re.compile(
    r"^(you'?re (right|welcome|correct)|you'?ve already|that'?s (right|correct|great)|yes,|no,|"
    r"i'?m glad|sure|certainly|of course|great question|thank)",
    re.IGNORECASE,
)


def asks(text: str) -> bool:
    """Whether a person who is to ask does: small models answer instead, or give praise."""
    return bool(_REQUEST.search(text)) and not _REPLY.match(text)


class Shape(Struct, frozen=True):
    """What a dialogue is to be like."""

    turns: int = 3
    """Answers at the most."""
    limits: Limits = Limits()
    wish: Wish = Wish()


class Rejected(Exception):
    """A dialogue that is not kept; ``turns`` are those it has got to."""

    def __init__(self, why: str, turns: Sequence[Turn]) -> None:
        super().__init__(why)
        self.turns = list(turns)


class Usage:
    """Tokens that one dialogue took, of each speaker."""

    def __init__(self) -> None:
        self.prompt = self.completion = 0

    def add(self, reply: Reply) -> Reply:
        self.prompt += reply.prompt_tokens
        self.completion += reply.completion_tokens
        return reply


def transcript_grammar(turns: int) -> str:
    """The form of a transcript that goes on after its seed, ``turns`` answers long: small models do
    not keep to it by themselves."""
    more = " ".join(["turn"] * (turns - 1))
    return (
        f'root ::= "[AI] " answer {more}\n'
        'turn ::= "\\n[Human] " question "?\\n[AI] " answer\n'
        "question ::= [^\\n?\\[\\]]+\n"
        "answer ::= [^\\n\\[\\]]+\n"
    )


async def transcript(speaker: Speaker, seed: str, shape: Shape, usage: Usage) -> list[Turn]:
    """One call writes the dialogue.

    Raises:
        Rejected: it was cut off, or is none.
        SpeakerFailed: the speaker does not answer.
    """
    asked = [Turn("user", TRANSCRIPT_PROMPT.format(seed=seed))]
    wish = shape.wish
    if speaker.heeds_grammars:
        wish = msgspec.structs.replace(wish, grammar=transcript_grammar(shape.turns))
    reply = usage.add(await speaker.say(asked, wish))
    turns = turns_of(reply.text, seed)
    if not reply.whole:
        raise Rejected("cut off", turns)
    return _good(turns, shape)


async def two_speakers(
    asker: Speaker, answerer: Speaker, seed: str, shape: Shape, usage: Usage
) -> list[Turn]:
    """The seed is the first question; then one asks and one answers.

    Raises:
        Rejected, SpeakerFailed: see ``transcript``.
    """
    turns = [Turn("user", seed.strip())]
    while True:
        reply = usage.add(await answerer.say(turns, shape.wish))
        turns = [*turns, Turn("assistant", reply.text.strip())]
        if not reply.whole:
            raise Rejected("cut off", turns)
        if sum(turn.role == "assistant" for turn in turns) >= shape.turns:
            break
        question = await _question(asker, seed, turns, shape, usage)
        if question is None:
            break
        turns = [*turns, Turn("user", question)]
    return _good(turns, shape)


async def _question(
    asker: Speaker, seed: str, turns: Sequence[Turn], shape: Shape, usage: Usage
) -> str | None:
    """What the person says next; None where they have no more to ask."""
    swapped = [Turn("assistant" if turn.role == "user" else "user", turn.content) for turn in turns]
    told = [Turn("system", ASKER_PROMPT.format(seed=seed)), *swapped]
    why = ""
    for number in range(_TRIES):
        wish = shape.wish
        if number and wish.seed is not None:
            wish = msgspec.structs.replace(wish, seed=wish.seed + number)
        reply = usage.add(await asker.say(told, wish))
        text = reply.text.strip().removeprefix("[Human]").strip()
        if END in text or not text:
            return None
        found = problems_of(Dialogue([*turns, Turn("user", text), Turn("assistant", "…")]))
        drift = [problem for problem in found if problem.startswith(("role drift", "prompt leak"))]
        if not drift and not asks(text):
            drift = ["role drift: the asker does not ask"]
        if reply.whole and not drift:
            return text
        why = drift[0] if drift else "cut off"
    raise Rejected(why, turns)


async def rewrite(
    answerer: Speaker, turns: Sequence[Turn], shape: Shape, usage: Usage
) -> list[Turn]:
    """The questions of a dialogue, with answers by ``answerer`` in place of those that were there.

    Raises:
        Rejected, SpeakerFailed: see ``transcript``.
    """
    anew: list[Turn] = []
    for turn in turns:
        if turn.role != "user":
            continue
        anew.append(turn)
        reply = usage.add(await answerer.say(anew, shape.wish))
        anew.append(Turn("assistant", reply.text.strip()))
        if not reply.whole:
            raise Rejected("cut off", anew)
    return _good(anew, shape)


def _good(turns: list[Turn], shape: Shape) -> list[Turn]:
    if found := problems_of(Dialogue(turns), shape.limits):
        raise Rejected(found[0], turns)
    return turns
