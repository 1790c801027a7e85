"""A conversation continues with its own model: what counts is the content, not the name."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from baize_tui.catalog.finding import find_model
from baize_tui.catalog.identity import known_sha256, model_sha256
from baize_tui.catalog.recipes import CatalogError, Recipe, recipe_file, write_recipe
from baize_tui.catalog.same_model import find_same_model
from baize_tui.chat.answer_options import Answerer, AnswerOptions
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
def engine() -> ScriptedEngine:
    return ScriptedEngine("Yes.")


@pytest.fixture
async def chat(paths: Paths, engine: ScriptedEngine) -> AsyncIterator[Chat]:
    store = open_store(paths.conversations_file)
    chat = Chat(store, engine, Settings(), paths.cache, LocalCatalog(paths))
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


async def test_a_file_of_the_same_name_whose_content_is_unknown_does_not_answer(
    chat: Chat, files: list[Path], paths: Paths, tmp_path: Path
) -> None:
    conversation = await conversation_with(chat, files[0])
    files[0].unlink()
    other = tmp_path / "other.gguf"
    other.write_bytes(b"other")
    await chat.use_model(chat.catalog.find_model(str(other)))
    write_recipe("ggml-model-q4_0", Recipe(file=str(files[1])), paths)
    failed = (await turn(chat, conversation))[-1]
    assert isinstance(failed, AnswerFailed)
    assert "no longer the model of this conversation" in failed.why
    with pytest.raises(CatalogError, match="no longer at"):
        chat.active_model.required_by(conversation)


async def test_a_file_that_was_replaced_overnight_does_not_answer(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    conversation = await conversation_with(chat, files[0])
    await chat.close()
    files[0].write_bytes(b"another quantization")
    store = open_store(paths.conversations_file)
    today = Chat(store, ScriptedEngine("Yes."), Settings(), paths.cache, LocalCatalog(paths))
    await today.use_model(today.catalog.find_model(str(files[0])))
    failed = (await turn(today, conversation))[-1]
    assert isinstance(failed, AnswerFailed)
    assert "no longer the model of this conversation" in failed.why
    await today.close()


async def test_a_model_that_was_moved_is_compared_and_answers(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    write_recipe("mine", Recipe(file=str(files[0])), paths)
    conversation = await conversation_with(chat, "mine")
    moved = files[0].with_name("moved.gguf")
    files[0].rename(moved)
    write_recipe("mine", Recipe(file=str(moved)), paths)
    await chat.use_model(chat.catalog.find_model(str(files[1])))
    assert isinstance((await turn(chat, conversation))[-1], AnswerFinished)
    assert chat.active_model.model is not None
    assert chat.active_model.model.path == moved


async def test_a_conversation_begun_before_a_model_was_loaded_gets_the_one_that_answers(
    chat: Chat, files: list[Path]
) -> None:
    begun = await chat.new_conversation()
    await chat.use_model(chat.catalog.find_model(str(files[0])))
    assert isinstance((await turn(chat, begun))[-1], AnswerFinished)
    begun = await chat.conversations.get(begun.id)
    assert (begun.model, begun.model_path) == ("ggml-model-q4_0", str(files[0]))
    await chat.use_model(chat.catalog.find_model(str(files[1])))
    assert not chat.active_model.is_model_of(begun)


async def test_a_file_opened_by_its_path_takes_nothing_from_a_recipe_over_it(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    conversation = await conversation_with(chat, files[0])
    write_recipe("doctor", Recipe(file=str(files[0]), format="baize"), paths)
    assert find_same("ggml-model-q4_0", conversation, paths) == "ggml-model-q4_0"
    await chat.use_model(chat.catalog.find_model(str(files[1])))
    await turn(chat, conversation)
    assert chat.active_model.model is not None
    assert chat.active_model.model.recipe.format is None


async def test_a_title_is_written_by_the_conversations_own_model(
    chat: Chat, engine: ScriptedEngine, files: list[Path]
) -> None:
    conversation = await conversation_with(chat, files[0])
    await chat.use_model(chat.catalog.find_model(str(files[1])))
    engine.title = "A greeting"
    assert await chat.suggest_title(conversation.id) == "A greeting"
    assert chat.active_model.model is not None
    assert chat.active_model.model.path == files[0]


async def test_options_are_those_of_the_model_that_answers(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    write_recipe("cool", Recipe(file=str(files[0]), sampling={"temperature": 0.1}), paths)
    write_recipe("hot", Recipe(file=str(files[1]), sampling={"temperature": 1.5}), paths)
    conversation = await conversation_with(chat, "cool")
    await chat.use_model(chat.catalog.find_model("hot"))
    assert chat.options.sampling(conversation).temperature == 0.1
    assert chat.options.sampling(None).temperature == 1.5


async def test_a_new_conversation_does_not_take_the_model_of_another_one(
    chat: Chat, files: list[Path]
) -> None:
    old = await conversation_with(chat, files[0])
    await chat.use_model(chat.catalog.find_model(str(files[1])))
    assert answering_path(await turn(chat, old)) == files[0]
    new = await chat.new_conversation()
    assert new.model_path == str(files[1])
    assert not chat.active_model.answers(None)
    assert answering_path(await turn(chat, new)) == files[1]


async def test_side_by_side_the_model_that_was_asked_for_answers_and_then_the_one_of_the_start(
    chat: Chat, files: list[Path], paths: Paths
) -> None:
    conversation = await conversation_with(chat, files[0])
    write_recipe("other", Recipe(file=str(files[1])), paths)
    chat.active_model.one_model = True
    other = AnswerOptions(answerer=Answerer("other"))
    events = [event async for event in chat.ask(conversation.id, "Both?", other)]
    assert answering_path(events) == files[1]
    assert answering_path(await turn(chat, conversation)) == files[0]


async def test_files_of_the_same_name_are_told_apart_by_their_folders(
    chat: Chat, files: list[Path]
) -> None:
    conversation = await conversation_with(chat, files[0])
    await chat.use_model(chat.catalog.find_model(str(files[1])))
    assert chat.active_model.names_apart(conversation) == (
        "vicuna/ggml-model-q4_0.gguf",
        "alpaca/ggml-model-q4_0.gguf",
    )


async def test_the_hash_of_a_model_in_several_files_is_of_all_of_them(
    tmp_path: Path, paths: Paths
) -> None:
    first = tmp_path / "m-00001-of-00002.gguf"
    second = tmp_path / "m-00002-of-00002.gguf"
    first.write_bytes(b"one ")
    second.write_bytes(b"two")
    assert model_sha256(first, paths.cache) == hashlib.sha256(b"one two").hexdigest()
    second.write_bytes(b"three")
    assert known_sha256(first, paths.cache) is None
    assert model_sha256(first, paths.cache) == hashlib.sha256(b"one three").hexdigest()


def answering_path(events: Sequence[object]) -> Path:
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    assert finished.message.provenance is not None
    return Path(finished.message.provenance["model_path"])


def find_same(name: str, conversation: Conversation, paths: Paths) -> str:
    return find_same_model(name, conversation.model_path, conversation.model_sha256, paths).name


def test_models_hashed_at_the_same_time_are_all_remembered(tmp_path: Path, paths: Paths) -> None:
    files = [tmp_path / f"{number}.gguf" for number in range(40)]
    for file in files:
        file.write_text(file.name)
    with ThreadPoolExecutor(8) as threads:
        hashes = list(threads.map(lambda file: model_sha256(file, paths.cache), files))
    assert [known_sha256(file, paths.cache) for file in files] == hashes
