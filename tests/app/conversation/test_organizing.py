"""Pins, tags, the archive and the trash, as a person uses them."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Static

from baize_tui.app.screens import shelves
from baize_tui.app.screens.dialogs import ConfirmDialog
from baize_tui.app.screens.palette import Palette
from baize_tui.app.screens.shelves import ArchivedScreen, Shelf, TrashScreen
from baize_tui.app.screens.tags import TagsScreen
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.app.pilot import RunApp, client, is_open, say, screen, status, texts, titles
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


def write(paths: Paths, *names: str) -> dict[str, str]:
    """Conversations, the last of which is used last; their ids by their titles."""
    store = Store(paths.conversations_file)
    ids = {}
    for name in names:
        ids[name] = store.new_conversation(system="", moderation=True, title=name).id
        store.add_message(ids[name], None, "user", f"{name}?")
    store.close()
    return ids


def rows(pilot: Pilot[int]) -> list[str]:
    options = pilot.app.screen.query_one(ChoiceList)
    prompts = (options.get_option_at_index(i).prompt for i in range(options.option_count))
    return [str(prompt).strip() for prompt in prompts]


def about(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one("#about", Static).render())


async def choose(pilot: Pilot[int], command: str) -> None:
    """Run a command from the menu of Alt+Shift+T."""
    await pilot.press("alt+shift+t")
    await wait_until(lambda: is_open(pilot, Palette), "the menu")
    await pilot.press(*command, "enter")


async def open_shelf(pilot: Pilot[int], kind: type[Shelf], *shown: str) -> None:
    await choose(pilot, "archived" if kind is ArchivedScreen else "trash")
    await wait_until(lambda: is_open(pilot, kind) and rows(pilot) == [*shown], "the shelf")


async def test_a_pinned_conversation_stays_at_the_top(run_app: RunApp, paths: Paths) -> None:
    write(paths, "Bread", "Wine")
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press("ctrl+b", "down")
        await choose(pilot, "pin")
        await wait_until(lambda: titles(pilot) == ["Bread", "Wine"], "the pin")
        assert "pinned" in status(pilot)
        await pilot.press("escape")
        await say(pilot, "Newer")
        await wait_until(lambda: titles(pilot) == ["Bread", "Newer", "Wine"], "the new one below")


async def test_an_archived_conversation_leaves_the_list_and_is_found_there(
    run_app: RunApp, paths: Paths
) -> None:
    write(paths, "Bread", "Wine")
    async with run_app(ScriptedEngine("One.")) as pilot:
        await pilot.press("ctrl+b", "enter")
        await wait_until(lambda: texts(pilot) == ["Wine?"], "the conversation")
        await choose(pilot, "archive")
        await wait_until(lambda: titles(pilot) == ["Bread"], "the archive")
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["Wine", "Bread"], "the undo")
        await choose(pilot, "archive")
        await wait_until(lambda: titles(pilot) == ["Bread"], "the archive")
        await pilot.press("ctrl+b", *"win")
        await wait_until(lambda: titles(pilot) == ["Wine"], "the search of the list")
        await pilot.press("escape", "ctrl+n")
        await open_shelf(pilot, ArchivedScreen, "Wine")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot) == ["Wine?"], "the conversation")
        assert titles(pilot) == ["Bread"]
        await say(pilot, "Again")
        await wait_until(lambda: titles(pilot) == ["Wine", "Bread"], "back with a new message")


async def test_the_archive_puts_back_and_says_when_it_is_empty(
    run_app: RunApp, paths: Paths
) -> None:
    ids = write(paths, "Bread", "Wine")
    async with run_app(ScriptedEngine()) as pilot:
        conversations = client(pilot).state.chat.conversations
        for id in ids.values():
            await conversations.set_archived(id, True)
        await open_shelf(pilot, ArchivedScreen, "Wine", "Bread")
        await pilot.press(*"bre", "f5")
        await wait_until(lambda: rows(pilot) == [], "it is put back")
        await pilot.press(*["backspace"] * 3, "f5")
        await wait_until(lambda: shelves.NOTHING_ARCHIVED in about(pilot), "nothing left")
        await pilot.press("f5", "enter", "escape")
        await wait_until(lambda: titles(pilot) == ["Wine", "Bread"], "the list")


async def test_tags_are_typed_chosen_and_removed(run_app: RunApp, paths: Paths) -> None:
    ids = write(paths, "Bread", "Wine")
    async with run_app(ScriptedEngine()) as pilot:
        conversations = client(pilot).state.chat.conversations
        await conversations.change_tags(ids["Bread"], add=["kitchen"])
        await pilot.press("ctrl+b")
        await choose(pilot, "tags")
        await wait_until(lambda: is_open(pilot, TagsScreen) and rows(pilot), "the tags")
        assert rows(pilot) == ["kitchen"]
        await pilot.press("enter")
        await wait_until(lambda: rows(pilot) == ["✓ kitchen"], "a tag that there is")
        await pilot.press(*"#work red", "enter")
        await wait_until(lambda: rows(pilot) == ["✓ kitchen", "✓ work", "✓ red"], "two new ones")
        await pilot.press("enter")
        await wait_until(lambda: rows(pilot) == ["✓ work", "✓ red", "kitchen"], "without one")
        await pilot.press("escape")
        assert (await conversations.get(ids["Wine"])).tags == ["work", "red"]
        await pilot.press(*"#wo")
        await wait_until(lambda: titles(pilot) == ["Wine"], "the search for a tag")
        await pilot.press(*["backspace"] * 3, *"#kit bre")
        await wait_until(lambda: titles(pilot) == ["Bread"], "a tag and letters")


async def test_the_trash_restores_and_removes_for_good(run_app: RunApp, paths: Paths) -> None:
    ids = write(paths, "Bread", "Wine", "Salt", "Here")
    async with run_app(ScriptedEngine()) as pilot:
        conversations = client(pilot).state.chat.conversations
        for name in ("Bread", "Wine", "Salt"):
            await conversations.delete(ids[name])
        await open_shelf(pilot, TrashScreen, "Salt", "Wine", "Bread")
        await pilot.press("delete", "down", "delete")
        await wait_until(lambda: about(pilot) == shelves.REMOVE_AGAIN, "the question")
        assert len(rows(pilot)) == 3
        await pilot.press("delete")
        await wait_until(lambda: rows(pilot) == ["Salt", "Bread"], "one is removed")
        await pilot.press("enter")
        await wait_until(lambda: texts(pilot) == ["Bread?"], "the restored one")
        await wait_until(lambda: titles(pilot) == ["Here", "Bread"], "the list")
        await open_shelf(pilot, TrashScreen, "Salt")
        await pilot.press("f8")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the question")
        await pilot.press("escape")
        await wait_until(lambda: rows(pilot) == ["Salt"], "nothing is removed")
        await pilot.press("f8")
        await wait_until(lambda: is_open(pilot, ConfirmDialog), "the question")
        await pilot.press("y")
        await wait_until(lambda: shelves.TRASH_IS_EMPTY in about(pilot), "the empty trash")
        await pilot.press("f8", "delete", "enter", "escape")
        assert await conversations.deleted_by_id() == {ids["Here"]: False, ids["Bread"]: False}


async def test_a_deleted_conversation_can_be_restored_in_two_ways(
    run_app: RunApp, paths: Paths
) -> None:
    write(paths, "Bread")
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("ctrl+b", "delete", "delete")
        await wait_until(lambda: titles(pilot) == [], "the deletion")
        await open_shelf(pilot, TrashScreen, "Bread")
        await pilot.press("enter")
        await wait_until(lambda: titles(pilot) == ["Bread"], "the restored one")
        await pilot.press("alt+z")
        await wait_until(lambda: texts(pilot) == ["Bread?"], "an undo that changes nothing")


async def test_what_was_removed_for_good_does_not_block_earlier_undos(
    run_app: RunApp, paths: Paths
) -> None:
    write(paths, "Bread", "Wine")
    async with run_app(ScriptedEngine()) as pilot:
        await pilot.press("ctrl+b", "down")
        await screen(pilot).run_command("archive")
        await wait_until(lambda: titles(pilot) == ["Wine"], "the archive")
        await pilot.press("home", "delete", "delete")
        await wait_until(lambda: titles(pilot) == [], "the deletion")
        await open_shelf(pilot, TrashScreen, "Wine")
        await pilot.press("delete", "delete")
        await wait_until(lambda: rows(pilot) == [], "it is removed")
        await pilot.press("escape", "alt+z")
        await wait_until(lambda: "no conversation has the id" in status(pilot), "the reason")
        await pilot.press("alt+z")
        await wait_until(lambda: titles(pilot) == ["Bread"], "the undo before")


async def test_without_a_conversation_there_is_nothing_to_organize(run_app: RunApp) -> None:
    async with run_app(ScriptedEngine()) as pilot:
        for action in ("pin_conversation", "archive", "tags"):
            await screen(pilot).run_command(action)
        await pilot.press("alt+shift+t")
        await wait_until(lambda: is_open(pilot, Palette), "the menu")
        offered = rows(pilot)
        assert [row.split()[0] for row in offered] == ["Archived", "Trash"]
        await pilot.press("escape")
