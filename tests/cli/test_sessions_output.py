"""How a conversation is printed where the context was cut."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from baize_tui.cli.sessions_output import transcript_json, transcript_parts
from baize_tui.store.records import Conversation, Message, MessageRole

TALK = Conversation("c", "Talk", 0, 0, 4, None, None, "", False, None)
TEXTS: list[tuple[MessageRole, str]] = [
    ("user", "Why?"),
    ("assistant", "So."),
    ("user", "And then?"),
    ("assistant", "Nothing."),
]
MESSAGES = [
    Message(id, "c", id - 1 or None, role, "complete", text, "", None, None, 0, None)
    for id, (role, text) in enumerate(TEXTS, start=1)
]


@pytest.mark.parametrize(
    ("summary", "pinned", "line"),
    [
        ("", False, "_The model no longer sees the turns above._"),
        ("", True, "_Of the turns above, the model sees only pinned ones._"),
        ("They talked.", False, "_Of the turns above, the model sees this summary:_"),
        (
            "They talked.",
            True,
            "_Of the turns above, the model sees pinned turns and this summary:_",
        ),
    ],
)
def test_the_cut_is_printed_with_the_summary(summary: str, pinned: bool, line: str) -> None:
    first, answer, *others = MESSAGES
    third = replace(others[0], summary=summary)
    messages = [replace(first, pinned=pinned), answer, third, others[1]]
    conversation = replace(TALK, context_start=3)
    text = "\n".join(transcript_parts(conversation, messages))
    above, _, below = text.partition(line)
    assert above.endswith("So.\n\n")
    assert ("> They talked." in below.split("And then?")[0]) == bool(summary)
    shown = transcript_json(conversation, messages)
    assert shown["context_start"] == 3
    assert [message["summary"] for message in shown["messages"]] == ["", "", summary, ""]


def test_without_a_cut_nothing_is_said_about_it() -> None:
    assert "model sees" not in "\n".join(transcript_parts(TALK, MESSAGES))
    assert transcript_json(TALK, MESSAGES)["context_start"] is None
