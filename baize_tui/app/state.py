"""What the parts of the client share: the chat, the model, the settings, pulls and plans."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field
from textual.message import Message

from baize_tui.app.actions import Action, key_name
from baize_tui.app.services.background_pulls import BackgroundPulls
from baize_tui.catalog.finding import known_models
from baize_tui.catalog.plans import Plan
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.exit_watch import ExitWatch
from baize_tui.paths import Paths
from baize_tui.settings import Settings


class SettingsChanged(Message):
    """Settings of ``table`` were written to the file and apply from now on."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table = table


class ClientState(Struct, eq=False):
    """The objects and facts that screens and services work with.

    ``chat`` is the only way to conversations: screens read and change them through it.
    """

    chat: Chat
    paths: Paths
    pulls: BackgroundPulls
    exit_watch: ExitWatch
    actions: Sequence[Action]
    """The actions with the person's own keys."""
    model: CatalogModel | None = None
    """The model of new conversations: loaded, being loaded, or loaded with the first question."""
    problem: str = ""
    """Why there is no model."""
    load_ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first model was loaded, or could not be."""
    plans: dict[str, Plan] = {}
    """The measured costs of models and adapters, by name."""

    @property
    def settings(self) -> Settings:
        return self.chat.settings

    @property
    def keys(self) -> dict[str, str]:
        """The names of the keys, by action id."""
        return {action.id: key_name(action.key) for action in self.actions}

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names of the models on this machine, and of those on servers that have recipes."""
        try:
            return tuple(model.name for model in known_models(self.paths) if model.can_answer)
        except CatalogError:
            return ()

    def model_label(self, model: CatalogModel) -> str:
        """The name of ``model``; its path if another model is found by that name."""
        try:
            known = self.chat.catalog.find_model(model.name)
        except CatalogError:
            return model.location
        return model.name if known.location == model.location else model.location

    async def write_setting(self, table: str, key: str, value: Any) -> None:
        """Write a setting to the file and apply it; a ``value`` of None is its default.

        Post ``SettingsChanged`` afterwards, so that the screens follow.

        Raises:
            SettingsError: the file is not valid, or cannot be written.
        """
        # Imported when used: it reads TOML with its comments.
        from baize_tui.settings_file import write_setting

        file = self.paths.settings_file
        settings = await asyncio.to_thread(write_setting, file, table, key, value)
        self.chat.change_settings(settings)
