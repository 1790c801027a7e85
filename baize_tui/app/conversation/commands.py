"""What each action does: the table behind keys, palette and ``/`` commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from baize_tui.app.conversation.looking_inside import LOOK_GROUP
from baize_tui.app.conversation.parts import Parts
from baize_tui.output_forms import OutputKind
from baize_tui.translation import msg, tr

Result = Awaitable[object] | object
Command = Callable[[], Result]
CommandWithArgument = Callable[[str], Result]
"""Takes what follows its name; an empty text if nothing does."""

TITLES_GROUP = "title"
NOTHING_TO_UNDO = msg("There is nothing to undo.")
NOTHING_QUEUED = msg("No message is queued.")


class Commands:
    """Runs actions by their ids."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._surface = parts.surface
        self.plain: Mapping[str, Command] = {
            **self._asking(),
            **self._messages(),
            **self._conversations(),
            **self._client(),
        }
        self.with_argument: Mapping[str, CommandWithArgument] = self._taking_arguments()

    def run(self, id: str, argument: str) -> Result:
        """Begin the action ``id``; what it returns may have to be awaited."""
        if id in self.with_argument:
            return self.with_argument[id](argument)
        return self.plain[id]()

    # --- the table ------------------------------------------------------------------------------

    def _asking(self) -> dict[str, Command]:
        parts = self._parts
        return {
            "stop": self._stop,
            "again": parts.asking.answer_again,
            "go_on": parts.asking.continue_last,
            "earlier": partial(parts.composer.recall, 1),
            "later": partial(parts.composer.recall, -1),
            "take_back": self._take_back,
            "remove": self._remove_queued,
            "compare": self._once("compare", parts.comparing.compare),
            "editor": parts.programs.edit_draft,
        }

    def _messages(self) -> dict[str, Command]:
        parts, transcript = self._parts, self._surface.transcript
        return {
            "previous": partial(transcript.select_neighbour, -1),
            "next": partial(transcript.select_neighbour, 1),
            "edit": parts.messages.edit,
            "summary": parts.messages.edit_summary,
            "branch_back": partial(parts.messages.show_neighbour_branch, -1),
            "branch_on": partial(parts.messages.show_neighbour_branch, 1),
            "map": self._once("map", parts.branches.show_map),
            "copy": parts.messages.copy,
            "copy_code": parts.messages.copy_code,
            "view": parts.programs.view_message,
            "delete": parts.messages.delete,
            "undo": self._undo,
            "good": partial(parts.messages.mark, "good"),
            "bad": partial(parts.messages.mark, "bad"),
            "pin": parts.messages.pin,
            "unfold": parts.messages.unfold,
            "details": parts.messages.show_details,
            "tokens": self._once(LOOK_GROUP, parts.looking_inside.show_tokens),
            "replay": self._once(LOOK_GROUP, parts.looking_inside.replay),
            "inspect": self._once(LOOK_GROUP, parts.looking_inside.show_prompt),
            "start": transcript.scroll_to_start,
            "end": transcript.follow,
        }

    def _conversations(self) -> dict[str, Command]:
        parts = self._parts
        return {
            "new": parts.conversation_view.open_new,
            "list": self._show_or_hide_list,
            "search": self._search,
            "find": parts.finding.begin,
            "rename": self._once("rename", parts.conversations.rename),
            "title": self._suggest_title,
            "organize": parts.screens.organize,
            "pin_conversation": parts.organizing.pin,
            "tags": self._once("organize", parts.organizing.edit_tags),
            "archive": parts.organizing.archive,
            "archived": self._once("organize", parts.organizing.show_archived),
            "trash": self._once("organize", parts.organizing.show_trash),
            "conversation": parts.conversations.show_options,
            "moderation": parts.conversations.switch_moderation,
            "export": self._once("transfer", parts.transfers.export),
            "import": self._once("transfer", parts.transfers.import_file),
        }

    def _client(self) -> dict[str, Command]:
        parts = self._parts
        return {
            "palette": parts.screens.show_palette,
            "help": parts.screens.show_help,
            "model": self._once("models", parts.screens.choose_model),
            "settings": parts.screens.show_settings,
            "theme": parts.screens.choose_theme,
            "suspend": parts.programs.suspend,
            "quit": self._quit,
        }

    def _taking_arguments(self) -> dict[str, CommandWithArgument]:
        personas = self._parts.personas
        return {
            "attach": self._attach,
            "json": partial(self._choose_form, "json"),
            "regex": partial(self._choose_form, "regex"),
            "grammar": partial(self._choose_form, "grammar"),
            "persona": lambda name: self._start("persona", personas.choose_persona, name),
            "prompts": lambda name: self._start("persona", personas.choose_prompt, name),
        }

    def _once(self, group: str, command: Callable[[], Awaitable[None]]) -> Command:
        """``command``, which waits for dialogs or the model, once at a time."""
        return partial(self._surface.start_once, command, group)

    def _start(self, group: str, command: Callable[[str], Awaitable[None]], argument: str) -> None:
        self._surface.start_once(partial(command, argument), group)

    # --- commands with a choice of their own ----------------------------------------------------

    def _stop(self) -> None:
        """Leave what is open, from the innermost on; at last, stop the answer."""
        parts, screen = self._parts, self._surface.screen
        if screen.selections:
            screen.clear_selection()
        elif self._surface.conversation_list.has_focus:
            self._surface.focus_prompt()
        elif parts.finding.bar.is_open:
            parts.finding.end()
        elif parts.attaching.is_open:
            parts.attaching.close()
        elif parts.looking_inside.stop():
            parts.idle_status.show()
        else:
            parts.asking.stop()

    def _take_back(self) -> None:
        if not self._parts.asking.take_back():
            self._surface.screen.notify(tr(NOTHING_QUEUED))

    async def _remove_queued(self) -> None:
        if not await self._parts.asking.remove_queued():
            self._surface.screen.notify(tr(NOTHING_QUEUED))

    async def _undo(self) -> None:
        if not await self._parts.undo_stack.undo():
            self._surface.screen.notify(tr(NOTHING_TO_UNDO))

    def _show_or_hide_list(self) -> None:
        if self._surface.conversation_list.has_focus:
            self._surface.hide_list()
        else:
            self._surface.focus_list()

    def _search(self) -> None:
        self._parts.indexing.start()  # another client may have written much
        self._surface.start_once(self._parts.finding.search_all, "search")

    def _suggest_title(self) -> None:
        conversation_id = self._surface.view.open_id
        if conversation_id is not None and self._parts.asking.can_start():
            suggest = partial(self._parts.conversations.suggest_title, conversation_id)
            self._surface.start_once(suggest, TITLES_GROUP)

    def _attach(self, path: str) -> None:
        if path:
            self._parts.attaching.attach(path)
        else:
            self._surface.focus_prompt()
            self._surface.prompt.insert("@")

    def _choose_form(self, kind: OutputKind, argument: str) -> None:
        self._surface.start_once(partial(self._parts.forms.choose, kind, argument), "form")

    async def _quit(self) -> None:
        await self._surface.screen.app.action_quit()
