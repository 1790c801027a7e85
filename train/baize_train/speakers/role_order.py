"""Messages for templates that take nothing but a user and an assistant in turns.

The templates of Mistral and Llama 2, and others, refuse a first message of the assistant, two
messages of one speaker, and sometimes system messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from baize_train.corpus.dialogues import Turn


def in_turns(messages: Sequence[Turn]) -> list[Turn]:
    """``messages`` as a user and an assistant in turns, the user first.

    A system message becomes the first message of the user, or the beginning of it. Consecutive
    messages of one speaker become one.
    """
    ordered: list[Turn] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        if ordered and ordered[-1].role == role:
            ordered[-1] = Turn(ordered[-1].role, f"{ordered[-1].content}\n\n{message.content}")
        elif not ordered and role == "assistant":
            ordered += [Turn("user", "Begin."), Turn("assistant", message.content)]
        else:
            ordered.append(Turn("user" if role == "user" else "assistant", message.content))
    return ordered
