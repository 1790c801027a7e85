"""The objects that do the work of the conversation screen, each over those that it works with."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from baize_tui.app.actions import Action
from baize_tui.app.conversation.answer_forms import AnswerForms
from baize_tui.app.conversation.answers import Answers
from baize_tui.app.conversation.asking import Asking
from baize_tui.app.conversation.attaching import FileAttaching
from baize_tui.app.conversation.available_commands import AvailableCommands
from baize_tui.app.conversation.branch_navigation import BranchNavigation
from baize_tui.app.conversation.comparing import Comparing
from baize_tui.app.conversation.composer import Composer
from baize_tui.app.conversation.conversation_commands import ConversationCommands
from baize_tui.app.conversation.conversation_view import ConversationView
from baize_tui.app.conversation.draft_cost import DraftCost
from baize_tui.app.conversation.draft_keeper import DraftKeeper
from baize_tui.app.conversation.finding import Finding
from baize_tui.app.conversation.idle_status import IdleStatus
from baize_tui.app.conversation.indexing import Indexing
from baize_tui.app.conversation.list_updates import ListUpdates
from baize_tui.app.conversation.looking_inside import LookingInside
from baize_tui.app.conversation.message_commands import MessageCommands
from baize_tui.app.conversation.message_queue import MessageQueue
from baize_tui.app.conversation.model_loading import ModelLoading
from baize_tui.app.conversation.opened_screens import OpenedScreens
from baize_tui.app.conversation.organizing import Organizing
from baize_tui.app.conversation.other_programs import OtherPrograms
from baize_tui.app.conversation.personas import Personas
from baize_tui.app.conversation.surface import Surface
from baize_tui.app.conversation.transfers import Transfers
from baize_tui.app.conversation.undo import UndoStack
from baize_tui.app.widgets.file_offers import FileOffers
from baize_tui.app.widgets.queue_lines import QueueLines


class Parts(Struct, frozen=True, eq=False):
    """All of them."""

    surface: Surface
    undo_stack: UndoStack
    idle_status: IdleStatus
    list_updates: ListUpdates
    draft_cost: DraftCost
    composer: Composer
    queue: MessageQueue
    conversation_view: ConversationView
    answers: Answers
    model_loading: ModelLoading
    asking: Asking
    messages: MessageCommands
    conversations: ConversationCommands
    looking_inside: LookingInside
    finding: Finding
    branches: BranchNavigation
    organizing: Organizing
    attaching: FileAttaching
    forms: AnswerForms
    personas: Personas
    indexing: Indexing
    available: AvailableCommands
    transfers: Transfers
    comparing: Comparing
    screens: OpenedScreens
    programs: OtherPrograms


def make_parts(
    surface: Surface, queue_lines: QueueLines, offers: FileOffers, run: Callable[[Action], None]
) -> Parts:
    """Make them for a screen; ``run`` runs an action of it."""
    undo_stack = UndoStack()
    idle_status = IdleStatus(surface)
    list_updates = ListUpdates(surface)
    draft_cost = DraftCost(surface, idle_status)
    composer = Composer(surface, DraftKeeper(surface))
    queue = MessageQueue(surface, composer, queue_lines)
    view = ConversationView(surface, idle_status, list_updates, draft_cost, composer, queue)
    answers = Answers(surface, idle_status, list_updates, draft_cost, view)
    model_loading = ModelLoading(surface, idle_status, draft_cost, view)
    asking = Asking(surface, idle_status, view, answers, composer, queue, undo_stack)
    messages = MessageCommands(surface, draft_cost, view, undo_stack, composer)
    conversations = ConversationCommands(surface, idle_status, list_updates, view, undo_stack)
    finding = Finding(surface, view, composer)
    available = AvailableCommands(surface, asking, messages, composer, undo_stack)
    return Parts(
        surface=surface,
        undo_stack=undo_stack,
        idle_status=idle_status,
        list_updates=list_updates,
        draft_cost=draft_cost,
        composer=composer,
        queue=queue,
        conversation_view=view,
        answers=answers,
        model_loading=model_loading,
        asking=asking,
        messages=messages,
        conversations=conversations,
        looking_inside=LookingInside(surface, idle_status, view, answers),
        finding=finding,
        branches=BranchNavigation(surface, view, composer, finding, undo_stack),
        organizing=Organizing(surface, list_updates, view, undo_stack),
        attaching=FileAttaching(surface, view, offers),
        forms=AnswerForms(surface),
        personas=Personas(surface, view, undo_stack),
        indexing=Indexing(surface),
        available=available,
        transfers=Transfers(surface, list_updates, conversations),
        comparing=Comparing(surface, view, asking, composer, model_loading.show_loaded),
        screens=OpenedScreens(surface, available, model_loading, run),
        programs=OtherPrograms(surface, composer, messages),
    )
