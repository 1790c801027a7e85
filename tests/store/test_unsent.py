"""Drafts and queued messages in the store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from baize_tui.store.conversations import Store
from baize_tui.store.records import DraftParts, Paste, Unsent

PASTE = Paste("line\n" * 100)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


def draft(id: str, *parts: str | Paste, conversation_id: str | None = None) -> Unsent:
    return Unsent(id, "draft", conversation_id, parts)


def words(store: Store, conversation_id: str | None = None) -> list[DraftParts]:
    return [unsent.parts for unsent in store.unsent.take_over(conversation_id)]


def test_words_and_pastes_come_back_as_they_were(file: Path) -> None:
    store = Store(file)
    saved = Unsent("a", "queued", None, ("see ", PASTE, " and ", PASTE, "?"), is_open=True)
    store.unsent.save(saved)
    store.close()
    store = Store(file)
    assert store.unsent.take_over(None) == [saved]
    store.close()


def test_a_changed_draft_replaces_the_one_before_with_its_pastes(file: Path) -> None:
    store = Store(file)
    store.unsent.save(draft("a", "x", PASTE))
    store.unsent.save(draft("a", "y", Paste("other")))
    assert words(store) == [("y", Paste("other"))]
    assert len(store.database.rows("SELECT * FROM unsent_paste")) == 1
    store.unsent.remove("a")
    assert words(store) == []
    assert store.database.rows("SELECT * FROM unsent_paste") == []
    store.close()


def test_messages_wait_in_their_order_even_if_the_clock_goes_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(file)
    for hour, id in enumerate("cab"):
        monkeypatch.setattr(time, "time", lambda now=1e9 - 3600 * hour: now)
        store.unsent.save(Unsent(id, "queued", None, (id,)))
    assert words(store) == [("c",), ("a",), ("b",)]
    store.close()


def test_an_edit_of_a_summary_is_none_of_its_message(file: Path) -> None:
    store = Store(file)
    conversation = store.new_conversation(system="", moderation=False)
    message = store.add_message(conversation.id, None, "user", "Why?")
    edits = [
        Unsent("a", "edit", conversation.id, ("What?",), message.id),
        Unsent("b", "summary", conversation.id, ("They talked.",), message.id, is_open=True),
    ]
    for unsent in edits:
        store.unsent.save(unsent)
    assert store.unsent.take_over(conversation.id) == edits
    store.close()


def test_drafts_belong_to_their_conversation(file: Path) -> None:
    store = Store(file)
    conversation = store.new_conversation(system="", moderation=False)
    store.unsent.save(draft("a", "new"))
    store.unsent.save(draft("b", "old", conversation_id=conversation.id))
    assert words(store) == [("new",)]
    assert words(store, conversation.id) == [("old",)]
    store.delete(conversation.id)
    store.undelete(conversation.id)
    assert words(store, conversation.id) == [("old",)]
    store.close()


def test_two_clients_do_not_see_or_overwrite_each_others_drafts(file: Path) -> None:
    one, other = Store(file), Store(file)
    one.unsent.save(draft("a", "one"))
    assert words(other) == []
    other.unsent.save(draft("b", "other"))
    assert words(one) == [("one",)]
    one.close()
    assert words(other) == [("one",), ("other",)]  # the first has ended
    third = Store(file)
    assert words(third) == []
    for store in (other, third):
        store.close()


def test_a_saved_message_ends_its_draft(file: Path) -> None:
    store = Store(file)
    conversation = store.new_conversation(system="", moderation=False)
    store.unsent.save(draft("a", PASTE, conversation_id=conversation.id))
    store.add_message(conversation.id, None, "user", PASTE.text, unsent="a")
    assert words(store, conversation.id) == []
    store.close()
