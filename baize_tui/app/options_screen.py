"""The settings, and the options of one conversation; both made from the one schema."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from baize_shared.sanitizer import clean_line
from baize_tui.app.dialogs import Dialog
from baize_tui.app.option_form import Option, OptionForm, OptionRow
from baize_tui.catalog.adapters import known_adapters
from baize_tui.catalog.recipes import CatalogError, known_models
from baize_tui.chat.formats import formats
from baize_tui.chat.turns import Chat
from baize_tui.paths import Paths
from baize_tui.setting_fields import TABLES, SettingField, table_fields
from baize_tui.settings import SettingsError, merge_sampling
from baize_tui.store.conversations import StoreError
from baize_tui.store.records import Conversation

if TYPE_CHECKING:
    from baize_tui.app.client import BaizeApp

ADAPTERS = "adapters · LoRAs over the model, by their scales"
HOW = "tab moves · empty is the default · • differs from it · esc closes"


def _model_names(paths: Paths) -> tuple[str, ...]:
    try:
        return tuple(model.name for model in known_models(paths) if model.installed)
    except CatalogError:
        return ()


class _OptionsScreen(Dialog[None]):
    """A form in a panel; what is written is kept when its row is left."""

    app: BaizeApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next"),
        Binding("up", "app.focus_previous"),
    ]
    DEFAULT_CSS = """
    _OptionsScreen {
        .dialog { height: 94%; }
        .body { height: 1fr; scrollbar-size-vertical: 1; scrollbar-background: $panel; }
        #description { height: 2; margin: 1 0 0 0; color: $foreground 70%; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keeping = asyncio.Lock()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -tall"):
            yield Static(self._title, classes="title", markup=False)
            yield Static(self._how(), classes="about", markup=False)
            with VerticalScroll(classes="body", can_focus=False):
                yield OptionForm(self._parts(), self._keep_in_turn)
            yield Static("", id="description", markup=False)

    @property
    def _title(self) -> str:
        raise NotImplementedError

    def _how(self) -> str:
        return HOW

    def _parts(self) -> list[tuple[str, list[Option]]]:
        raise NotImplementedError

    async def _keep_in_turn(self, field: SettingField, value: Any) -> None:
        """Rows may change at once: the next one begins with what the one before has kept."""
        async with self._keeping:
            await self._keep(field, value)

    async def _keep(self, field: SettingField, value: Any) -> None:
        raise NotImplementedError

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for row in event.widget.ancestors:
            if isinstance(row, OptionRow):
                self.query_one("#description", Static).update(row.option.field.description)

    async def action_close(self) -> None:
        if await self.query_one(OptionForm).take_all():
            self.dismiss(None)


class SettingsScreen(_OptionsScreen):
    """Every key of ``config.toml``."""

    @property
    def _title(self) -> str:
        return "Settings"

    def _how(self) -> str:
        return f"{HOW}\n{clean_line(str(self.app.paths.settings_file))}"

    def _parts(self) -> list[tuple[str, list[Option]]]:
        return [
            (f"{table} · {struct.__doc__}", [self._option(field) for field in table_fields(table)])
            for table, struct in TABLES.items()
        ]

    def _option(self, field: SettingField) -> Option:
        app = self.app
        settings = app.chat.settings
        if field.table == "sampling":
            model = app.chat.model
            recipe = model.recipe.sampling if model is not None else {}
            default = getattr(merge_sampling(recipe), field.key)
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
    """Model, system prompt, moderation, format, overflow, sampling and adapters of one
    conversation."""

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

    @property
    def _title(self) -> str:
        return self._conversation.title

    def _parts(self) -> list[tuple[str, list[Option]]]:
        adapters = [self._adapter(adapter) for adapter in self._known_adapters()]
        return [
            ("This conversation", [self._model(), *map(self._own, self._chat_fields())]),
            *([(ADAPTERS, adapters)] if adapters else []),
            ("sampling", [self._sampling(field) for field in table_fields("sampling")]),
        ]

    def _known_adapters(self) -> list[str]:
        """Names of the adapters that are here for this model, and of those in use."""
        model = self._conversation.model
        try:
            here = [a.name for a in known_adapters(self.app.paths, model) if a.installed]
        except CatalogError:
            here = []
        return list(dict.fromkeys([*self._conversation.adapters, *here]))

    def _adapter(self, name: str) -> Option:
        field = SettingField(
            table="adapters",
            key=name,
            kind=float,
            type=float | None,
            optional=True,
            default=None,
            description="Scale of this adapter: 1 as it was trained, empty is not at all",
        )
        return Option(field, self._conversation.adapters.get(name), None)

    @staticmethod
    def _chat_fields() -> list[SettingField]:
        wanted = ("system", "moderation", "format", "overflow")
        return [field for field in table_fields("chat") if field.key in wanted]

    def _model(self) -> Option:
        field = next(field for field in table_fields("model") if field.key == "default")
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
        if field.table == "adapters":
            adapters = {k: v for k, v in conversation.adapters.items() if k != field.key}
            if value is not None:
                adapters[field.key] = value
            changed = msgspec.structs.replace(conversation, adapters=adapters)
        elif field.table == "sampling":
            sampling = {k: v for k, v in conversation.sampling.items() if k != field.key}
            if value is not None:
                sampling[field.key] = value
            merge_sampling(sampling)
            changed = msgspec.structs.replace(conversation, sampling=sampling)
        else:
            if value is None and field.key in ("system", "moderation"):
                value = getattr(self._chat.settings.chat, field.key)
            elif value is None and field.key == "model" and self._chat.model is not None:
                value = self._chat.model.name
            changed = msgspec.structs.replace(conversation, **{field.key: value})
        try:
            await self._change(changed)
        except StoreError as error:
            raise SettingsError(str(error)) from error
        self._conversation = changed
