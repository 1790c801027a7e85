"""What the model reads: every token of a prompt, with its control tokens in colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from baize_shared.sanitizer import clean_text
from baize_tui.app.screens.dialogs import Dialog
from baize_tui.chat.inspecting import ShownPrompt
from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

TITLE = msg("What the model reads")
READ = msg("{tokens} of {most}: {cached} are read already, {new} are new")
DROPPED = msg("{messages} above no longer fit")
SUMMARIZED = msg("{messages} above no longer fit: a summary stands for them")
HINT = msg("coloured: control tokens · dim: read already · esc closes")


class PromptView(Dialog[None]):
    """A prompt in full, as text."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "close", priority=True)]
    DEFAULT_CSS = """
    PromptView {
        .dialog { height: 94%; }
        .body { height: 1fr; margin: 1 0; scrollbar-size-vertical: 1; }
        .body { scrollbar-background: $panel; }
        .piece--control { color: $primary; }
        .piece--cached { color: $dim; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"piece--control", "piece--cached"}

    def __init__(self, prompt: ShownPrompt) -> None:
        super().__init__()
        self._prompt = prompt

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -tall"):
            yield Static(tr(TITLE), classes="title")
            yield Static("\n".join(about(self._prompt)), markup=False)
            with VerticalScroll(classes="body"):
                yield Static("", id="prompt-text", markup=False)
            yield Static(tr(HINT), classes="about", markup=False)

    def on_mount(self) -> None:
        control, cached = (
            Style(color=self.get_component_rich_style(f"piece--{name}").color)
            for name in ("control", "cached")
        )
        text = Text()
        for piece in self._prompt.pieces:
            style = control if piece.is_control else cached if piece.is_cached else ""
            text.append(clean_text(piece.text), style)
        self.query_one("#prompt-text", Static).update(text)


def about(prompt: ShownPrompt) -> Iterator[str]:
    """What is known about ``prompt`` as a whole, a line each."""
    tokens, cached = prompt.tokens, prompt.cached_tokens
    count = count_text(tokens, "token")
    yield tr(READ, tokens=count, most=prompt.n_ctx, cached=cached, new=tokens - cached)
    if prompt.dropped:
        dropped = count_text(prompt.dropped, "message")
        yield tr(SUMMARIZED if prompt.summary else DROPPED, messages=dropped)
