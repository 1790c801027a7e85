"""The conversation as it reads: a turn a widget, the answer streaming as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message as TextualMessage
from textual.widget import Widget
from textual.widgets import Static

from baize_tui.store.records import Message

if TYPE_CHECKING:
    from textual.widgets import Markdown

MOUNTED_TURNS = 40
"""Turns mounted at once; the cost of each update grows with the widgets on the screen."""
TURNS_AT_ONCE = 6
"""A screen of turns: opening a conversation shows them first, the others come after."""
STATE_NOTES = {
    "stopped": "stopped · ^g goes on",
    "interrupted": "interrupted · ^g goes on",
    "failed": "failed · ^r answers again",
}


class Turn(Vertical):
    """One message: the person's as plain text, the model's as Markdown."""

    class Chosen(TextualMessage):
        """The person clicked on a turn."""

        def __init__(self, turn: Turn) -> None:
            super().__init__()
            self.turn = turn

    def __init__(self, message: Message) -> None:
        super().__init__(classes=f"turn -{message.role}")
        self.message = message
        self._markdown: Markdown | None = None
        self._shown = ""
        self._wanted = ""

    def compose(self) -> ComposeResult:
        if self.message.role == "user":
            yield Static(self.message.text.strip(), classes="said", markup=False)
            yield Static("", classes="branch", markup=False)
            return
        yield Static("", classes="thought", markup=False)
        # Imported when the first answer is shown: it costs a start without one 40 ms.
        from textual.widgets import Markdown

        self._shown = self._wanted = self.message.text.lstrip()
        self._markdown = Markdown(self._shown, open_links=False, classes="said")
        yield self._markdown
        yield Static("", classes="note", markup=False)
        yield Static("", classes="branch", markup=False)

    def on_click(self) -> None:
        self.post_message(self.Chosen(self))

    def show_branch(self, place: tuple[int, int] | None) -> None:
        """A dim line with the turn's place among its siblings, where it has any."""
        line = self.query_one(".branch", Static)
        line.display = place is not None
        if place is not None:
            line.update(f"‹ {place[0]}/{place[1]} ›")

    def on_mount(self) -> None:
        self.query_one(".branch", Static).display = False
        if self.message.role == "assistant":
            self.show_state(self.message)
            self.show_reasoning(self.message.reasoning, thinking=False)

    @property
    def text(self) -> str:
        """The text on the screen, as Markdown source."""
        return self._shown if self.message.role == "assistant" else self.message.text

    def want(self, text: str) -> None:
        """The text that the next ``flush`` shows."""
        self._wanted = text.lstrip()

    async def flush(self) -> None:
        """Bring the screen up to date: append what is new, or show the whole text anew."""
        if self._markdown is None or self._wanted == self._shown:
            return
        before, self._shown = self._shown, self._wanted
        if before and self._shown.startswith(before):
            await self._markdown.append(self._shown[len(before) :])
        else:
            await self._markdown.update(self._shown)

    def show_reasoning(self, reasoning: str, *, thinking: bool) -> None:
        """A dim line that the model thinks, or thought, before the answer."""
        line = self.query_one(".thought", Static)
        words = len(reasoning.split())
        line.display = bool(reasoning) or thinking
        if line.display:
            line.update(f"{'thinking' if thinking else 'thought'} · {words} words")

    def show_state(self, message: Message, note: str = "") -> None:
        """A dim line below an answer that is not whole."""
        self.message = message
        line = self.query_one(".note", Static)
        text = note or STATE_NOTES.get(message.state, "")
        line.display = bool(text)
        line.update(text)


class Transcript(VerticalScroll):
    """The turns of the open conversation; keeps to the end unless the person scrolled away."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(id="transcript")
        # At least as high as the screen: anchored to the end, a short text would stand at the
        # bottom otherwise.
        self._page = Vertical(id="page")

    def compose(self) -> ComposeResult:
        yield self._page

    async def show(self, messages: Sequence[Message], head: str, left_before: int | None) -> None:
        """Show a branch. ``head`` stands above it; ``left_before`` is the first message that the
        model still sees, when older ones have left its context."""
        await self._page.remove_children()
        hidden = max(0, len(messages) - MOUNTED_TURNS)
        widgets: list[Widget] = [Static(head, classes="head", markup=False)]
        if hidden:
            widgets.append(
                Static(f"{hidden} earlier messages · baize-tui sessions show", classes="line")
            )
        late = max(hidden, len(messages) - TURNS_AT_ONCE)
        await self._page.mount_all([*widgets, *self._turns_of(messages[late:], left_before)])
        self.anchor()
        earlier = messages[hidden:late]
        self.run_worker(
            self._mount_earlier(earlier, left_before, after=len(widgets)),
            group="earlier turns",
            exclusive=True,
        )

    def _turns_of(self, messages: Sequence[Message], left_before: int | None) -> list[Widget]:
        widgets: list[Widget] = []
        for message in messages:
            if message.id == left_before:
                widgets.append(self._line_of_context())
            widgets.append(Turn(message))
        return widgets

    async def _mount_earlier(
        self, messages: Sequence[Message], left_before: int | None, *, after: int
    ) -> None:
        """The turns above those that are in sight, a few at a time, the latest first."""
        while messages:
            some, messages = messages[-TURNS_AT_ONCE:], messages[:-TURNS_AT_ONCE]
            children = self._page.children
            place = children[after] if after < len(children) else None
            await self._page.mount_all(self._turns_of(some, left_before), before=place)

    @staticmethod
    def _line_of_context() -> Static:
        return Static("── the model no longer sees what is above ──", classes="line", markup=False)

    async def add(self, message: Message) -> Turn:
        """Add a turn at the end, in sight."""
        await self.query(".welcome, .-problem").remove()
        turn = Turn(message)
        await self._page.mount(turn)
        self.anchor()
        return turn

    async def tell(self, text: str) -> None:
        """A line about what went wrong, at the end, whole; it goes with the next turn."""
        await self._page.mount(Static(text, classes="line -problem", markup=False))
        self.anchor()

    async def draw_context_line(self, first: Message) -> None:
        """Draw where the context now begins."""
        for line in self.query(".line"):
            if "no longer sees" in str(line.render()):
                await line.remove()
        for turn in self.turns:
            if turn.message.id == first.id:
                await self._page.mount(self._line_of_context(), before=turn)

    @property
    def chosen(self) -> Turn | None:
        """The turn the person chose to work on."""
        return next((turn for turn in self.turns if turn.has_class("-chosen")), None)

    def choose(self, wanted: Turn | None) -> None:
        for turn in self.turns:
            turn.set_class(turn is wanted, "-chosen")
        if wanted is not None:
            wanted.scroll_visible(animate=False)

    def choose_beside(self, step: int) -> None:
        """Choose the turn above (-1) or below (1); below the last, none."""
        turns, chosen = self.turns, self.chosen
        place = turns.index(chosen) + step if chosen is not None else len(turns) - 1
        if 0 <= place < len(turns):
            self.choose(turns[place])
        elif place >= len(turns):
            self.choose(None)
            self.anchor()

    def show_branches(self, places: Mapping[int, tuple[int, int]]) -> None:
        for turn in self.turns:
            turn.show_branch(places.get(turn.message.id))

    async def remove_from(self, message_id: int) -> None:
        """Take a turn and all below it off the screen."""
        for turn in self.turns:
            if turn.message.id >= message_id:
                await turn.remove()

    @property
    def turns(self) -> list[Turn]:
        return list(self.query(Turn))

    async def welcome(self, text: str) -> None:
        """An empty conversation says what to do."""
        await self._page.remove_children()
        await self._page.mount(Static(text, classes="welcome", markup=False))
