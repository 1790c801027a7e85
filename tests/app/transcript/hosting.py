"""A transcript alone on a screen, and messages to show in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from baize_tui.app.actions import ACTIONS
from baize_tui.app.themes import BAIZE_DARK, BAIZE_LIGHT, with_dim
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.store.records import Message, MessageState

Running = AbstractAsyncContextManager[tuple[Transcript, Pilot[None]]]
Host = Callable[..., Running]


class HostApp(App[None]):
    CSS_PATH = "../../../baize_tui/app/baize.tcss"

    def get_css_variables(self) -> dict[str, str]:
        return with_dim(super().get_css_variables())

    def compose(self) -> ComposeResult:
        yield Transcript({action.id: action.key for action in ACTIONS})

    def on_mount(self) -> None:
        for theme in (BAIZE_DARK, BAIZE_LIGHT):
            self.register_theme(theme)
        self.theme = BAIZE_DARK.name


@asynccontextmanager
async def host(
    *messages: Message, size: tuple[int, int] = (60, 12), context_start: int | None = None
) -> AsyncIterator[tuple[Transcript, Pilot[None]]]:
    app = HostApp()
    async with app.run_test(size=size) as pilot:
        transcript = app.query_one(Transcript)
        transcript.show(messages, "the head", context_start)
        await pilot.pause()
        yield transcript, pilot


def message(
    id: int,
    text: str = "",
    *,
    role: str = "user",
    state: MessageState = "complete",
    reasoning: str = "",
    pinned: bool = False,
) -> Message:
    made = Message(id, "c", None, "user", state, text, reasoning, None, None, 0, None)
    role_of = "assistant" if role == "assistant" else "user"
    return replace(made, role=role_of, pinned=pinned)


def seen(transcript: Transcript) -> str:
    """The lines in sight."""
    lines = (transcript.render_line(y).text.rstrip() for y in range(transcript.size.height))
    return "\n".join(lines)
