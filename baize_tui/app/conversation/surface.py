"""What the objects of the conversation screen share: its widgets and its data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct
from textual.screen import Screen
from textual.worker import Worker

from baize_tui.app.conversation.view_state import ViewState
from baize_tui.app.state import ClientState
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.app.widgets.conversation_list import ConversationList
from baize_tui.app.widgets.heading import Heading
from baize_tui.app.widgets.prompt import Prompt
from baize_tui.app.widgets.status_line import StatusLine
from baize_tui.chat.chat import Chat
from baize_tui.store.errors import StoreError


class Surface(Struct, frozen=True, eq=False):
    """The widgets of the screen, and the data that it shows."""

    screen: Screen[None]
    """Runs workers and timers, and shows notifications and dialogs."""
    state: ClientState
    view: ViewState
    transcript: Transcript
    prompt: Prompt
    status: StatusLine
    conversation_list: ConversationList
    heading: Heading

    @property
    def chat(self) -> Chat:
        return self.state.chat

    def run_worker(
        self, work: Callable[[], Awaitable[None]], *, group: str, exclusive: bool = False
    ) -> None:
        """Run ``work`` in the background; ``exclusive`` cancels the others of its group.

        If it cannot use the store, the reason is shown.
        """

        async def run() -> None:
            try:
                await work()
            except StoreError as error:
                self.status.show(str(error), "problem")

        # A function, not a coroutine: a worker cancelled before it starts never calls it.
        _: Worker[None] = self.screen.run_worker(run, group=group, exclusive=exclusive)

    def start_once(self, work: Callable[[], Awaitable[None]], group: str) -> None:
        """``run_worker``, unless a worker of ``group`` still waits for a dialog or the model."""
        if not any(w.group == group and w.is_running for w in self.screen.workers):
            self.run_worker(work, group=group)

    def begin_problem(self, id: str, text: str) -> None:
        """Show a problem until ``end_problem``, not only until the person's next key."""
        self.view.problems[id] = text
        self.status.show(text, "problem")

    def end_problem(self, id: str, text: str) -> None:
        """Show ``text`` if there was the problem ``id``."""
        if self.view.problems.pop(id, None) is not None:
            self.status.show(text)

    def focus_prompt(self) -> None:
        """Leave the list, and hide it if the terminal is too narrow for both."""
        self.conversation_list.remove_class("-summoned")
        self.screen.set_focus(self.prompt)

    def hide_list(self) -> None:
        """Leave the list, and give its room to the conversation."""
        if not self.conversation_list.has_class("-narrow"):  # else it has none
            self.conversation_list.add_class("-hidden")
        self.focus_prompt()

    def focus_list(self) -> None:
        self.conversation_list.remove_class("-hidden")
        self.conversation_list.add_class("-summoned")
        self.screen.set_focus(self.conversation_list)
