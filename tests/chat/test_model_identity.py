"""A conversation continues with its own model: what counts is the content, not the name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.recipes import CatalogError, Recipe, find_model, recipe_file, write_recipe
from baize_tui.catalog.same_model import find_same_model
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFailed, AnswerFinished, LoadingModel
from baize_tui.chat.store_thread import open_store
from baize_tui.cli.open_chat import LocalCatalog
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.store.records import Conversation
from tests.chat.scripted_engine import ScriptedEngine
from tests.conftest import wait_until


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two models whose files have the same name, as many repositories have them."""
    made = []
    for folder in ("alpaca", "vicuna"):
        file = tmp_path / folder / "ggml-model-q4_0.gguf"
        file.parent.mkdir()
        file.write_bytes(folder.encode())
        made.append(file)
    return made


@pytest.fixture
async def chat(paths: Paths) -> AsyncIterator[Chat]:
    store = open_store(paths.conversations_file)
    chat = Chat(store, ScriptedEngine("Yes."), Settings(), paths.cache, LocalCatalog(paths))
    yield chat
    await chat.close()


async def conversation_with(chat: Chat, model: Path | str, *, hashed: bool = True) -> Conversation:
    """A conversation of one turn with ``model``, once the hash of that is known or before."""
    await chat.use_model(chat.catalog.find_model(str(model)))
    if hashed:
        await wait_until(lambda: chat.active_model.known_sha256 is not None)
    conversation = await chat.new_conversation()
    assert isinstance((await turn(chat, conversation))[-1], AnswerFinished)
    return await chat.conversations.get(conversation.id)


async def turn(chat: Chat, conversation: Conversation) -> list[object]:
    return [event async for event in chat.ask(conversation.id, "Hi")]


async def test_files_of_the_same_name_are_different_models(chat: Chat, files: list[Path]) -> None:
    first = await conversation_with(chat, files[0])
    await conversation_with(chat, files[1])
    assert chat.active_model.required_by(first) is not None, "the other file is loaded"
    events = await turn(chat, first)
    assert any(isinstance(event, LoadingModel) for event in events)
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    assert finished.message.provenance is not None
    assert finished.message.provenance["model_path"] == str(files[0])


async def test_the_hash_reaches_a_conversation_that_began_before_it_was_known(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    conversation = await conversation_with(chat, files[0], hashed=False)
    wanted = model_sha256(files[0], paths.cache)

    await wait_until(lambda: chat.active_model.known_sha256 == wanted)
    if conversation.model_sha256 is None:  # the answer ended first
        assert isinstance((await turn(chat, conversation))[-1], AnswerFinished)
        conversation = await chat.conversations.get(conversation.id)
    assert conversation.model_sha256 == wanted


async def test_a_renamed_recipe_is_the_same_model(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    write_recipe("old", Recipe(file=str(files[0])), paths)
    conversation = await conversation_with(chat, "old")
    recipe_file("old", paths).rename(recipe_file("new", paths))
    assert find_same("old", conversation, paths) == "new"
    await chat.use_model(chat.catalog.find_model("new"))
    assert chat.active_model.is_model_of(conversation)


async def test_a_moved_file_is_the_same_model(chat: Chat, files: list[Path], paths: Paths) -> None:
    conversation = await conversation_with(chat, files[0])
    moved = files[0].with_name("moved.gguf")
    files[0].rename(moved)
    with pytest.raises(CatalogError, match="no longer at"):
        find_same("ggml-model-q4_0", conversation, paths)
    write_recipe("moved", Recipe(file=str(moved)), paths)
    model_sha256(moved, paths.cache)
    assert find_same("ggml-model-q4_0", conversation, paths) == "moved"


async def test_another_content_at_the_same_path_does_not_answer(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    conversation = await conversation_with(chat, files[0])
    files[0].write_bytes(b"another model")
    await chat.use_model(chat.catalog.find_model(str(files[0])))
    await wait_until(lambda: chat.active_model.known_sha256 is not None)
    failed = (await turn(chat, conversation))[-1]
    assert isinstance(failed, AnswerFailed)
    assert "no longer the model of this conversation" in failed.why
    chosen = chat.active_model.assign_to(conversation, find_model(str(files[0]), paths))
    await chat.conversations.set_options(chosen)
    assert isinstance((await turn(chat, conversation))[-1], AnswerFinished)


async def test_two_recipes_over_one_file_stay_apart(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    for name in ("plain", "doctor"):
        write_recipe(name, Recipe(file=str(files[0])), paths)
    conversation = await conversation_with(chat, "doctor")
    await chat.use_model(chat.catalog.find_model("plain"))
    required = chat.active_model.required_by(conversation)
    assert required is not None
    assert required.name == "doctor"


async def test_a_conversation_from_before_paths_were_kept_goes_by_the_name(
    chat: Chat, files: list[Path], paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gone").write_text("a file of this name in the folder where the client starts")
    write_recipe("mine", Recipe(file=str(files[0])), paths)
    await chat.use_model(chat.catalog.find_model("mine"))
    old = await chat.conversations.create(system="", moderation=False, model="mine")
    assert chat.active_model.is_model_of(old)
    gone = await chat.conversations.create(system="", moderation=False, model="gone")
    with pytest.raises(CatalogError, match="gone, is no longer on this machine: choose"):
        chat.active_model.required_by(gone)


def find_same(name: str, conversation: Conversation, paths: Paths) -> str:
    return find_same_model(name, conversation.model_path, conversation.model_sha256, paths).name
