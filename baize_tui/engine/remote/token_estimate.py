"""How many tokens a prompt has on a server whose vocabulary nobody knows here."""

from __future__ import annotations

from baize_tui.engine.protocol import Prompt

_TOKENS_PER_BYTE = 0.3
"""Before the server has counted anything: more than most texts have."""
_PER_MESSAGE = 6
"""Tokens of the markup around a turn."""
_ENOUGH_BYTES = 200
_LEAST, _MOST = 0.1, 1.5


class TokenEstimate:
    """Learns from what the server has counted."""

    def __init__(self) -> None:
        self._tokens_per_byte = _TOKENS_PER_BYTE

    def tokens(self, prompt: Prompt) -> int:
        """About as many as ``prompt`` has, rather more."""
        size, markup = _size(prompt)
        return markup + round(size * self._tokens_per_byte)

    def learn(self, prompt: Prompt, tokens: int) -> None:
        """The server has counted ``tokens`` in ``prompt``; it may be lying."""
        size, markup = _size(prompt)
        if tokens > 0 and size >= _ENOUGH_BYTES:
            self._tokens_per_byte = min(max((tokens - markup) / size, _LEAST), _MOST)


def _size(prompt: Prompt) -> tuple[int, int]:
    """Bytes of the texts, and tokens of the markup."""
    messages = [*prompt.messages, *([prompt.partial] if prompt.partial is not None else [])]
    size = sum(len(message.content.encode("utf-8", "replace")) for message in messages)
    return size, _PER_MESSAGE * len(messages)
