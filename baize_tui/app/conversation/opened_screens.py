"""The screens over the conversation that need no more than its surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from baize_tui.app.actions import ORGANIZING, Action
from baize_tui.app.conversation.available_commands import AvailableCommands
from baize_tui.app.conversation.model_loading import ModelLoading
from baize_tui.app.conversation.surface import Surface
from baize_tui.translation import msg, tr

THEME_QUESTION = msg("Theme")
ORGANIZE_TITLE = msg("Organize conversations")


class OpenedScreens:
    """Opens them; what is chosen in the palette is given to ``run``."""

    def __init__(
        self,
        surface: Surface,
        available: AvailableCommands,
        model_loading: ModelLoading,
        run: Callable[[Action], None],
    ) -> None:
        self._surface = surface
        self._available = available
        self._model_loading = model_loading
        self._run = run

    def show_palette(self) -> None:
        self._offer(self._available.actions())

    def organize(self) -> None:
        offered = [action for action in self._available.actions() if action.id in ORGANIZING]
        self._offer(offered, ORGANIZE_TITLE)

    def _offer(self, actions: Sequence[Action], *title: str) -> None:
        from baize_tui.app.screens.palette import Palette

        def run(action: Action | None) -> None:
            if action is not None:
                self._run(action)

        self._surface.screen.app.push_screen(Palette(actions, *title), run)

    def show_settings(self) -> None:
        from baize_tui.app.screens.settings import SettingsScreen

        app = self._surface.screen.app
        app.push_screen(SettingsScreen(self._surface.state, tuple(sorted(app.available_themes))))

    async def choose_model(self) -> None:
        name = await self._model_loading.choose()
        if name is not None:
            use = partial(self._model_loading.use, name)
            self._surface.run_worker(use, group="load", exclusive=True)

    def choose_theme(self) -> None:
        from baize_tui.app.screens.picker import Choice, Picker

        app = self._surface.screen.app

        def use(theme: str | None) -> None:
            if theme is not None:
                app.theme = theme

        themes = [Choice(name, name) for name in sorted(app.available_themes)]
        app.push_screen(Picker(tr(THEME_QUESTION), themes), use)

    def show_help(self) -> None:
        from baize_tui.app.screens.dialogs import HelpScreen

        self._surface.screen.app.push_screen(HelpScreen(self._surface.state.actions))
