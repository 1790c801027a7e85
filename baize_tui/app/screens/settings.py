"""The settings: every key of ``config.toml``."""

from __future__ import annotations

from baize_shared.sanitizer import clean_line
from baize_tui.app.screens.option_form import FormPart, Option, OptionValue
from baize_tui.app.screens.options_screen import HINT, OptionsScreen
from baize_tui.app.state import ClientState, SettingsChanged
from baize_tui.chat.formats import formats
from baize_tui.setting_fields import TABLES, SettingField, table_fields
from baize_tui.settings import merge_sampling
from baize_tui.translation import msg, tr

TITLE = msg("Settings")


class SettingsScreen(OptionsScreen):
    """Changes the settings; posts ``SettingsChanged`` after each change."""

    SHOWS_KEYS = True

    def __init__(self, state: ClientState, themes: tuple[str, ...]) -> None:
        """``themes`` are the names to choose from."""
        self._state = state
        self._choices = {
            "model.default": state.model_names,
            "chat.format": tuple(formats()),
            "look.theme": themes,
        }
        parts = [
            FormPart(
                f"{tr(table.title())} · {tr(struct.__doc__ or '')}",
                [self._option(f) for f in table_fields(table)],
            )
            for table, struct in TABLES.items()
        ]
        hint = f"{tr(HINT)}\n{clean_line(str(state.paths.settings_file))}"
        super().__init__(tr(TITLE), hint, parts, self._write)

    def _option(self, field: SettingField) -> Option:
        settings = self._state.settings
        if field.table == "sampling":
            model = self._state.chat.active_model.model
            recipe = model.recipe.sampling if model is not None else {}
            default = getattr(merge_sampling(recipe), field.key)
            value = settings.sampling.get(field.key)
        else:
            default = field.default
            present = getattr(getattr(settings, field.table), field.key)
            value = None if present == default else present
        return Option(field, value, default, self._choices.get(field.name, field.choices))

    async def _write(self, field: SettingField, value: OptionValue) -> None:
        await self._state.write_setting(field.table, field.key, value)
        self.post_message(SettingsChanged(field.table))
