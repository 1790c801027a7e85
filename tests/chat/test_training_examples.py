"""Training examples from marks, edits and regenerations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.reading import read_corpus
from baize_tui.chat.training_examples import good_dialogues, marked_answers, preference_pairs
from baize_tui.cli.main import run
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import Mark, Message

PROVENANCE = {"model": "scripted", "prompt_tokens": 3, "completion_tokens": 2}


class Talk:
    """A conversation in the store, message by message."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.id = store.new_conversation(system="Be kind.", moderation=False).id

    def user(self, text: str, below: int | None = None) -> int:
        return self.store.add_message(self.id, below, "user", text).id

    def answer(
        self, text: str, below: int, mark: Mark | None = None, *, generated: bool = True
    ) -> int:
        number = self.store.add_message(self.id, below, "assistant", text).id
        if generated:
            with self.store.database.transaction() as connection:
                connection.execute(
                    "UPDATE message SET provenance = ? WHERE id = ?",
                    (json.dumps(PROVENANCE), number),
                )
        self.store.set_mark(number, mark)
        return number

    @property
    def tree(self) -> list[Message]:
        return self.store.all_messages(self.id)


@pytest.fixture
def talk(paths: Paths) -> Talk:
    return Talk(Store(paths.conversations_file))


def test_a_thought_is_not_exported_as_an_answer(talk: Talk) -> None:
    question = talk.user("Which capital?")
    said = talk.answer("Paris.", question, "good")
    cut = talk.answer("", question, "bad")
    with talk.store.database.transaction() as connection:
        connection.execute(
            "UPDATE message SET reasoning = 'I recall it' WHERE id IN (?, ?)", (said, cut)
        )
    assert texts(talk) == [["Be kind.", "Which capital?", "Paris."]]
    assert preferred(talk) == []


def texts(talk: Talk) -> list[list[str]]:
    examples = good_dialogues(talk.tree, "Be kind.")
    return [[turn.content for turn in example.messages] for example in examples]


def preferred(talk: Talk) -> list[tuple[str, str, str, str]]:
    return [
        (pair.prompt[-1].content, pair.chosen[0].content, pair.rejected[0].content, pair.why)
        for pair in preference_pairs(talk.tree, "")
    ]


def test_a_dialogue_up_to_the_last_good_answer_is_an_example(talk: Talk) -> None:
    question = talk.user("One?")
    first = talk.answer("First.", question, "good")
    talk.answer("Another.", question)
    second = talk.user("Two?", first)
    talk.answer("Second.", second, "good")
    talk.answer("Worse.", second, "bad")
    assert texts(talk) == [["Be kind.", "One?", "First.", "Two?", "Second."]]


def test_unmarked_answers_and_those_below_a_bad_one_are_no_examples(talk: Talk) -> None:
    question = talk.user("One?")
    bad = talk.answer("Bad.", question, "bad")
    talk.answer("Good, but below it.", talk.user("Two?", bad), "good")
    talk.answer("Unmarked.", question)
    assert texts(talk) == []


def test_marks_make_pairs(talk: Talk) -> None:
    question = talk.user("One?")
    talk.answer("Better.", question, "good")
    talk.answer("Worse.", question, "bad")
    talk.answer("Neither.", question)
    assert preferred(talk) == [("One?", "Better.", "Worse.", "marks")]


def test_an_answer_that_the_person_wrote_is_preferred(talk: Talk) -> None:
    question = talk.user("One?")
    talk.answer("Made.", question)
    talk.answer("Written.", question, generated=False)
    assert preferred(talk) == [("One?", "Written.", "Made.", "edit")]


def test_the_answer_that_the_conversation_continues_from_is_preferred(talk: Talk) -> None:
    question = talk.user("One?")
    talk.answer("Left.", question)
    kept = talk.answer("Kept.", question)
    assert preferred(talk) == []
    talk.user("Two?", kept)
    assert preferred(talk) == [("One?", "Kept.", "Left.", "regenerated")]


def test_exported_examples_can_be_read_as_a_corpus(
    talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = talk.user("One?")
    talk.answer("Better.", question, "good")
    talk.answer("Worse.", question, "bad")
    good, better = tmp_path / "good.jsonl", tmp_path / "pairs.jsonl"
    assert run(["sessions", "export", "--as", "good", "-o", str(good), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 1
    (dialogue,) = read_corpus(good)
    assert isinstance(dialogue, Dialogue)
    assert [turn.content for turn in dialogue.messages] == ["Be kind.", "One?", "Better."]
    assert run(["sessions", "export", "--as", "pairs", "-o", str(better)]) == 0
    (line,) = better.read_text().splitlines()
    assert json.loads(line)["rejected"] == [{"role": "assistant", "content": "Worse."}]
    assert run(["sessions", "export", "--as", "good", "-o", str(tmp_path / "no" / "x")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_every_marked_answer_is_exported_with_its_mark(talk: Talk) -> None:
    question = talk.user("Which capital?")
    good = talk.answer("Paris.", question, "good")
    talk.answer("Rome.", question, "bad")
    talk.answer("Oslo.", question)
    talk.answer("", talk.user("And then?", good), "bad")
    marks = [
        ([turn.content for turn in mark.prompt], mark.completion[0].content, mark.label)
        for mark in marked_answers(talk.tree, "Be kind.")
    ]
    assert marks == [
        (["Be kind.", "Which capital?"], "Paris.", True),
        (["Be kind.", "Which capital?"], "Rome.", False),
    ]
