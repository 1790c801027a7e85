"""The settings, and the options of one conversation; both made from the one schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from baize_tui.app.dialogs import Dialog
from baize_tui.app.option_form import Option, OptionForm
from baize_tui.catalog.recipes import CatalogError, known_models
from baize_tui.chat.formats import formats
from baize_tui.chat.turns import Chat
from baize_tui.paths import Paths
from baize_tui.sanitizer import clean_line
from baize_tui.setting_fields import TABLES, SettingField, fields_of
from baize_tui.settings import sampling_of
from baize_tui.store.records import Conversation

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp

HOW = "Tab and Shift+Tab move · empty is the default, shown dim · • differs from it · Esc closes"


def _model_names(paths: Paths) -> tuple[str, ...]:
    try:
        return tuple(model.name for model in known_models(paths) if model.installed)
    except CatalogError:
        return ()


class _OptionsScreen(Dialog[None]):
    """A form in a panel; what is written is kept when its row is left."""

    app: BaizeApp

    async def action_close(self) -> None:
        if await self.query_one(OptionForm).take_all():
            self.dismiss(None)


class SettingsScreen(_OptionsScreen):
    """Every key of ``config.toml``."""

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -tall", can_focus=False):
            yield Static("Settings", classes="title")
            file = clean_line(str(self.app.paths.settings_file))
            yield Static(f"{HOW}\n{file}", classes="about", markup=False)
            yield OptionForm(
                [
                    (f"{table} · {struct.__doc__}", [self._option(f) for f in fields_of(table)])
                    for table, struct in TABLES.items()
                ],
                self._keep,
            )

    def _option(self, field: SettingField) -> Option:
        app = self.app
        settings = app.chat.settings
        if field.table == "sampling":
            model = app.chat.model
            recipe = model.recipe.sampling if model is not None else {}
            default = getattr(sampling_of(recipe), field.key)
            value = settings.sampling.get(field.key)
        else:
            default = field.default
            now = getattr(getattr(settings, field.table), field.key)
            value = None if now == default else now
        choices = {
            "model.default": _model_names(app.paths),
            "chat.format": tuple(formats()),
            "look.theme": tuple(sorted(app.available_themes)),
        }.get(field.name, field.choices)
        return Option(field, value, default, choices)

    async def _keep(self, field: SettingField, value: Any) -> None:
        await self.app.change_setting(field.table, field.key, value)


class ConversationOptions(_OptionsScreen):
    """Model, system prompt, moderation, format, overflow and sampling of one conversation."""

    def __init__(
        self,
        chat: Chat,
        conversation: Conversation,
        change: Callable[[Conversation], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._chat = chat
        self._conversation = conversation
        self._change = change

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -tall", can_focus=False):
            yield Static(self._conversation.title, classes="title", markup=False)
            yield Static(HOW, classes="about", markup=False)
            yield OptionForm(
                [
                    ("This conversation", [self._model(), *map(self._own, self._chat_fields())]),
                    ("sampling", [self._sampling(field) for field in fields_of("sampling")]),
                ],
                self._keep,
            )

    @staticmethod
    def _chat_fields() -> list[SettingField]:
        wanted = ("system", "moderation", "format", "overflow")
        return [field for field in fields_of("chat") if field.key in wanted]

    def _model(self) -> Option:
        field = next(field for field in fields_of("model") if field.key == "default")
        field = msgspec.structs.replace(
            field, key="model", optional=False, description="Who answers in this conversation"
        )
        names = _model_names(self.app.paths)
        running = self._chat.model.name if self._chat.model is not None else None
        own = self._conversation.model
        return Option(field, None if own == running else own, running, names)

    def _own(self, field: SettingField) -> Option:
        default = getattr(self._chat.settings.chat, field.key)
        own = getattr(self._conversation, field.key)
        choices = tuple(formats()) if field.key == "format" else field.choices
        return Option(field, None if own == default else own, default, choices)

    def _sampling(self, field: SettingField) -> Option:
        default = getattr(self._chat.sampling_for(None), field.key)
        return Option(field, self._conversation.sampling.get(field.key), default)

    async def _keep(self, field: SettingField, value: Any) -> None:
        conversation = self._conversation
        if field.table == "sampling":
            sampling = {k: v for k, v in conversation.sampling.items() if k != field.key}
            if value is not None:
                sampling[field.key] = value
            sampling_of(sampling)
            changed = msgspec.structs.replace(conversation, sampling=sampling)
        else:
            if value is None and field.key in ("system", "moderation"):
                value = getattr(self._chat.settings.chat, field.key)
            elif value is None and field.key == "model" and self._chat.model is not None:
                value = self._chat.model.name
            changed = msgspec.structs.replace(conversation, **{field.key: value})
        await self._change(changed)
        self._conversation = changed
