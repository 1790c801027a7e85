"""The original Baize's transcripts: ``[Human] … [AI] …`` as collected, ``[|Human|]`` as trained.

The original splits a transcript at every marker and drops the last human block. That loses the last
exchange of each dialogue from its second collector, and every dialogue with a single exchange. Here
only a last turn without an answer is dropped.
"""

from __future__ import annotations

import re

from baize_train.corpus.dialogues import Role, Turn

_MARKER = re.compile(r"\[\|?(Human|AI)\|?\]")
_GREETING = ("Hello!", "Hi! How can I help you?")
"""The exchange that the collector's prompt starts with."""


def parse_transcript(transcript: str, topic: str = "") -> list[Turn]:
    """The turns of a transcript, from its first question to its last answer.

    Text before the first marker is a preamble and is skipped, like the greeting of the collector's
    prompt. If the transcript starts with the AI, as a completion does, ``topic`` is taken as the
    first question.
    """
    parts = _MARKER.split(transcript)
    turns: list[Turn] = []
    for speaker, raw in zip(parts[1::2], parts[2::2], strict=True):
        text = raw.strip()
        role: Role = "user" if speaker == "Human" else "assistant"
        if not turns and role == "assistant":
            if not topic:
                continue
            turns.append(Turn("user", topic))
        if not text:
            continue
        if turns and turns[-1].role == role:
            # The marker was repeated: both parts are one turn.
            turns[-1] = Turn(role, f"{turns[-1].content}\n{text}")
        else:
            turns.append(Turn(role, text))
    if tuple(turn.content for turn in turns[:2]) == _GREETING and len(turns) > 2:
        turns = turns[2:]
    while turns and turns[-1].role == "user":
        turns.pop()
    return turns
