"""Conversations that move between this computer and servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from baize_tui.catalog.finding import find_model, model_on_server
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.catalog.same_model import find_same_model
from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import (
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    ChatEvent,
    TurnsDropped,
    WordsLeave,
)
from baize_tui.chat.store_thread import open_store
from baize_tui.cli.open_chat import open_chat
from baize_tui.engine.client import EngineFailure
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, Settings
from tests.engine.remote.streaming_server import (
    StreamingServer,
    refuse,
    send_json,
    serve,
    stream,
)
from tests.real_server import serve_model


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as another computer."""
    monkeypatch.setattr(
        "baize_shared.server_address.ServerAddress.is_this_computer", property(lambda _: False)
    )


@asynccontextmanager
async def opened(paths: Paths, settings: Settings | None = None) -> AsyncIterator[Chat]:
    chat = open_chat(open_store(paths.conversations_file), settings or Settings(), paths)
    try:
        yield chat
    finally:
        await chat.close(save_state=False)


async def ask(chat: Chat, conversation_id: str, text: str) -> list[ChatEvent]:
    return [event async for event in chat.ask(conversation_id, text)]


def answer_in(events: list[ChatEvent]) -> AnswerFinished:
    last = events[-1]
    assert isinstance(last, AnswerFinished), last
    return last


async def start(chat: Chat, server: StreamingServer) -> str:
    await chat.use_model(model_on_server(server.spec))
    return (await chat.new_conversation()).id


async def test_a_conversation_is_held_with_a_server_and_kept(paths: Paths) -> None:
    with serve(stream("Hello ", "there.")) as server:
        async with opened(paths) as chat:
            id = await start(chat, server)
            answer = answer_in(await ask(chat, id, "Hi")).message
            conversation = await chat.conversations.get(id)
        assert (conversation.model, conversation.model_path) == ("plum", server.spec)
        assert conversation.model_sha256 is None
        assert (answer.text, answer.ids or []) == ("Hello there.", [])
        made = answer.provenance or {}
        assert (made["model"], made["server"]) == ("plum", server.host)
        assert (made["model_path"], made["prompt_tokens"]) == (server.spec, 12)
        # Another client continues it with the same server, without being told.
        async with opened(paths) as chat:
            answer_in(await ask(chat, id, "And you?"))
    roles = [message["role"] for message in server.questions[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert server.questions[-1]["messages"][0]["content"].startswith("You are a helpful AI")
    assert "Decline to engage" in server.questions[-1]["messages"][0]["content"]


async def test_a_conversation_moves_to_a_server_and_back(
    paths: Paths, shallow_smollm2: Path, elsewhere: None
) -> None:
    settings = Settings(chat=ChatSettings(max_tokens=8))
    with serve(stream("Plums are ripe.")) as server:
        async with opened(paths, settings) as chat:
            local = find_model(str(shallow_smollm2), paths)
            await chat.use_model(local)
            id = (await chat.new_conversation()).id
            first = await ask(chat, id, "What is the capital of France?")
            assert answer_in(first).message.ids
            assert not any(isinstance(event, WordsLeave) for event in first)

            await move(chat, id, model_on_server(server.spec))
            second = await ask(chat, id, "And of plums?")
            assert [e.line for e in second if isinstance(e, WordsLeave)] == [
                f"your words leave this computer: they go to {server.host}, with 2 earlier messages"
            ]
            assert answer_in(second).message.text == "Plums are ripe."
            third = await ask(chat, id, "And then?")
            assert not any(isinstance(event, WordsLeave) for event in third), "it is known by now"

            await move(chat, id, local)
            fourth = answer_in(await ask(chat, id, "What is the capital of Italy?"))
            assert fourth.message.ids, "generated here again"
            assert fourth.stats.prompt_tokens > 60, "it has read what the server wrote"
    sent = server.questions[-1]["messages"]
    assert [m["role"] for m in sent][1:] == ["user", "assistant"] * 2 + ["user"]
    assert "France" in sent[1]["content"]
    assert len(server.questions) == 2, "what was asked here afterwards stayed here"


async def move(chat: Chat, id: str, model: CatalogModel) -> None:
    """As the screen does it."""
    conversation = await chat.conversations.get(id)
    await chat.conversations.set_options(chat.active_model.assign_to(conversation, model))
    await chat.use_model(model)


async def test_the_only_model_gets_its_name_when_it_is_loaded(paths: Paths) -> None:
    with serve() as server:
        async with opened(paths) as chat:
            await chat.use_model(find_model(f"server:{server.url}", paths))
            id = (await chat.new_conversation()).id
            answer_in(await ask(chat, id, "Hi"))
            conversation = await chat.conversations.get(id)
            assert (conversation.model, conversation.model_path) == ("plum", server.spec)
            assert chat.active_model.answers(conversation)


async def test_a_conversation_without_the_name_of_the_model_needs_no_other(paths: Paths) -> None:
    """A person may choose the server, and write, before it has said what it has."""
    with serve() as server:
        async with opened(paths) as chat:
            nameless = find_model(f"server:{server.url}", paths)
            await chat.use_model(nameless)
            conversation = await chat.new_conversation()
            await chat.conversations.set_options(
                chat.active_model.assign_to(conversation, nameless)
            )
            asked = await chat.conversations.get(conversation.id)
            assert asked.model_path == f"server:{server.url}"
            assert chat.active_model.required_by(asked) is None
            assert chat.active_model.is_model_of(asked)
            answer_in(await ask(chat, conversation.id, "Hi"))
    assert len([r for r in server.received if r.path == "/v1/models"]) == 1


async def test_a_recipe_names_a_server(paths: Paths) -> None:
    paths.recipes_folder.mkdir(parents=True)
    with serve() as server:
        recipe = f'server = "{server.spec}"\ntitle = "The cluster"\nsampling = {{top_k = 7}}\n'
        (paths.recipes_folder / "cluster.toml").write_text(recipe, "utf-8")
        async with opened(paths) as chat:
            await chat.use_model(find_model("cluster", paths))
            id = (await chat.new_conversation()).id
            answer_in(await ask(chat, id, "Hi"))
            conversation = await chat.conversations.get(id)
        assert (conversation.model, conversation.model_path) == ("cluster", server.spec)
        assert server.questions[0]["top_k"] == 7
        assert find_same_model("cluster", server.spec, None, paths).title == "The cluster"
    (paths.recipes_folder / "cluster.toml").unlink()
    assert find_same_model("cluster", server.spec, None, paths).location == server.spec


async def test_a_server_is_never_the_default_unless_it_is_chosen(paths: Paths) -> None:
    paths.recipes_folder.mkdir(parents=True)
    file = paths.recipes_folder / "aaa.toml"
    file.write_text('server = "server:https://example.org/v1#m"\n', "utf-8")
    async with opened(paths) as chat:
        assert chat.default_model().recipe.server is None


@pytest.mark.parametrize(
    "spec",
    [
        "server:",
        "server:localhost:8000",
        "server:ftp://localhost/v1",
        "server:http://",
        "server:http://[::1",
        "server:http://localhost:99999999/",
        "server:http://user:secret@localhost/v1",
        "server:http://localhost/v1?key=secret",
        "server:http://löcalhost/v1",
        "server:http://local host/v1",
        "server:http://localhost\x1b/v1",
        "server:http://localhost/v1#\x1b[2J",
    ],
    ids=ascii,
)
def test_what_is_no_address_is_one_line(spec: str, paths: Paths) -> None:
    with pytest.raises(CatalogError) as caught:
        find_model(spec, paths)
    assert "\n" not in str(caught.value)
    if "secret" in spec and "@" in spec:
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("most", "drops"), [(3600, 1), (2500, 2), (1300, 2)])
async def test_a_full_context_drops_the_oldest_turns(most: int, drops: int, paths: Paths) -> None:
    """Where nobody says how many tokens there are, it may take more than one attempt."""
    with serve(stream("So.", usage=None)) as server:
        server.lists({"id": "plum", "owned_by": "someone"})
        async with opened(paths) as chat:
            id = await start(chat, server)
            for number in range(6):
                answer_in(await ask(chat, id, f"{number} " + "word " * 200))

            def refuse_long(handler: object) -> None:
                sent = server.questions[-1]["messages"]
                is_long = sum(len(message["content"]) for message in sent) > most
                respond = refuse(400, "prompt is too long") if is_long else stream("Short.")
                respond(handler)  # type: ignore[arg-type]

            server.answers = [refuse_long]
            events = await ask(chat, id, "6 " + "word " * 200)
    assert answer_in(events).message.text == "Short."
    dropped = [event.messages_dropped for event in events if isinstance(event, TurnsDropped)]
    assert len(dropped) == drops
    assert dropped == sorted(set(dropped))
    sent = server.questions[-1]["messages"]
    assert sent[0]["role"] == "system"
    assert sent[-1]["content"].startswith("6 ")


async def test_a_context_that_holds_not_even_the_question(paths: Paths) -> None:
    error = {"code": "context_length_exceeded", "message": "maximum context length is 16 tokens"}
    with serve(send_json({"error": error}, 400)) as server:
        server.lists({"id": "plum", "owned_by": "someone"})
        async with opened(paths) as chat:
            id = await start(chat, server)
            events = await ask(chat, id, "word " * 300)
    last = events[-1]
    assert isinstance(last, AnswerFailed)
    assert last.why.startswith("the message is too long")


async def test_what_a_server_said_before_a_fault_is_kept(paths: Paths) -> None:
    with serve(stream("Half ", "more", drop_at=1), stream("Whole.")) as server:
        async with opened(paths) as chat:
            id = await start(chat, server)
            failed = (await ask(chat, id, "Hi"))[-1]
            assert isinstance(failed, AnswerFailed)
            assert failed.message is not None
            assert (failed.message.text, failed.message.state) == ("Half ", "failed")
            whole = answer_in([event async for event in chat.regenerate(failed.message.id)])
            assert whole.message.text == "Whole."


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
async def test_offline_refuses_every_other_computer(
    value: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    hosts = ("example.org", "10.0.0.1", "[2001:db8::1]", "localhost.example.org", "0.0.0.0")
    async with opened(paths) as chat:
        for host in hosts:
            with pytest.raises(EngineFailure) as caught:
                await chat.use_model(model_on_server(f"server:http://{host}/v1#m"))
            assert str(caught.value) == (
                f"{host} is not this computer, and the network is forbidden (--offline)"
            )
        with serve() as server:
            id = await start(chat, server)
            answer_in(await ask(chat, id, "Hi"))


async def test_offline_a_conversation_of_another_computer_fails_in_one_line(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, elsewhere: None
) -> None:
    with serve() as server:
        async with opened(paths) as chat:
            id = await start(chat, server)
            answer_in(await ask(chat, id, "Hi"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        asked = len(server.received)
        async with opened(paths) as chat:
            failed = (await ask(chat, id, "Again"))[-1]
    assert isinstance(failed, AnswerFailed)
    assert "the network is forbidden" in failed.why
    assert len(server.received) == asked


async def test_nothing_is_sent_before_a_person_asks(paths: Paths, elsewhere: None) -> None:
    with serve() as server:
        async with opened(paths) as chat:
            id = await start(chat, server)
            conversation = await chat.conversations.get(id)
            await chat.prepare(conversation, None, "A draft that nobody has sent")
            use = await chat.count_context(conversation, None, "A draft that nobody has sent")
    assert use is not None
    assert use.is_estimate
    assert [received.path for received in server.received] == ["/v1/models"]
    assert "draft" not in str(server.received)


async def test_the_key_is_not_in_the_store(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-plum-0123456789"
    with serve(refuse(500, f"your key {key} is fine"), stream("So.")) as server:
        monkeypatch.setenv("BAIZE_SERVER_KEY", f"{server.host}={key}")
        async with opened(paths) as chat:
            id = await start(chat, server)
            await ask(chat, id, "Hi")
            answer_in(await ask(chat, id, "Hi again"))
    assert {received.key for received in server.received} == {key}
    folders = (paths.config, paths.data, paths.cache, paths.logs)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert files
    assert not any(key.encode() in file.read_bytes() for file in files)


async def test_how_long_a_server_may_be_silent_is_a_setting(paths: Paths) -> None:
    settings = msgspec.convert({"model": {"server_silence_s": 1.0}}, Settings)
    with serve(stream("Half ", "more", stall_at=1)) as server:
        async with opened(paths, settings) as chat:
            failed = (await ask(chat, await start(chat, server), "Hi"))[-1]
    assert isinstance(failed, AnswerFailed)
    assert failed.why == f"{server.host} has sent nothing for 1 s"
    assert failed.message is not None
    assert failed.message.text == "Half "


async def test_a_title_is_written_by_the_server(paths: Paths) -> None:
    with serve(stream("So."), stream("Title: Plums")) as server:
        async with opened(paths) as chat:
            id = await start(chat, server)
            await ask(chat, id, "Hi")
            assert await chat.suggest_title(id) == "Plums"


async def test_a_real_server(smollm2: Path, paths: Paths) -> None:
    """It answers, streams, and drops the oldest turns where its context is full."""
    small = ("--n_ctx", "256", "--chat_format", "chatml")
    options = AnswerOptions(sampling={"temperature": 0.0, "seed": 1}, max_tokens=16)
    with serve_model(smollm2, *small) as url:
        async with opened(paths) as chat:
            await chat.use_model(find_model(f"server:{url}", paths))
            id = (await chat.new_conversation()).id
            events = [e async for e in chat.ask(id, "What is the capital of France?", options)]
            assert "Paris" in answer_in(events).message.text
            assert sum(isinstance(event, AnswerText) for event in events) > 3, "it streams"
            conversation = await chat.conversations.get(id)
            assert conversation.model_path == f"server:{url}/v1#smollm2"
            short = msgspec.structs.replace(options, max_tokens=4)
            dropped = 0
            for number in range(2):
                events = [e async for e in chat.ask(id, f"{number} " + "word " * 100, short)]
                answer_in(events)
                dropped += sum(isinstance(event, TurnsDropped) for event in events)
            assert dropped
            events = [e async for e in chat.ask(id, "word " * 300, short)]
            assert isinstance(events[-1], AnswerFailed)
            assert events[-1].why.startswith("the message is too long")
