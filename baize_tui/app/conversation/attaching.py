"""Attaching files: the list of files for a path in the prompt, and what is read of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from baize_shared.sanitizer import clean_line
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.widgets.file_offers import FileOffers, Offer
from baize_tui.app.widgets.fuzzy import best_matches
from baize_tui.chat.attaching import LooksSecret
from baize_tui.measures import count_text
from baize_tui.translation import msg, tr

OFFERS_GROUP = "file offers"
"""The group of the worker that looks for files."""
ATTACH_GROUP = "attach"
_MOST_OFFERS, _MOST_PATHS = 20, 3000
READING = msg("reading {path}")
STILL_READING = msg("{path} is still being read: send once it is there")
LEFT = msg("{name} was not attached, as another conversation was opened meanwhile")
INSIST = msg("{why}; attach it again to send it anyway")


class FileAttaching:
    """Offers files while a path is typed, and puts those that are taken into the prompt."""

    def __init__(
        self, surface: Surface, conversation_view: ConversationView, offers: FileOffers
    ) -> None:
        self._surface = surface
        self._conversation_view = conversation_view
        self._offers = offers
        self._below: Sequence[str] | None = None
        """The paths below the current folder, as long as the list is open."""
        self._closed_for: str | None = None
        """The path for which the person has closed the list."""
        self._offered_for: str | None = None
        """The path that was typed when the files in the list were found."""
        self._secret = ""
        """The path that was refused because it looks like a secret."""
        self._being_read: list[tuple[str | None, str]] = []
        """Conversations, and the paths that are being read for them."""

    # --- the list -------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._surface.prompt.offers_files

    def draft_changed(self) -> None:
        """Offer what the path before the cursor may become."""
        mention = self._surface.prompt.mention
        if mention is None or mention == self._closed_for:
            self._show(())
            return
        self._closed_for = None
        find = partial(self._find, mention)
        self._surface.run_worker(find, group=OFFERS_GROUP, exclusive=True)

    async def _find(self, mention: str) -> None:
        if self._below is None:
            from baize_tui.chat.attachments.finding import paths_below

            self._below = await asyncio.to_thread(paths_below, Path.cwd(), _MOST_PATHS)
        offers = await asyncio.to_thread(offers_for, mention, Path.cwd(), self._below)
        if self._surface.prompt.mention == mention:
            self._offered_for = mention
            self._show(offers)

    def _show(self, offers: Sequence[Offer]) -> None:
        prompt = self._surface.prompt
        if not offers:
            self._surface.screen.workers.cancel_group(self._surface.screen, OFFERS_GROUP)
            self._below = None
            if not prompt.offers_files:
                return
        prompt.offers_files, prompt.has_moved = bool(offers), False
        self._offers.show(offers)

    def close(self) -> None:
        """Close the list until another path is typed."""
        self._closed_for = self._surface.prompt.mention
        self._show(())

    def move(self, step: int) -> None:
        self._offers.move(step)

    def take(self) -> None:
        """Attach the highlighted file, or show what is in the highlighted folder."""
        mention = self._surface.prompt.mention
        if mention is not None and mention != self._offered_for:
            # A fast typist sees what was found for a few letters and means all of them.
            find_first = partial(self._find_and_take, mention)
            self._surface.run_worker(find_first, group=OFFERS_GROUP, exclusive=True)
        elif mention is not None:
            self._take(mention)

    async def _find_and_take(self, mention: str) -> None:
        await self._find(mention)
        if self.is_open and self._surface.prompt.mention == mention:
            self._take(mention)

    def _take(self, mention: str) -> None:
        offer = self._offers.taken
        if offer is None:
            return
        if offer.enters:
            self._surface.prompt.change_mention(offer.path)
            return
        self.close()
        self.attach(offer.path, mention)

    # --- files ----------------------------------------------------------------------------------

    def attach(self, path: str, mention: str = "") -> None:
        """Read the files that ``path`` stands for, and put them in the place of ``@mention``."""
        reading = self._surface.view.open_id, path
        self._being_read.append(reading)
        attach = partial(self._attach, reading, mention)
        self._surface.run_worker(attach, group=ATTACH_GROUP)

    def hold_back(self) -> bool:
        """Whether a message has to wait for a file that is being read for it; says so."""
        open_id = self._surface.view.open_id
        path = next((path for id, path in self._being_read if id == open_id), None)
        if path is None:
            return False
        self._surface.status.show(tr(STILL_READING, path=clean_line(path, 60)), "problem")
        return True

    async def _attach(self, reading: tuple[str | None, str], mention: str) -> None:
        try:
            await self._read_and_put(*reading, mention)
        finally:
            self._being_read.remove(reading)

    async def _read_and_put(self, conversation_id: str | None, path: str, mention: str) -> None:
        from baize_tui.chat.attachments.errors import AttachmentFailed

        surface = self._surface
        surface.status.show(tr(READING, path=clean_line(path, 60)), "busy")
        insists, self._secret = path == self._secret, ""
        try:
            attached = await surface.chat.attaching.attach(
                path,
                Path.cwd(),
                self._conversation_view.present(),
                surface.prompt.draft,
                allow_secret=insists,
            )
        except LooksSecret as error:
            self._secret = path
            surface.status.show(tr(INSIST, why=error), "problem")
            return
        except AttachmentFailed as error:
            surface.status.show(str(error), "problem")
            return
        if surface.view.open_id != conversation_id:
            surface.status.show(tr(LEFT, name=attached.paste.name), "problem")
            return
        surface.prompt.put_file(mention, attached.paste)
        tokens = count_text(attached.paste.tokens, "token")
        line = tr("attached {name}: {tokens}", name=attached.paste.name, tokens=tokens)
        surface.status.show("; ".join([line, *attached.paste.note.split("; ")]).rstrip("; "))


def offers_for(mention: str, folder: Path, below: Sequence[str]) -> list[Offer]:
    """What ``@mention`` may become, the best first; ``below`` are the paths below ``folder``."""
    from baize_tui.chat.attachments.errors import AttachmentFailed
    from baize_tui.chat.attachments.finding import find_files, is_pattern, paths_in

    if is_pattern(mention):
        try:
            found = find_files(mention, folder)
        except AttachmentFailed:
            return []
        return [Offer(mention, f"{mention} · {count_text(len(found), 'file')}")]
    offers: list[Offer] = []
    is_elsewhere = mention.startswith(("/", "~", ".")) or mention.endswith("/")
    if is_elsewhere:
        paths = paths_in(mention, folder)
        last = mention.rpartition("/")[2]
        found_paths = best_matches(last, paths, lambda path: path.rstrip("/").rpartition("/")[2])
        if mention.endswith("/") and paths:
            offers.append(Offer(mention, f"{mention} · {tr('all text files in it')}"))
    elif not mention:
        found_paths = paths_in("", folder)
    else:
        found_paths = best_matches(mention, below, lambda path: path)
    offers += [Offer(path, path, enters=path.endswith("/")) for path in found_paths]
    return offers[:_MOST_OFFERS]
