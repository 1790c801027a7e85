"""The conversation as it reads: one widget with lines, drawn when they come in sight.

A conversation may have thousands of turns. Each knows its height, estimated until it is drawn;
what is above the screen may turn out higher or lower without moving what is read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset, Region, Size
from textual.message import Message as TextualMessage
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from baize_tui.app.transcript.look import Line, Look, text_of
from baize_tui.app.transcript.turn import Entry, Note, Turn
from baize_tui.store.records import Message

TEXT_COLUMN = 100
"""Most cells of a line: longer ones are hard to read."""
KEPT_DRAWN = 60
"""Turns whose lines are kept once they are out of sight."""
KEPT_STRIPS = 500
"""Lines whose rendering is kept."""
CUT = "── the model no longer sees what is above ──"
CUT_BUT_PINNED = "── of these the model sees pinned turns only ──"


class Transcript(ScrollView):
    """The turns of the open conversation; keeps to the end unless the person scrolled away."""

    can_focus = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "transcript--dim",
        "transcript--accent",
        "transcript--warning",
        "transcript--problem",
        "transcript--code",
        "transcript--chosen",
    }

    class Chosen(TextualMessage):
        """The person clicked on a turn."""

        def __init__(self, turn: Turn) -> None:
            super().__init__()
            self.turn = turn

    class Moved(TextualMessage):
        """What is in sight has changed: scrolled, or more has come."""

    def __init__(self, keys: Mapping[str, str], *, id: str | None = "transcript") -> None:
        """``keys`` are the names of the keys of actions."""
        super().__init__(id=id)
        self._keys = dict(keys)
        self._entries: list[Entry] = []
        self._starts: list[int] = []
        self._drawn: OrderedDict[int, Entry] = OrderedDict()
        self._look: Look | None = None
        self._width = 0
        self._following = True
        self._settling = False
        self._shown: list[tuple[int, Line | None]] = []
        """What stands on the screen, from above: the number of each line, and the line."""
        self._strips: dict[int, tuple[Line | None, Strip]] = {}
        """Lines as they were rendered last, by number."""
        self.unfold_reasoning = False
        """Whether reasoning is shown open."""

    # --- what stands in it ----------------------------------------------------------------------

    def show(self, messages: Sequence[Message], head: str, left_before: int | None) -> None:
        """Show a branch. ``head`` stands above it; ``left_before`` is the first message that the
        model still sees, when older ones have left its context."""
        self._entries = [Note(text=head, kind="head")] if head else []
        self._entries += [self._turn(message) for message in messages]
        self._cut_before(left_before)
        self._measure()
        self.follow()

    def show_earlier(self, messages: Sequence[Message], left_before: int | None) -> None:
        """Put messages that stand before the first one above it; what is in sight stays."""
        at = next((i for i, entry in enumerate(self._entries) if isinstance(entry, Turn)), 0)
        added = [self._turn(message) for message in messages]
        self._entries[at:at] = added
        self._cut_before(left_before)
        self._measure()
        if not self._following:
            self._move_unseen(self.scroll_y + sum(turn.height for turn in added))
        self._settle()

    def welcome(self, text: str) -> None:
        """An empty conversation says what to do."""
        self._entries = [Note(text=text, kind="welcome")]
        self._measure()
        self.follow()

    def set_head(self, head: str) -> None:
        """Change what stands above the first turn; nothing does where it is empty."""
        rest = [e for e in self._entries if not (isinstance(e, Note) and e.kind == "head")]
        self._entries = [Note(text=head, kind="head"), *rest] if head else rest
        self._measure()
        self._settle()

    def add(self, message: Message) -> Turn:
        """Add a turn at the end, in sight."""
        self._entries = [
            entry
            for entry in self._entries
            if not (isinstance(entry, Note) and entry.kind in ("welcome", "problem"))
        ]
        turn = self._turn(message)
        self._entries.append(turn)
        self._measure()
        self.follow()
        return turn

    def tell(self, text: str) -> None:
        """A line about what went wrong, at the end, whole; it goes with the next turn."""
        self._entries.append(Note(text=text, kind="problem"))
        self._measure()
        self.follow()

    def draw_context_line(self, first: Message) -> None:
        """Draw where the context now begins."""
        self._cut_before(first.id)
        self._measure()
        self._settle()

    def remove_from(self, message_id: int) -> None:
        """Take a turn and all below it off the screen."""
        at = next(
            (
                place
                for place, entry in enumerate(self._entries)
                if isinstance(entry, Turn) and entry.message.id >= message_id
            ),
            len(self._entries),
        )
        del self._entries[at:]
        self._measure()
        self._settle()

    def show_branches(self, places: Mapping[int, tuple[int, int]]) -> None:
        """Say at each turn with siblings which of them it is."""
        for turn in self.turns:
            place = places.get(turn.message.id)
            if turn.branch != place:
                turn.branch = place
                self._forget(turn)
        self._settle()

    def _turn(self, message: Message) -> Turn:
        return Turn(
            message=message,
            growing=message.state == "streaming",
            unfold_reasoning=self.unfold_reasoning,
            keys=self._keys,
        )

    def _cut_before(self, message_id: int | None) -> None:
        entries = [e for e in self._entries if not (isinstance(e, Note) and e.kind == "cut")]
        at = next(
            (
                place
                for place, entry in enumerate(entries)
                if isinstance(entry, Turn) and entry.message.id == message_id
            ),
            None,
        )
        if at is not None:
            pinned = any(isinstance(entry, Turn) and entry.message.pinned for entry in entries[:at])
            entries.insert(at, Note(text=CUT_BUT_PINNED if pinned else CUT, kind="cut"))
        self._entries = entries

    @property
    def turns(self) -> list[Turn]:
        return [entry for entry in self._entries if isinstance(entry, Turn)]

    @property
    def notes(self) -> list[str]:
        """The texts of the client itself, from above."""
        return [entry.text for entry in self._entries if isinstance(entry, Note)]

    def turn_of(self, message_id: int) -> Turn | None:
        return next((turn for turn in self.turns if turn.message.id == message_id), None)

    # --- changing a turn ------------------------------------------------------------------------

    def update_turn(self, turn: Turn, message: Message) -> None:
        """Show ``message`` in place of what the turn showed."""
        turn.message = message
        self._changed(turn)

    def redraw(self, turn: Turn) -> None:
        """A field of ``turn`` has changed."""
        self._changed(turn)

    def _changed(self, entry: Entry) -> None:
        self._forget(entry)
        self._settle()
        self.post_message(self.Moved())

    def _forget(self, entry: Entry) -> None:
        entry.lines = None
        self._drawn.pop(id(entry), None)

    # --- the chosen turn ------------------------------------------------------------------------

    @property
    def chosen(self) -> Turn | None:
        """The turn the person chose to work on."""
        return next((turn for turn in self.turns if turn.chosen), None)

    def choose(self, wanted: Turn | None) -> None:
        for turn in self.turns:
            if turn.chosen != (turn is wanted):
                turn.chosen = turn is wanted
                self._forget(turn)
        if wanted is not None:
            self.bring_in_sight(wanted)
        self.refresh()

    def choose_beside(self, step: int) -> None:
        """Choose the turn above (-1) or below (1); below the last, none."""
        turns, chosen = self.turns, self.chosen
        place = turns.index(chosen) + step if chosen is not None else len(turns) - 1
        if 0 <= place < len(turns):
            self.choose(turns[place])
        elif place >= len(turns):
            self.choose(None)
            self.follow()

    def bring_in_sight(self, turn: Turn) -> None:
        """Scroll as little as shows the turn, from its first line."""
        self._draw_entry(turn)
        top = self._starts[self._entries.index(turn)]
        bottom, height = top + turn.height, self._height
        if top < self.scroll_y or turn.height > height:
            self._go(top)
        elif bottom > self.scroll_y + height:
            self._go(bottom - height)

    # --- drawing --------------------------------------------------------------------------------

    @property
    def _text_width(self) -> int:
        return max(min(self.size.width - 1, TEXT_COLUMN + 2), 8)

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
                for name in ("code", "chosen")
            }
            self._look = Look(
                text=self.rich_style, **foreground, **background, dark=self.app.current_theme.dark
            )
        return self._look

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._look = None
        for entry in self._entries:
            entry.lines = None
        self._drawn.clear()
        self._strips.clear()
        self._shown = []

    def _measure(self) -> None:
        """Entries have come or gone: give the new ones a height, and have ``_starts`` right."""
        width = self._text_width
        for entry in self._entries:
            if not entry.height:
                entry.height = entry.estimate(width)
        self._sum_up()

    def _sum_up(self) -> None:
        self._starts = [0, *accumulate(entry.height for entry in self._entries)]

    def _draw_entry(self, entry: Entry) -> int:
        """Draw what is not drawn; by how many lines it is higher than it was."""
        if entry.lines is not None:
            if id(entry) in self._drawn:
                self._drawn.move_to_end(id(entry))
            return 0
        before = entry.height
        # One blank line below each.
        entry.lines = entry.draw(self._text_width, self.look)
        entry.height = len(entry.lines) + 1
        self._drawn[id(entry)] = entry
        if len(self._drawn) > KEPT_DRAWN:
            self._drawn.popitem(last=False)[1].lines = None
        return entry.height - before

    def _settle(self) -> None:
        """Draw what is in sight, with all heights and the place on the screen right."""
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

    def _refresh_changed(self) -> None:
        """Paint the lines that are others than before: while an answer grows, most are not."""
        top = round(self.scroll_y)
        shown = [(top + y, self._line(top + y)) for y in range(self.size.height)]
        before, self._shown = self._shown, shown
        if len(shown) != len(before):
            self.refresh()
            return
        for y, (now, then) in enumerate(zip(shown, before, strict=True)):
            if now != then:
                self.refresh(Region(0, y, self.size.width, 1))

    def _settle_at_end(self) -> None:
        height, grown = 0, False
        for entry in reversed(self._entries):
            if height >= self._height:
                break
            grown |= self._draw_entry(entry) != 0
            height += entry.height
        if grown:
            self._sum_up()
        self._put_virtual_height()
        self._put_scroll(self.max_scroll_y)

    def _settle_here(self) -> None:
        top = round(self.scroll_y)
        at = self._entry_at(top)
        while at < len(self._entries):
            entry = self._entries[at]
            start = self._starts[at]
            if start >= top + self._height:
                break
            if grown := self._draw_entry(entry):
                if start < top:  # what is read stays where it is
                    top = max(top + grown, start)
                self._sum_up()
            at += 1
        self._put_virtual_height()
        self._put_scroll(top)

    def _put_virtual_height(self) -> None:
        wanted = Size(self.size.width, self._starts[-1] if self._starts else 0)
        before = self.virtual_size
        if wanted.width != before.width:
            self.virtual_size = wanted
        elif wanted != before:
            # The scrollbar is always there: to lay out the screen again would change nothing.
            self.set_reactive(ScrollView.virtual_size, wanted)
            self.vertical_scrollbar.window_virtual_size = wanted.height

    def _put_scroll(self, y: float) -> None:
        y = max(0, min(round(y), self.max_scroll_y))
        self.scroll_y = y
        self.scroll_target_y = y

    def _entry_at(self, y: int) -> int:
        return max(bisect_right(self._starts, y) - 1, 0)

    def _line(self, number: int) -> Line | None:
        """A line counted from the start of the conversation; None where nothing stands."""
        at = self._entry_at(number)
        if at >= len(self._entries):
            return None
        entry = self._entries[at]
        if entry.lines is None:
            self._draw_entry(entry)
        within = number - self._starts[at]
        drawn = entry.lines or []
        return drawn[within] if within < len(drawn) else None

    def render_line(self, y: int) -> Strip:
        number = round(self.scroll_y) + y
        line = self._line(number)
        selection = self.text_selection
        span = selection.get_span(number) if selection is not None else None
        width, base = self.size.width, self.look.text
        if span is None and (known := self._strips.get(number)) is not None:
            drawn, strip = known
            if drawn == line and strip.cell_length == width:
                return strip
        if line is None:
            strip = Strip.blank(width, base)
        else:
            strip = Strip(line).adjust_cell_length(width, base)
        if span is not None:
            marked = self.screen.get_component_rich_style("screen--selection")
            return _marked(strip, span, marked).apply_offsets(0, number)
        strip = strip.apply_offsets(0, number)
        if len(self._strips) > KEPT_STRIPS:
            self._strips.clear()
        self._strips[number] = line, strip
        return strip

    # --- selecting with the mouse ---------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        # Only what is selected is drawn: the rest may be thousands of turns.
        first = self._entry_at(selection.start.y if selection.start is not None else 0)
        below = self._starts[-1] if selection.end is None else selection.end.y + 1
        above = self._starts[first]
        lines: list[str] = []
        for entry in self._entries[first:]:
            if above + len(lines) >= below:
                break
            drawn = entry.lines or entry.draw(self._text_width, self.look)
            lines += [*(text_of(line).rstrip() for line in drawn), ""]
        shift = Offset(0, above)
        start, end = selection
        shifted = Selection(
            start - shift if start is not None else None, end - shift if end is not None else None
        )
        return shifted.extract("\n".join(lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    # --- scrolling ------------------------------------------------------------------------------

    @property
    def following(self) -> bool:
        """Whether the end stays in sight as more comes."""
        return self._following

    def follow(self) -> None:
        """To the end, and stay there."""
        self._following = True
        self._settle()
        self.post_message(self.Moved())

    def _go(self, y: float) -> None:
        self._following = y >= self.max_scroll_y
        self._put_scroll(y)
        self._settle()

    def page(self, direction: int) -> None:
        """A screen up (-1) or down (1), with a line of the one before."""
        self._go(self.scroll_y + direction * max(self._height - 2, 1))

    def to_start(self) -> None:
        self._go(0)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._settling and round(old_value) != round(new_value):
            self._following = round(new_value) >= self.max_scroll_y
            self._settle()
            self.post_message(self.Moved())

    def on_resize(self, event: events.Resize) -> None:
        if self._text_width != self._width:
            self._width = self._text_width
            self._keep_place()
        self._settle()

    def _keep_place(self) -> None:
        """After a change of width: the entry at the top of the screen stays there."""
        at = self._entry_at(round(self.scroll_y)) if self._starts else 0
        for entry in self._entries:
            entry.lines, entry.height = None, 0
        self._drawn.clear()
        self._measure()
        if not self._following and at < len(self._starts):
            self._move_unseen(self._starts[at])

    def _move_unseen(self, y: float) -> None:
        """Scroll to ``y`` in heights that have changed; what is in sight is drawn next."""
        self._settling = True
        self._put_virtual_height()
        self._put_scroll(y)
        self._settling = False

    def on_click(self, event: events.Click) -> None:
        if event.style.meta.get("@click"):
            return
        at = self._entry_at(round(self.scroll_y) + event.y)
        if at < len(self._entries) and isinstance(turn := self._entries[at], Turn):
            self.post_message(self.Chosen(turn))


def _marked(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    """``strip`` with the characters of ``span`` in ``style``; an end of -1 is the line's end."""
    start, end = span
    marked: list[Segment] = []
    at = 0
    for segment in strip:
        text = segment.text
        first = min(max(start - at, 0), len(text))
        last = len(text) if end == -1 else min(max(end - at, first), len(text))
        own = segment.style or Style()
        marked += [
            Segment(text[:first], own),
            Segment(text[first:last], own + style),
            Segment(text[last:], own),
        ]
        at += len(text)
    return Strip([segment for segment in marked if segment.text], strip.cell_length)
