"""The widget that shows a conversation: lines, drawn when they come into sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace
from rich.style import Style
from textual import events
from textual.geometry import Offset, Region, Size
from textual.message import Message as TextualMessage
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from baize_tui.app.transcript.contents import Contents
from baize_tui.app.transcript.cut import Cut
from baize_tui.app.transcript.layout import Layout
from baize_tui.app.transcript.line_parts import Line
from baize_tui.app.transcript.look import Look
from baize_tui.app.transcript.matches import Matches
from baize_tui.app.transcript.selecting import (
    LINE_END,
    Ends,
    ends_of_text_line,
    ends_of_word,
    highlight,
    selected_text,
    span_in_line,
)
from baize_tui.app.transcript.turn import Turn
from baize_tui.app.transcript.welcome import WelcomeContents
from baize_tui.store.records import BranchPosition, Message, MessageRole
from baize_tui.store.words import Term

TEXT_COLUMN = 100
"""The most cells in a line: longer lines are hard to read."""
NARROW = 40
"""Cells below which the text goes nearly to the right edge."""
KEPT_STRIPS = 500
"""Lines whose rendering is kept."""
_FOUND = ("transcript--found", "transcript--found-here")
"""The styles of a match, and of the match that the person is at."""


class Transcript(ScrollView):
    """The turns of the open conversation; follows the end until the person scrolls away from it.

    Turns above the screen may turn out higher or lower than estimated; the lines in sight do not
    move because of that.
    """

    can_focus = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "transcript--dim",
        "transcript--accent",
        "transcript--warning",
        "transcript--problem",
        "transcript--code",
        "transcript--selected",
        "transcript--found",
        "transcript--found-here",
    }

    class TurnClicked(TextualMessage):
        """The person clicked on a turn."""

        def __init__(self, turn: Turn) -> None:
            super().__init__()
            self.turn = turn

    class SelectionChanged(TextualMessage):
        """Another turn is selected, or none."""

    class Moved(TextualMessage):
        """Other lines are in sight: it scrolled, or text was added."""

    def __init__(self, keys: Mapping[str, str], *, id: str | None = "transcript") -> None:
        """``keys`` has the names of the keys of actions, for notes that mention one."""
        super().__init__(id=id)
        self._contents = Contents(keys)
        self._layout = Layout()
        self._look: Look | None = None
        self._width = 0
        self._following = True
        self.has_unseen = False
        """Whether another client has added text below the lines in sight."""
        self._settling = False
        self._painted: list[tuple[int, Line | None]] = []
        """The lines on the screen from top to bottom, each with its number."""
        self._strips: dict[int, tuple[Line | None, Strip]] = {}
        """Lines as they were last rendered, by address."""
        self._selected_text: Ends | None = None
        """The ends of the text that is selected with the mouse."""
        self._matches = Matches()

    # --- contents -------------------------------------------------------------------------------

    @property
    def turns(self) -> list[Turn]:
        return self._contents.turns

    @property
    def notes(self) -> list[str]:
        """The client's own texts, from top to bottom."""
        return self._contents.notes

    def turn(self, message_id: int) -> Turn | None:
        return self._contents.turn(message_id)

    @property
    def unfold_reasoning(self) -> bool:
        """Whether the reasoning of new turns is shown open."""
        return self._contents.unfold_reasoning

    @unfold_reasoning.setter
    def unfold_reasoning(self, unfold: bool) -> None:
        self._contents.unfold_reasoning = unfold

    def show(self, messages: Sequence[Message], head: str, context_start: int | None) -> None:
        """Show a branch under a ``head``. ``context_start`` is the first message that the model
        still sees, if older ones were dropped from its context."""
        self._forget_selected_text()
        self._contents.show(messages, head, context_start)
        self._lay_out()
        self.follow()

    def show_earlier(self, messages: Sequence[Message], context_start: int | None) -> None:
        """Insert messages above the first turn; the lines in sight do not move."""
        added = self._contents.insert_earlier(messages, context_start)
        self._lay_out()
        if not self._following:
            self._scroll_without_drawing(self.scroll_y + sum(turn.height for turn in added))
        self._settle()

    def can_continue(self, messages: Sequence[Message]) -> bool:
        """Whether ``show_end`` can show ``messages``: they begin at a turn or below one."""
        return self._contents.can_continue(messages)

    def show_end(self, messages: Sequence[Message], context_start: int | None) -> bool:
        """Show ``messages``, the end of a branch, in place of the turns that are not in it; the
        lines in sight do not move. Returns whether there was a difference."""
        changed, are_others = self._contents.show_end(messages, context_start)
        for turn in changed:
            self._layout.forget(turn)
        differs = are_others or bool(changed)
        self.has_unseen = not self._following and (differs or self.has_unseen)
        self._lay_out()
        self._settle()
        self.post_message(self.Moved())
        return differs

    def show_welcome(self, contents: WelcomeContents) -> None:
        """Show a welcome in place of an empty conversation, from its first line."""
        self._forget_selected_text()
        self._contents.show_welcome(contents)
        self._lay_out()
        self.follow()
        self.scroll_to_start()

    def set_head(self, head: str) -> None:
        """Change the note above the first turn; an empty ``head`` removes it."""
        self._contents.set_head(head)
        self._lay_out()
        self._settle()

    def add(self, message: Message) -> Turn:
        """Add a turn at the end and scroll to it."""
        turn = self._contents.add(message)
        self._lay_out()
        self.follow()
        return turn

    def show_problem(self, text: str) -> None:
        """Add a note about a problem at the end; the next turn removes it."""
        self._contents.add_problem(text)
        self._lay_out()
        self.follow()

    def remove_problems(self) -> None:
        """Remove the notes about problems."""
        if self._contents.remove_problems():
            self._lay_out()
            self._settle()

    def mark_context_start(self, first: Message) -> None:
        """Draw a line above ``first``: the model no longer sees what precedes it, or sees the
        summary in ``first`` instead."""
        if (turn := self.turn(first.id)) is not None:
            turn.message = replace(turn.message, summary=first.summary)
        self._contents.mark_context_start(first.id)
        self._lay_out()
        self._settle()

    @property
    def cut(self) -> Cut | None:
        """The line above the first message that the model still sees, if it is shown."""
        return self._contents.cut

    def unfold_summary(self) -> None:
        """Unfold or fold the summary of the turns that the model no longer sees."""
        if (cut := self.cut) is not None:
            cut.unfolded = not cut.unfolded
            self._layout.forget(cut)
            self._settle()
            self.post_message(self.Moved())

    def remove_from(self, message_id: int) -> None:
        """Remove the turn of ``message_id`` and everything below it."""
        self._contents.remove_from(message_id)
        self._lay_out()
        self._settle()

    def show_branches(self, positions: Mapping[int, BranchPosition]) -> None:
        """Show the position of each message among its siblings, by the message's id."""
        for turn in self.turns:
            position = positions.get(turn.message.id)
            if turn.branch != position:
                turn.branch = position
                self._layout.forget(turn)
        self._settle()

    def update_turn(self, turn: Turn, message: Message) -> None:
        """Show ``message`` in place of the turn's present one."""
        turn.message = message
        self.redraw(turn)

    def redraw(self, turn: Turn) -> None:
        """Draw ``turn`` again: one of its fields has changed."""
        self._layout.forget(turn)
        self._settle()
        self.post_message(self.Moved())

    # --- the selected turn ----------------------------------------------------------------------

    @property
    def selected(self) -> Turn | None:
        """The turn the person selected to work on."""
        return next((turn for turn in self.turns if turn.selected), None)

    def turn_to_work_on(self, role: MessageRole | None = None) -> Turn | None:
        """The selected turn; else the last one, of ``role`` if that is given."""
        if self.selected is not None:
            return self.selected
        turns = reversed(self.turns)
        return next((turn for turn in turns if role in (None, turn.message.role)), None)

    def select(self, selected: Turn | None, *, scroll: bool = True) -> None:
        """Select one turn, or none, also if the turn is no longer shown; ``scroll`` brings it into
        sight."""
        if selected not in self.turns:  # a click is handled after a key that removed its turn
            selected = None
        for turn in self.turns:
            if turn.selected != (turn is selected):
                turn.selected = turn is selected
                self._layout.forget(turn)
        if selected is not None and scroll:
            self.bring_into_sight(selected)
        else:
            self._settle()
        self.refresh()
        self.post_message(self.SelectionChanged())

    def select_neighbour(self, step: int) -> None:
        """Select the turn above (-1) or below (1) the selected one; below the last, none."""
        turns, selected = self.turns, self.selected
        place = turns.index(selected) + step if selected is not None else len(turns) - 1
        if 0 <= place < len(turns):
            self.select(turns[place])
        elif place >= len(turns):
            self.select(None)
            self.follow()

    @property
    def first_in_sight(self) -> Turn | None:
        """The turn at the top of the lines in sight, or the first below it."""
        entries = self._layout.entries[self._layout.index_at(round(self.scroll_y)) :]
        return next((entry for entry in entries if isinstance(entry, Turn)), None)

    def bring_into_sight(self, turn: Turn) -> None:
        """Scroll as little as possible to show the turn, from its first line."""
        self._layout.draw(turn, self._text_width, self.look)
        top = self._layout.start(self._contents.entries.index(turn))
        bottom, height = top + turn.height, self._height
        if top < self.scroll_y or turn.height > height:
            self._scroll_to_line(top)
        elif bottom > self.scroll_y + height:
            self._scroll_to_line(bottom - height)

    # --- words that are searched ----------------------------------------------------------------

    def show_terms(self, terms: Sequence[Term]) -> None:
        """Highlight ``terms`` wherever they are; none removes the highlights."""
        self._matches = Matches(terms)
        self._strips.clear()
        self.refresh()

    def show_match(self, turn: Turn, place: int) -> None:
        """Bring a match of ``turn`` into sight, counted from 0; the last if it has fewer."""
        self._layout.draw(turn, self._text_width, self.look)
        self._layout.update_starts()
        line = self._matches.go_to(turn, place)
        top = self._layout.start(self._contents.entries.index(turn)) + line
        if not self.scroll_y <= top < self.scroll_y + self._height:
            self._scroll_to_line(max(top - self._height // 3, 0))
        self._strips.clear()
        self.refresh()

    def _line_with_matches(self, line: Line, address: int) -> Line:
        """``line`` with what is searched highlighted."""
        at, place = self._layout.place(address)
        match, match_here = (self.get_component_rich_style(name) for name in _FOUND)
        return self._matches.highlight(line, self._layout.entries[at], place, match, match_here)

    # --- drawing --------------------------------------------------------------------------------

    @property
    def _text_width(self) -> int:
        gutter = 2 if self.size.width >= NARROW else 1
        return max(min(self.size.width - gutter, TEXT_COLUMN + 2), 8)

    @property
    def _height(self) -> int:
        return max(self.size.height, 1)

    @property
    def look(self) -> Look:
        """The styles of the theme in use."""
        if self._look is None:
            part: Callable[[str], Style] = self.get_component_rich_style
            foreground = {
                name: Style(color=part(f"transcript--{name}").color)
                for name in ("dim", "accent", "warning", "problem")
            }
            background = {
                name: Style(bgcolor=part(f"transcript--{name}").bgcolor)
                for name in ("code", "selected")
            }
            self._look = Look(
                text=self.rich_style,
                **foreground,
                **background,
                dark=self.app.current_theme.dark,
                few_colours=self.app.has_class("-few-colours"),
            )
        return self._look

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._look = None
        self._layout.forget_all()
        self._strips.clear()
        self._painted = []

    def _lay_out(self) -> None:
        """Lay out the contents after entries were added or removed."""
        self._layout.lay_out(self._contents.entries, self._text_width)

    def _settle(self) -> None:
        """Draw the entries in sight, and correct the scroll position for their true heights."""
        if self._settling or not self.size.height:
            return
        self._settling = True
        try:
            if self._following:
                self._settle_at_end()
            else:
                self._settle_here()
        finally:
            self._settling = False
        self._refresh_changed()

    def _settle_at_end(self) -> None:
        height, grown = 0, False
        for entry in reversed(self._layout.entries):
            if height >= self._height:
                break
            grown |= self._layout.draw(entry, self._text_width, self.look) != 0
            height += entry.height
        if grown:
            self._layout.update_starts()
        self._set_virtual_height()
        self._set_scroll(self.max_scroll_y)

    def _settle_here(self) -> None:
        layout = self._layout
        top = round(self.scroll_y)
        at = layout.index_at(top)
        while at < len(layout.entries):
            start = layout.start(at)
            if start >= top + self._height:
                break
            if grown := layout.draw(layout.entries[at], self._text_width, self.look):
                if start < top:  # the text being read stays where it is
                    top = max(top + grown, start)
                layout.update_starts()
            at += 1
        self._set_virtual_height()
        self._set_scroll(top)

    def _refresh_changed(self) -> None:
        """Repaint only the lines that differ: while an answer grows, most do not."""
        top = round(self.scroll_y)
        lines = [(top + y, self._line(top + y)) for y in range(self.size.height)]
        before, self._painted = self._painted, lines
        if len(lines) != len(before):
            self.refresh()
            return
        for y, (now, then) in enumerate(zip(lines, before, strict=True)):
            if now != then:
                self.refresh(Region(0, y, self.size.width, 1))

    def _set_virtual_height(self) -> None:
        size = Size(self.size.width, self._layout.height)
        before = self.virtual_size
        if size.width != before.width:
            self.virtual_size = size
        elif size != before:
            # The scrollbar is always there: to lay out the screen again would change nothing.
            self.set_reactive(ScrollView.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = size.height

    def _set_scroll(self, y: float) -> None:
        y = max(0, min(round(y), self.max_scroll_y))
        self.scroll_y = y
        self.scroll_target_y = y

    def _line(self, number: int) -> Line | None:
        return self._layout.line(number, self._text_width, self.look)

    def render_line(self, y: int) -> Strip:
        number = round(self.scroll_y) + y
        line, address = self._line(number), self._layout.address(number)
        if line is not None and self._matches.terms:
            line = self._line_with_matches(line, address)
        width, base = self.size.width, self.look.text
        span = span_in_line(self._selected_text, address)
        if line is not None and span is not None:
            style = self.screen.get_component_rich_style("screen--selection")
            strip = highlight(line, *span, style).adjust_cell_length(width, base)
            return strip.apply_offsets(0, address)
        if (cached := self._strips.get(address)) is not None:
            drawn, strip = cached
            if drawn == line and strip.cell_length == width:
                return strip
        strip = Strip(line or []).adjust_cell_length(width, base).apply_offsets(0, address)
        if len(self._strips) > KEPT_STRIPS:
            self._strips.clear()
        self._strips[address] = line, strip
        return strip

    # --- selecting text with the mouse ----------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        ends = self._selected_text
        if ends is None:
            return None
        return selected_text(ends, self._layout, self._text_width, self.look), "\n\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self._selected_text = self._ends_of(selection) if selection is not None else None
        self.refresh()

    def _ends_of(self, selection: Selection) -> Ends:
        """The ends of a selection; where it goes on outside of this widget, it ends with the lines
        in sight."""
        top = round(self.scroll_y)
        start, end = selection
        return (
            start if start is not None else Offset(0, self._layout.address(top)),
            end
            if end is not None
            else Offset(LINE_END, self._layout.address(top + self._height - 1)),
        )

    def _forget_selected_text(self) -> None:
        """The lines of the selection are about to become others."""
        if self._selected_text is not None:
            self.screen.clear_selection()

    def _select_clicked(self, event: events.Click) -> None:
        """Select the word that was clicked twice, or the line that was clicked more often."""
        _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
        if offset is None:
            return
        select = ends_of_word if event.chain == 2 else ends_of_text_line
        if (ends := select(offset, self._line_at)) is not None:
            self.screen.selections = {self: Selection(*ends)}

    def _line_at(self, address: int) -> Line | None:
        at = address, address, self._text_width, self.look
        return next((line for _, line in self._layout.lines_between(*at)), None)

    # --- scrolling ------------------------------------------------------------------------------

    @property
    def following(self) -> bool:
        """Whether it scrolls along as text is added at the end."""
        return self._following

    def follow(self) -> None:
        """Scroll to the end and follow it."""
        self._following, self.has_unseen = True, False
        self._settle()
        self.post_message(self.Moved())

    def page(self, direction: int) -> None:
        """Scroll a page up (-1) or down (1); two lines of the present page stay in sight."""
        self._scroll_to_line(self.scroll_y + direction * max(self._height - 2, 1))

    def scroll_lines(self, lines: int) -> None:
        """Scroll down by ``lines``, or up if that is negative."""
        self._scroll_to_line(self.scroll_y + lines)

    def scroll_to_start(self) -> None:
        self._scroll_to_line(0)

    def _scroll_to_line(self, y: float) -> None:
        self._following = y >= self.max_scroll_y
        self._set_scroll(y)
        self._settle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._settling and round(old_value) != round(new_value):
            self._following = round(new_value) >= self.max_scroll_y
            self.has_unseen = self.has_unseen and not self._following
            self._settle()
            self.post_message(self.Moved())

    def on_resize(self, event: events.Resize) -> None:
        if self._text_width != self._width:
            self._width = self._text_width
            self._forget_selected_text()
            self._keep_position()
        self._settle()

    def _keep_position(self) -> None:
        """After a change of width, keep the entry at the top of the screen there."""
        at = self._layout.index_at(round(self.scroll_y))
        self._layout.forget_all(heights=True)
        self._lay_out()
        if not self._following:
            self._scroll_without_drawing(self._layout.start(at))

    def _scroll_without_drawing(self, y: float) -> None:
        """Scroll to ``y`` after heights have changed; a call of ``_settle`` must follow."""
        self._settling = True
        self._set_virtual_height()
        self._set_scroll(y)
        self._settling = False

    async def on_click(self, event: events.Click) -> None:
        if event.chain > 1:  # Textual would select all text
            event.stop()
            event.prevent_default()
        if event.style.meta.get("@click"):
            if event.chain > 1:
                await self.broker_event("click", event)
            return
        entry = self._layout.entry_at(round(self.scroll_y) + event.y)
        if self._selected_text is None and isinstance(entry, Turn) and event.chain <= 2:
            # The second click of a double click takes back what the first one did.
            self.post_message(self.TurnClicked(entry))
        if event.chain > 1:
            self._select_clicked(event)
