"""The tags of a conversation: chosen among all that there are, or typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from textual import getters
from textual.app import ComposeResult
from textual.widgets import Static

from baize_shared.sanitizer import clean_line
from baize_tui.app.screens.picker import Choice, Picker
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.app.widgets.list_row import ListRow
from baize_tui.store.errors import StoreError
from baize_tui.store.tags import split_tags, tag_key
from baize_tui.translation import msg, tr

TITLE = msg("Tags of “{title}”")
PLACEHOLDER = msg("Type a tag, or several with spaces")
HINTS = msg("enter adds or removes · esc closes")
NO_TAGS = msg("no tags yet: type one")
NEW = msg("new tag")
SET, NOT_SET = "✓", " "
_LONGEST_TITLE = 40

ChangeTags = Callable[[Sequence[str], Sequence[str]], Awaitable[list[str]]]
"""Adds tags and removes others; returns all that the conversation has then."""


class TagsScreen(Picker[str]):
    """Enter adds a tag or removes it, and the screen stays; the result is always None."""

    DEFAULT_CSS = """
    TagsScreen {
        #about { margin: 1 0 0 0; }
    }
    """
    _about = getters.query_one("#about", Static)

    def __init__(
        self, title: str, own: Sequence[str], known: Mapping[str, int], change: ChangeTags
    ) -> None:
        """``own`` are the tags of the conversation, ``known`` how many have each of all tags."""
        question = tr(TITLE, title=clean_line(title, _LONGEST_TITLE))
        super().__init__(question, (), placeholder=PLACEHOLDER)
        self._own = list(own)
        self._known = {tag_key(tag): (tag, count) for tag, count in known.items()}
        self._change = change

    def _below_choices(self) -> ComposeResult:
        yield Static("", id="about", classes="about", markup=False)

    @property
    def _own_keys(self) -> set[str]:
        return {tag_key(tag) for tag in self._own}

    def _fill(self, query: str) -> None:
        own = [Choice(tag, tag) for tag in self._own]
        others = [
            Choice(tag, tag) for key, (tag, _) in self._known.items() if key not in self._own_keys
        ]
        matches = best_matches(query, [*own, *others], lambda choice: choice.text)
        typed = split_tags(query)
        known = {*self._own_keys, *self._known}
        if typed and not {tag_key(tag) for tag in typed} <= known:
            matches.append(Choice(" ".join(typed), tr(NEW)))
        self._show(matches)
        self._about.update(tr(HINTS) if matches else f"{tr(NO_TAGS)} · {tr(HINTS)}")

    def _row(self, choice: Choice[str]) -> ListRow:
        if choice.text == tr(NEW):
            return ListRow(f"{NOT_SET} {choice.value}", tr(NEW))
        key = tag_key(choice.value)
        _, count = self._known.get(key, ("", 0))
        return ListRow(f"{SET if key in self._own_keys else NOT_SET} {choice.value}", str(count))

    async def _take(self, value: str) -> None:
        tags = split_tags(value)
        is_set = {tag_key(tag) for tag in tags} <= self._own_keys
        before = {tag_key(tag): tag for tag in self._own}
        try:
            self._own = await self._change([] if is_set else tags, tags if is_set else [])
        except StoreError as error:
            self._about.update(str(error))
            return
        now = {tag_key(tag): tag for tag in self._own}
        for key in now.keys() ^ before.keys():
            tag, count = self._known.get(key, (now.get(key, ""), 0))
            self._known[key] = tag, max(count + (1 if key in now else -1), 0)
        if not self.is_attached:
            return  # it was closed meanwhile
        if self._input.value:
            self._input.value = ""  # shows the list anew
        else:
            self._fill("")
            self._options.highlighted = self._place_of(tags)

    def _place_of(self, tags: Sequence[str]) -> int | None:
        keys = {tag_key(tag) for tag in tags}
        places = [i for i, choice in enumerate(self._matches) if tag_key(choice.value) in keys]
        return places[0] if places else None
