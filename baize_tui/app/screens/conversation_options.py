"""The options of one conversation: its model, prompt, format, sampling and adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from baize_tui.app.screens.option_form import FormPart, Option, OptionValue
from baize_tui.app.screens.options_screen import HINT, OptionsScreen
from baize_tui.app.state import ClientState
from baize_tui.catalog.adapters import known_adapters
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.formats import formats
from baize_tui.setting_fields import SettingField, table_fields
from baize_tui.settings import Scale, SettingsError, merge_sampling
from baize_tui.stop_texts import parse_stop, write_stop
from baize_tui.store.errors import StoreError
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

THIS_CONVERSATION = msg("This conversation")
ADAPTERS = msg("adapters · LoRA adapters and their scales")
SAMPLING = msg("Sampling")
MODEL_DESCRIPTION = msg("The model that answers in this conversation")
SCALE_DESCRIPTION = msg("Scale of this adapter: 1 as trained, empty for off")
STOP_DESCRIPTION = msg("Strings that end an answer, one in each line; \\n is a line end in them")
CHAT_KEYS = ("system", "moderation", "format", "overflow", "think")
"""Settings of the table ``chat`` that a conversation can override."""


class ConversationOptions(OptionsScreen):
    """Changes the options of one conversation."""

    def __init__(
        self,
        state: ClientState,
        conversation: Conversation,
        change: Callable[[Conversation], Awaitable[Conversation]],
    ) -> None:
        """``change`` saves and shows the changed conversation, and returns it as it is saved."""
        self._state = state
        self._conversation = conversation
        self._change = change
        keys = [key for key in CHAT_KEYS if key != "think" or self._can_think()]
        own = [field for field in table_fields("chat") if field.key in keys]
        parts = [
            FormPart(
                tr(THIS_CONVERSATION),
                [self._model_option(), *map(self._chat_option, own), self._stop_option()],
            )
        ]
        if adapters := [self._adapter_option(name) for name in self._adapter_names()]:
            parts.append(FormPart(tr(ADAPTERS), adapters))
        sampling = [self._sampling_option(field) for field in table_fields("sampling")]
        parts.append(FormPart(tr(SAMPLING), sampling))
        super().__init__(conversation.title, tr(HINT), parts, self._save_option)

    # --- the options ----------------------------------------------------------------------------

    def _default_model(self) -> str | None:
        try:
            return self._state.chat.default_model().name
        except CatalogError:
            return None

    def _answering_model(self) -> str | None:
        """The name of the model that answers, or its path if the name is of another one."""
        try:
            model = self._state.chat.active_model.answering_model(self._conversation)
        except CatalogError:
            return self._conversation.model
        if model is None:
            return None
        return self._state.model_label(model)

    def _can_think(self) -> bool:
        """Whether the switch for thinking has an effect, as far as this is known."""
        active, own = self._state.chat.active_model, self._conversation
        if own.think is not None or active.loaded is None or not active.answers(own):
            return True
        return active.loaded.can_switch_thinking

    def _model_option(self) -> Option:
        field = next(field for field in table_fields("model") if field.key == "default")
        field = msgspec.structs.replace(
            field, key="model", optional=False, description=MODEL_DESCRIPTION, label=msg("Model")
        )
        own, default = self._answering_model(), self._default_model()
        return Option(field, None if own == default else own, default, self._state.model_names)

    def _chat_option(self, field: SettingField) -> Option:
        default = getattr(self._state.settings.chat, field.key)
        own = getattr(self._conversation, field.key)
        choices = tuple(formats()) if field.key == "format" else field.choices
        return Option(field, None if own == default else own, default, choices)

    def _stop_option(self) -> Option:
        field = SettingField(
            table="conversation",
            key="stop",
            kind=str,
            type=str,
            optional=True,
            default=None,
            description=STOP_DESCRIPTION,
            label=msg("Stop strings"),
        )
        stop = self._conversation.stop
        return Option(field, "\n".join(map(write_stop, stop)) or None, None)

    def _sampling_option(self, field: SettingField) -> Option:
        plain = msgspec.structs.replace(self._conversation, sampling={})
        default = getattr(self._state.chat.options.sampling(plain), field.key)
        return Option(field, self._conversation.sampling.get(field.key), default)

    def _adapter_names(self) -> list[str]:
        """The adapters in use, and the others that are installed for this model."""
        model = self._conversation.model
        try:
            known = [a.name for a in known_adapters(self._state.paths, model) if a.installed]
        except CatalogError:
            known = []
        return list(dict.fromkeys([*self._conversation.adapters, *known]))

    def _adapter_option(self, name: str) -> Option:
        field = SettingField(
            table="adapters",
            key=name,
            kind=float,
            type=Scale | None,
            optional=True,
            default=None,
            description=SCALE_DESCRIPTION,
        )
        return Option(field, self._conversation.adapters.get(name), None)

    # --- saving ---------------------------------------------------------------------------------

    async def _save_option(self, field: SettingField, value: OptionValue) -> None:
        conversation = self._conversation
        if field.table == "adapters":
            adapters = _with_value(conversation.adapters, field.key, value)
            changed = msgspec.structs.replace(conversation, adapters=adapters)
        elif field.table == "conversation":
            lines = str(value or "").split("\n")
            stop = tuple(dict.fromkeys(parse_stop(line) for line in lines if line))
            changed = msgspec.structs.replace(conversation, stop=stop)
        elif field.table == "sampling":
            sampling = _with_value(conversation.sampling, field.key, value)
            merge_sampling(sampling)  # raises SettingsError
            changed = msgspec.structs.replace(conversation, sampling=sampling)
        else:
            if value is None:
                value = self._required_default(field.key)
            if field.key == "model":
                changed = self._with_model(conversation, value)
            else:
                changed = msgspec.structs.replace(conversation, **{field.key: value})
        try:
            self._conversation = await self._change(changed)
        except StoreError as error:
            raise SettingsError(str(error)) from error

    def _with_model(self, conversation: Conversation, name: OptionValue) -> Conversation:
        chat = self._state.chat
        try:
            model = chat.catalog.find_model(str(name)) if name is not None else None
        except CatalogError as error:
            raise SettingsError(str(error)) from error
        if model is None:
            return conversation
        return chat.active_model.assign_to(conversation, model)

    def _required_default(self, key: str) -> OptionValue:
        """What to save in place of the default, for options that a conversation always has."""
        if key in ("system", "moderation"):
            default: OptionValue = getattr(self._state.settings.chat, key)
            return default
        return self._default_model() if key == "model" else None


def _with_value(values: dict[str, Any], key: str, value: OptionValue) -> dict[str, Any]:
    """``values`` with one changed, or without it if ``value`` is None."""
    rest = {k: v for k, v in values.items() if k != key}
    return rest if value is None else {**rest, key: value}
