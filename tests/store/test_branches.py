"""The branches of a conversation, as a list in which each is below the one that it leaves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baize_tui.store.conversations import Store
from baize_tui.store.records import BranchRow, ConversationTree
from tests.chat.random_trees import trees


def branches_of(store: Store, id: str) -> list[BranchRow]:
    return store.branch_reader.branches(id, store.conversation(id).leaf_id)


@given(trees(), st.sets(st.integers(1, 8), max_size=2))
def test_every_visible_message_is_in_one_branch(tree: ConversationTree, deleted: set[int]) -> None:
    store = Store(None)
    store.trees.add([tree])
    for message in store.all_messages(tree.id):
        if message.id in deleted:
            store.delete_message(message.id)
    visible = {message.id: message for message in store.all_messages(tree.id)}
    rows = branches_of(store, tree.id)
    shown = {message.id for message in store.shown_messages(tree.id)}
    assert sum(row.messages for row in rows) == len(visible)
    for row in rows:
        siblings = [id for id in store.siblings(row.start.id) if id in visible]
        assert row.position == (siblings.index(row.start.id) + 1, len(siblings))
        assert len(siblings) > 1 or visible[row.start.id].parent_id is None
        assert row.leaf_id == store.leaf_below(row.start.id)
        assert row.shown == (row.start.id in shown)
        assert row.start.text == visible[row.start.id].text
        path = [message.id for message in store.path(row.end_id)]
        assert path[-row.messages] == row.start.id
        above = [each for each in rows if each.start.id in path and each is not row]
        assert len(row.guides) == len(above) + (1 if rows[0].guides else 0)
    store.close()


def test_a_thousand_nested_branches_are_read() -> None:
    store = Store(None)
    id = store.new_conversation(system="", moderation=True).id
    parent = None
    for _ in range(1000):
        store.add_message(id, parent, "user", "dead end")
        parent = store.add_message(id, parent, "user", "goes on").id
    rows = branches_of(store, id)
    assert len(rows) == 2000
    assert len(rows[-1].guides) == 1000
    assert rows[-1].shown
    store.close()
