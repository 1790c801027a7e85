"""Where the words of a conversation go: nowhere, or to a server on another computer."""

from __future__ import annotations

from collections.abc import Sequence

from baize_tui.catalog.recipes import CatalogModel
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

GOES_TO_SERVER = msg("What you write goes to the server at {host}, on this computer.")
LEAVES = msg("What you write leaves this computer: it goes to {host}.")
LEAVES_UNENCRYPTED = msg("What you write leaves this computer: it goes to {host}, unencrypted.")


def where_words_go(model: CatalogModel | None) -> str:
    """Whether what is written to ``model`` leaves this computer, as a sentence."""
    address = model.recipe.address if model is not None else None
    if address is None:
        return tr("Everything stays on this computer.")
    if address.is_this_computer:
        return tr(GOES_TO_SERVER, host=address.host)
    return tr(LEAVES if address.is_encrypted else LEAVES_UNENCRYPTED, host=address.host)


def has_answered(host: str, messages: Sequence[Message]) -> bool:
    """Whether a model at ``host`` has answered one of ``messages``."""
    return any((message.provenance or {}).get("server") == host for message in messages)
