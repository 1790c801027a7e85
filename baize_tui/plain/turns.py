"""The turns of a conversation, counted from 1: a question and its answer each."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from baize_shared.one_line_error import OneLineError
from baize_tui.store.records import Message
from baize_tui.translation import msg, tr

NO_TURN = msg("there is no turn {number}; they are numbered 1 to {last}")
NO_ANSWER = msg("turn {turn} has no answer; /again {turn} asks for one")


class NoSuchTurn(OneLineError):
    """A command names a turn or an answer that does not exist."""


class Turn(Struct, frozen=True):
    """A question, and the answer that is shown, if there is one."""

    number: int
    question: Message
    answer: Message | None


def number_turns(messages: Sequence[Message]) -> list[Turn]:
    """The turns of a branch, oldest first."""
    turns: list[Turn] = []
    for message in messages:
        if message.role == "user":
            turns.append(Turn(len(turns) + 1, message, None))
        elif turns and turns[-1].answer is None:
            turns[-1] = Turn(len(turns), turns[-1].question, message)
    return turns


def find_turn(turns: Sequence[Turn], argument: str) -> Turn:
    """The turn with the number ``argument``; the last one if that is empty.

    Raises:
        NoSuchTurn: there is none.
    """
    if not turns:
        raise NoSuchTurn(tr("the conversation is empty"))
    if not argument:
        return turns[-1]
    number = argument.rstrip(".:")
    if not number.isdecimal() or not 1 <= int(number) <= len(turns):
        raise NoSuchTurn(tr(NO_TURN, number=argument, last=len(turns)))
    return turns[int(number) - 1]


def find_answer(turns: Sequence[Turn], argument: str) -> tuple[Turn, Message]:
    """The turn with the number ``argument``, and its answer.

    Raises:
        NoSuchTurn: there is no such turn, or it has no answer.
    """
    turn = find_turn(turns, argument)
    if turn.answer is None:
        raise NoSuchTurn(tr(NO_ANSWER, turn=turn.number))
    return turn, turn.answer
