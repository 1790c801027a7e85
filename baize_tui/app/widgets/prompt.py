"""The text area in which the person writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditHistory, EditResult, Location, Selection

from baize_tui.app.actions import Action
from baize_tui.app.widgets.pastes import Pastes, Run, clean_entry, is_large, runs_in
from baize_tui.app.widgets.text_fields import editing_actions
from baize_tui.store.records import DraftParts, Paste, parts_text
from baize_tui.translation import msg, tr

_EDITING = editing_actions(TextArea)
"""``TextArea``'s own keys for moving and deleting, with their actions."""

_RECALL_STEPS = {"earlier": 1, "later": -1}
"""The actions that the prompt has keys for, and the steps of ``HistoryStep``."""

PLACEHOLDER = msg("Ask something…  (Enter sends, ^J new line)")
SHORT_PLACEHOLDER = msg("Ask something…")
_MENTION = re.compile(r"(?:(?<=\s)|^)@([^\s@\"\ufdd0-\ufdef]*)$")
BETWEEN = "\n\n"
"""Separates what is put in front of a text from that text."""


class Composition(Struct, eq=False):
    """The contents of the prompt, put away: the document with its cursor and what can be undone."""

    document: str
    selection: Selection
    history: EditHistory


class Prompt(TextArea):
    """A text area in which Enter sends; Shift+Enter and Ctrl+J insert a new line.

    A long paste is one object: the cursor never stands inside it, and every edit takes all of it
    or nothing.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"prompt--paste"}

    class Submitted(Message):
        """The person sends ``parts``; they are in the prompt no longer, and may be empty."""

        def __init__(self, parts: DraftParts) -> None:
            super().__init__()
            self.parts = parts

    class ScrollTranscript(Message):
        """The person pages through the conversation; ``direction`` is -1 or 1."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    class EditLast(Message):
        """The person pressed Up on an empty prompt."""

    class OfferStep(Message):
        """The person moves in the list of files; ``step`` is -1 or 1."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class OfferTaken(Message):
        """The person takes the highlighted file of the list."""

    class HistoryStep(Message):
        """The person walks through earlier messages; ``step`` 1 is back, -1 forward."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, actions: Sequence[Action]) -> None:
        """The commands of ``actions`` are completed by Tab."""
        super().__init__(
            id="prompt",
            placeholder=tr(PLACEHOLDER),
            compact=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
        )
        self._commands = [action.command for action in actions]
        self._recall_keys = {
            key: step
            for action in actions
            if (step := _RECALL_STEPS.get(action.id))
            for key in action.keys
        }
        self._pastes = Pastes()
        self.submitted: list[DraftParts] = []
        """What was sent and is not handled yet; who handles ``Submitted`` removes the first."""
        self.offers_files = False
        """Whether a list of files is open for the path before the cursor."""
        self.has_moved = False
        """Whether the person has moved in that list: then Enter takes, and does not send."""
        self._copied = ("", "")
        """The clipboard's text as this prompt copied it, and the part of a document that it was."""
        self.examples: tuple[str, ...] = ()
        """What Tab writes into an empty prompt, one after the other."""
        self._parts: tuple[str, DraftParts] = ("", ())
        """The document that was last decoded, and its parts."""

    # --- contents -------------------------------------------------------------------------------

    @property
    def parts(self) -> DraftParts:
        """What is written, with its pastes."""
        document = self.text
        if self._parts[0] != document:
            self._parts = (document, self._pastes.decode(document))
        return self._parts[1]

    @property
    def unsent(self) -> DraftParts:
        """What is written, and before it what was sent and is not handled yet."""
        parts = self.parts
        for submitted in reversed(self.submitted):
            parts = (*submitted, BETWEEN, *parts) if parts else submitted
        return parts

    @property
    def draft(self) -> str:
        """The text that Enter sends, with its pastes in full."""
        return parts_text(self.parts).strip()

    @property
    def shown_text(self) -> str:
        """The text with labels in place of the pastes, as the screen shows it."""
        lines = range(self.document.line_count)
        return "\n".join(self.get_line(line).plain for line in lines)

    def begin(self, parts: DraftParts) -> None:
        """Show ``parts``; what can be undone begins with them."""
        self.resume(Composition(self._pastes.encode(parts), Selection(), self._new_history()))
        self.move_cursor(self.document.end)

    def put_away(self) -> Composition:
        """What is in the prompt, to resume it later."""
        return Composition(self.text, self.selection, self.history)

    def resume(self, composition: Composition) -> None:
        """Show what was put away."""
        self.history = self._new_history()  # loading clears it
        self.load_text(composition.document)
        self.history = composition.history
        self.history.checkpoint()
        self.selection = composition.selection

    def decode(self, composition: Composition) -> DraftParts:
        """The parts of what was put away."""
        return self._pastes.decode(composition.document)

    def change_to(self, parts: DraftParts) -> None:
        """Replace everything by ``parts``, which can be undone; the cursor is at the end."""
        document = self._pastes.encode(parts)
        if document != self.text:
            self.replace(document, (0, 0), self.document.end, maintain_selection_offset=False)

    def put_in_front(self, parts: DraftParts) -> None:
        """Insert ``parts`` before what is written, which can be undone."""
        was_empty = not self.text
        document = self._pastes.encode(parts)
        self.insert(document if was_empty else document + BETWEEN, (0, 0))
        if was_empty:
            self.move_cursor(self.document.end)

    def give_away(self) -> DraftParts:
        """Take out all that is written, which can be undone, as one step.

        What led to it no longer can: undoing keeps an object for every key, which a client that
        runs for days would collect.
        """
        parts = self.parts
        if self.text:
            self.history.clear()
            self.clear()
        return parts

    def change_text(self, text: str) -> None:
        """Replace everything by ``text``; the pastes that it still contains stay objects."""
        self.change_to(self._pastes.find_again(clean_entry(text), self.text))

    @property
    def is_beside_paste(self) -> bool:
        """Whether the cursor is beside a paste that can be unfolded."""
        run = self._run_beside_cursor
        return run is not None and bool(self._pastes.get(run.number).text)

    @property
    def _run_beside_cursor(self) -> Run | None:
        row, column = self.cursor_location
        runs = runs_in(self.document.get_line(row))
        return next((run for run in runs if column in (run.start, run.end)), None)

    def unfold_paste(self) -> bool:
        """Turn the paste beside the cursor into text; False if there is none."""
        run, row = self._run_beside_cursor, self.cursor_location[0]
        if run is None or not (text := self._pastes.get(run.number).text):
            return False
        self.replace(text, (row, run.start), (row, run.end), maintain_selection_offset=False)
        return True

    # --- files and forms ------------------------------------------------------------------------

    @property
    def mention(self) -> str | None:
        """The path after an ``@`` that begins a word before the cursor; None if there is none."""
        if not self.selection.is_empty:
            return None
        row, column = self.cursor_location
        match = _MENTION.search(self.document.get_line(row)[:column])
        return match[1] if match is not None else None

    def change_mention(self, path: str) -> None:
        """Replace the path before the cursor, which can be undone."""
        if (mention := self.mention) is not None:
            row, column = self.cursor_location
            self.replace(path, (row, column - len(mention)), (row, column))

    def put_file(self, mention: str, paste: Paste) -> None:
        """Put a file in the place of ``@mention``, or at the cursor if that is gone."""
        run = self._pastes.run_of(paste) + " "
        for row in range(self.document.line_count):
            column = self.document.get_line(row).find(f"@{mention}") if mention else -1
            if column >= 0:
                end = column + len(mention) + 1
                self.replace(run, (row, column), (row, end), maintain_selection_offset=False)
                return
        self.replace(run, *self.selection, maintain_selection_offset=False)

    def put_form(self, paste: Paste) -> None:
        """Put the form of the answer in front of what is written, in place of another one."""
        others = (p for p in self.parts if not (isinstance(p, Paste) and p.form is not None))
        kept = tuple(others)
        first = kept[0] if kept else ""
        blank = "" if isinstance(first, str) and first.startswith(" ") else " "
        self.change_to((paste, blank, *kept) if blank else (paste, *kept))

    def _new_history(self) -> EditHistory:
        return EditHistory(
            max_checkpoints=self.history.max_checkpoints,
            checkpoint_timer=self.history.checkpoint_timer,
            checkpoint_max_characters=self.history.checkpoint_max_characters,
        )

    def on_resize(self) -> None:
        fits = self.content_size.width >= cell_len(tr(PLACEHOLDER))
        self.placeholder = tr(PLACEHOLDER) if fits else tr(SHORT_PLACEHOLDER)

    # --- keys and pastes ------------------------------------------------------------------------

    async def _on_key(self, event: events.Key) -> None:
        # Not bindings: see ``text_fields``.
        match event.key:
            case "up" | "down" if self.offers_files:
                self.has_moved = True
                self.post_message(self.OfferStep(-1 if event.key == "up" else 1))
            case "tab" if self.offers_files:
                self.post_message(self.OfferTaken())
            case "enter" if self.offers_files and self.has_moved:
                self.post_message(self.OfferTaken())
            case key if key in self._recall_keys:
                self.post_message(self.HistoryStep(self._recall_keys[key]))
            case "enter":
                # At once: letters typed after it belong to the next message.
                self.submitted.append(self.give_away())
                self.post_message(self.Submitted(self.submitted[-1]))
            case "shift+enter" | "ctrl+j":
                self.replace("\n", *self.selection, maintain_selection_offset=False)
            case "tab":
                if self.suggestion:
                    self.insert(self.suggestion)
                else:
                    self._take_example()
            case "pageup":
                self.post_message(self.ScrollTranscript(-1))
            case "pagedown":
                self.post_message(self.ScrollTranscript(1))
            case "up" if not self.text:
                self.post_message(self.EditLast())
            case "ctrl+underscore":
                self.undo()
            case key if key in _EDITING:
                if not await self.app.run_action(_EDITING[key], self):
                    return  # such as copying nothing: the screen's key is meant
            case _:
                return  # Textual calls TextArea's own handler next
        event.stop()
        event.prevent_default()

    def update_suggestion(self) -> None:
        """Suggest the rest of the command that the text is the beginning of."""
        text = self.text
        matching = [c for c in self._commands if c.startswith(text) and c != text]
        shortest = min(matching, key=len, default="")
        self.suggestion = shortest[len(text) :] if text.startswith("/") else ""

    def _take_example(self) -> None:
        """Write the first example into an empty prompt, or the one after an example."""
        if self.text in ("", *self.examples) and self.examples:
            later = self.examples[self.examples.index(self.text) + 1 :] if self.text else ()
            self.change_to(((later or self.examples)[0],))

    async def _on_paste(self, event: events.Paste) -> None:
        # TextArea's own handler is called next and inserts it.
        event.text = self._pasted(event.text)

    def _pasted(self, text: str) -> str:
        """A pasted text as part of a document."""
        copied, document = self._copied
        if text == copied:
            return document
        text = clean_entry(text)
        return self._pastes.run_of(Paste(text)) if is_large(text) else text

    def action_cut(self) -> None:
        start, end = self.selection
        if start == end:  # the whole line
            start, end = (start[0], 0), (start[0] + 1, 0)
        if document := self.get_text_range(start, end):
            self.delete(start, end, maintain_selection_offset=False)
            self._copy(document)

    def action_copy(self) -> None:
        if not self.selected_text:
            raise SkipAction
        self._copy(self.selected_text)

    def _copy(self, document: str) -> None:
        """Copy a part of the document, with the contents of its pastes."""
        text = parts_text(self._pastes.decode(document))
        self._copied = (text, document)
        self.app.copy_to_clipboard(text)

    def action_paste(self) -> None:
        self.replace(
            self._pasted(self.app.clipboard), *self.selection, maintain_selection_offset=False
        )

    # --- pastes as objects ----------------------------------------------------------------------

    def edit(self, edit: Edit) -> EditResult:
        """Perform ``edit``, widened to all of each paste that it touches."""
        top, bottom = edit.top, edit.bottom
        if top == bottom:
            top = bottom = self._outside(top, forward=True)
        else:
            top, bottom = self._outside(top, forward=False), self._outside(bottom, forward=True)
        return super().edit(Edit(edit.text, top, bottom, edit.maintain_selection_offset))

    def validate_selection(self, selection: Selection) -> Selection:
        """Keep both ends out of pastes: a move into one goes on to its other end."""
        start, end = selection
        valid_end = self._outside(end, forward=self.selection.end < end)
        if start == end:
            return Selection.cursor(valid_end)
        return Selection(self._outside(start, forward=self.selection.start < start), valid_end)

    def _outside(self, location: Location, *, forward: bool) -> Location:
        """``location``, or the end of the paste that it is inside of; without ``forward`` its
        start."""
        run = self._run_at(location)
        if run is None:
            return location
        return location[0], run.end if forward else run.start

    def _run_at(self, location: Location) -> Run | None:
        """The paste that ``location`` is inside of."""
        row, column = location
        if row >= self.document.line_count:
            return None
        runs = runs_in(self.document.get_line(row))
        return next((run for run in runs if run.start < column < run.end), None)

    def _recompute_cursor_offset(self) -> None:
        # While an undo shortens the document, the cursor may still be below its end, and Textual
        # raises ValueError (Textual #6686).
        location = self.clamp_visitable(self.cursor_location)
        self._cursor_offset = self.wrapped_document.location_to_offset(location)

    def render_line(self, y: int) -> Strip:
        if self.content_size.width < 1:  # Textual cannot wrap the placeholder
            return Strip.blank(self.size.width, self.rich_style)
        return super().render_line(y)

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: labels in place of the pastes."""
        line = self.document.get_line(line_index)
        runs = list(runs_in(line))
        if not runs:
            return super().get_line(line_index)
        drawn = Text(end="", no_wrap=True)
        style = self.get_component_rich_style("prompt--paste", partial=True)
        end = 0
        for run in runs:
            drawn.append(line[end : run.start]).append(self._pastes.label(run.number), style)
            end = run.end
        return drawn.append(line[end:])
