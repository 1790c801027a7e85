"""The tokens of an answer: how likely each was, and what else was likely in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events, getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from baize_shared.sanitizer import clean_text
from baize_tui.app.screens.dialogs import Dialog
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.engine.protocol import JudgedToken, TokenChoice
from baize_tui.translation import msg, tr

TITLE = msg("How likely each token was")
LEGEND = msg("below 50 % yellow, below 10 % red")
HINT = msg("← → token · ↑ ↓ choice · enter takes another one, as a new branch · esc closes")
LIKELY, UNLIKELY = 0.5, 0.1
"""Probabilities below which a token stands out, a little and much."""


class OtherToken(NamedTuple):
    """The token that the person takes, and its place in the answer, counted from 0."""

    place: int
    token: TokenChoice


class TokenView(Dialog[OtherToken | None]):
    """An answer with its tokens in colours; the result is another token to go on with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", priority=True),
        Binding("right", "move(1)", priority=True),
        Binding("home", "move_to(0)", priority=True),
        Binding("end", "move_to(-1)", priority=True),
        Binding("q", "close", priority=True),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"token--unlikely", "token--unsure", "token--here"}
    DEFAULT_CSS = """
    TokenView {
        .dialog { height: 94%; }
        .body { height: 1fr; margin: 1 0 0 0; scrollbar-size-vertical: 1; }
        .body { scrollbar-background: $panel; }
        ChoiceList { max-height: 7; }
        .token--unlikely { color: $error; }
        .token--unsure { color: $warning; }
        .token--here { background: $primary; color: $background; }
    }
    """
    _body = getters.query_one(VerticalScroll)
    _text = getters.query_one("#tokens", Static)
    _choices = getters.query_one(ChoiceList)

    def __init__(self, tokens: Sequence[JudgedToken], *, can_take: bool) -> None:
        """``can_take`` says whether an answer can begin now."""
        super().__init__()
        self._tokens = tokens
        self._can_take = can_take
        self._place = 0

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -tall"):
            yield Static(tr(TITLE), classes="title")
            yield Static(tr(LEGEND), classes="about", markup=False)
            with VerticalScroll(classes="body", can_focus=False):
                yield Static("", id="tokens", markup=False)
            yield ChoiceList(compact=True, markup=False)
            yield Static(tr(HINT), classes="about", markup=False)

    def on_mount(self) -> None:
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._scroll_to_place)

    # --- moving ---------------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        self._move_to(self._place + step)

    def action_move_to(self, place: int) -> None:
        self._move_to(place % len(self._tokens))

    def _move_to(self, place: int) -> None:
        place = max(0, min(place, len(self._tokens) - 1))
        if place != self._place:
            self._place = place
            self._show()

    def _show(self) -> None:
        unlikely, unsure, here = (
            self.get_component_rich_style(f"token--{name}", partial=True)
            for name in ("unlikely", "unsure", "here")
        )
        text = Text()
        for place, token in enumerate(self._tokens):
            probability = token.chosen.probability
            style = unlikely if probability < UNLIKELY else unsure if probability < LIKELY else ""
            text.append(clean_text(token.chosen.text), here if place == self._place else style)
        self._text.update(text)
        offered, chosen = self._offered, self._token.chosen
        self._choices.clear_options()
        self._choices.add_options(
            Option(_row(choice, is_chosen=choice.id == chosen.id)) for choice in offered
        )
        self._choices.highlighted = [choice.id for choice in offered].index(chosen.id)
        self.call_after_refresh(self._scroll_to_place)

    @property
    def _token(self) -> JudgedToken:
        return self._tokens[self._place]

    @property
    def _offered(self) -> list[TokenChoice]:
        """The likeliest tokens, and the chosen one if it is not among them."""
        token = self._token
        is_among = any(choice.id == token.chosen.id for choice in token.likeliest)
        return [*token.likeliest, *([] if is_among else [token.chosen])]

    def _scroll_to_place(self) -> None:
        """Bring the token into sight."""
        width = self._text.content_size.width
        if not width:
            return
        until = Text("".join(clean_text(t.chosen.text) for t in self._tokens[: self._place + 1]))
        line = len(until.wrap(self.app.console, width)) - 1
        height = self._body.size.height
        if not self._body.scroll_y <= line < self._body.scroll_y + height:
            self._body.scroll_to(y=max(line - height // 2, 0), animate=False)

    # --- taking another one ---------------------------------------------------------------------

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        other = self._offered[event.option_index]
        if not self._can_take or other.id == self._token.chosen.id:
            return
        self.dismiss(OtherToken(self._place, other))


def _row(choice: TokenChoice, *, is_chosen: bool) -> str:
    # A blank at the start of a row would be cut off.
    mark = "●" if is_chosen else "○"
    return f"{mark} {choice.probability:>6.1%}  {visible(choice.text)}"


def visible(text: str) -> str:
    """A token in one line: blanks and line breaks can be seen."""
    return clean_text(text).replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣") or tr(
        "(nothing)"
    )
