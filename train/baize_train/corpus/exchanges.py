"""Conversations that are written as exchanges, a question and its answer in one object each."""

from __future__ import annotations

from typing import Any

_EXCHANGES = (
    ("input", "output"),  # XTuner, Capybara
    ("human", "assistant"),  # Firefly
    ("user", "assistant"),
    ("question", "answer"),
    ("prompt", "response"),
)
_LOSS_KEY = "output_with_loss"
"""XTuner's name for whether an answer is trained."""


def split_exchanges(messages: list[Any]) -> list[Any]:
    """``messages`` with the turns of each exchange in its place; other items stay as they are."""
    return [turn for message in messages for turn in _split(message)]


def _split(message: Any) -> list[Any]:
    if not isinstance(message, dict):
        return [message]
    pair = next((pair for pair in _EXCHANGES if message.keys() >= set(pair)), None)
    if pair is None:
        return [message]
    asked, answered = pair
    # What else there is belongs to the answer, such as whether it is trained.
    more = {key: value for key, value in message.items() if key not in (*pair, "system")}
    if _LOSS_KEY in more:
        more["loss"] = more.pop(_LOSS_KEY)
    turns = [
        {"role": "user", "content": message[asked]},
        {**more, "role": "assistant", "content": message[answered]},
    ]
    system = message.get("system")
    return [{"role": "system", "content": system}, *turns] if system else turns
