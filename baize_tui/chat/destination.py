"""Where the words of a conversation go: nowhere, or to a server on another computer."""

from __future__ import annotations

from collections.abc import Sequence

from baize_tui.catalog.recipes import CatalogModel
from baize_tui.store.records import Message


def where_words_go(model: CatalogModel | None) -> str:
    """Whether what is written to ``model`` leaves this computer, as a sentence."""
    address = model.recipe.address if model is not None else None
    if address is None:
        return "Everything stays on this computer."
    if address.is_this_computer:
        return f"What you write goes to the server at {address.host}, on this computer."
    open_to_all = "" if address.is_encrypted else ", unencrypted"
    return f"What you write leaves this computer: it goes to {address.host}{open_to_all}."


def has_answered(host: str, messages: Sequence[Message]) -> bool:
    """Whether a model at ``host`` has answered one of ``messages``."""
    return any((message.provenance or {}).get("server") == host for message in messages)
