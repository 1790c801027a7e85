"""Questions with a form, files, a persona or stop strings: what is asked, saved and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from baize_tui.catalog.personas import Persona
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFinished
from baize_tui.chat.exports.html_page import to_html
from baize_tui.chat.exports.markdown import to_markdown
from baize_tui.chat.forms import ANY_JSON, form_from_file, regex_form
from baize_tui.chat.persona_settings import with_persona, without_persona
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine.grammars.errors import UnusableForm
from baize_tui.output_forms import OutputForm
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, Settings
from baize_tui.store.conversations import Store
from baize_tui.store.draft_parts import as_written
from baize_tui.store.records import Message
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model
from tests.chat.test_chat import collect, only

SCHEMA = OutputForm("json_schema", '{"required": ["age"], "properties": {"age": {}}}', "p.json")


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine('{"age": ', "36}")


@pytest.fixture
async def chat(engine: ScriptedEngine, paths: Paths, tmp_path: Path) -> AsyncIterator[Chat]:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    scripted = model(str(file))
    store = StoreThread(Store(paths.conversations_file))
    chat = Chat(store, engine, Settings(), paths.cache, ScriptedCatalog(lambda _: scripted))
    await chat.use_model(scripted)
    yield chat
    await chat.close()


async def ask(chat: Chat, form: OutputForm | None) -> Message:
    conversation = await chat.new_conversation()
    events = await collect(chat.ask(conversation.id, "Who?", form=form))
    return only(events, AnswerFinished).message


async def test_every_answer_to_a_question_has_its_form(chat: Chat, engine: ScriptedEngine) -> None:
    answer = await ask(chat, SCHEMA)
    await collect(chat.regenerate(answer.id))
    assert engine.requests[0].grammar == engine.requests[1].grammar != ""
    assert [request.form for request in engine.requests] == [SCHEMA, SCHEMA]
    saved = await chat.messages.get(answer.id)
    assert saved.made is not None
    assert saved.made.form is not None
    assert saved.made.form.problem == ""
    assert saved.provenance is not None
    assert saved.provenance["form_source"] == SCHEMA.source
    await collect(chat.ask(answer.conversation_id, "And now freely"))
    assert engine.requests[-1].grammar == ""


@pytest.mark.parametrize(
    ("script", "form", "problem"),
    [
        (['{"name": "Ada"}'], SCHEMA, "data must contain ['age'] properties"),
        (["{"], ANY_JSON, "not JSON"),
        (["[1]"], ANY_JSON, ""),
        (["yes"], regex_form("yes|no"), ""),
    ],
)
async def test_an_answer_is_checked(
    script: list[str], form: OutputForm, problem: str, chat: Chat, engine: ScriptedEngine
) -> None:
    engine.script = [*script]
    made = (await ask(chat, form)).made
    assert made is not None
    assert made.form is not None
    assert made.form.problem.startswith(problem) if problem else made.form.problem == ""


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (regex_form("("), r"\(: not a regular expression"),
        (OutputForm("json_schema", "{", "p.json"), "p.json: the schema is not JSON"),
        (OutputForm("grammar", "wrong", "a.gbnf"), "a.gbnf: the grammar cannot be read"),
        (OutputForm("grammar", " ", "a.gbnf"), "a.gbnf: the grammar is empty"),
    ],
)
async def test_a_wrong_form_is_one_line_before_anything_is_sent(
    form: OutputForm, why: str, chat: Chat, engine: ScriptedEngine
) -> None:
    with pytest.raises(UnusableForm, match=why):
        await chat.check_form(form)
    assert engine.requests == []


async def test_what_no_grammar_expresses_is_said(chat: Chat) -> None:
    form = OutputForm("json_schema", '{"type": "integer", "minimum": 3}', "n.json")
    assert "minimum at the top" in await chat.check_form(form)
    assert await chat.check_form(SCHEMA) == ""


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_of_a_form_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(UnusableForm, match="/a: "):
        form_from_file("json_schema", tmp_path / "a")


async def test_a_conversation_goes_on_after_its_file_is_gone(
    chat: Chat, engine: ScriptedEngine, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("The meeting is at noon.")
    conversation = await chat.new_conversation()
    attached = await chat.attaching.attach("notes.txt", tmp_path, conversation, "When?")
    written = as_written(("When? ", attached.paste))
    file.unlink()
    asked = chat.ask(conversation.id, written.text, attachments=written.attachments)
    answer = only(await collect(asked), AnswerFinished).message
    await collect(chat.ask(conversation.id, "Sure?"))
    assert "The meeting is at noon." in engine.requests[-1].prompt.messages[1].content
    assert answer.parent_id is not None
    (kept,) = (await chat.messages.get(answer.parent_id)).attachments
    assert (kept.name, kept.tokens > 0) == ("notes.txt", True)
    tree = await chat.conversations.tree(await chat.conversations.get(conversation.id))
    for page in (to_markdown(tree).decode(), to_html(tree).decode()):
        assert "<summary>notes.txt (" in page
        assert "The meeting is at noon." in page


async def test_a_file_is_cut_to_the_context(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("word " * 5000)
    conversation = await chat.new_conversation()
    attached = await chat.attaching.attach("long.txt", tmp_path, conversation, "")
    assert attached.paste.tokens < 1000  # the context of the scripted engine
    assert "are left out" in attached.notes[0]
    asked = chat.ask(conversation.id, attached.paste.text)
    assert only(await collect(asked), AnswerFinished).reason == "stop"


PIRATE = Persona("You are a pirate.", stop=("THE END",), sampling={"temperature": 1.2})


async def test_a_conversation_keeps_the_settings_of_its_persona(
    chat: Chat, engine: ScriptedEngine
) -> None:
    chat.persona = ("pirate", PIRATE)
    conversation = await chat.new_conversation()
    chat.persona = None  # such as after a restart, or when its file is gone
    await collect(chat.ask(conversation.id, "Hi"))
    (request,) = engine.requests
    assert request.prompt.messages[0].content.startswith("You are a pirate.")
    assert (request.sampling.temperature, request.stop) == (1.2, ["THE END"])
    defaults = ChatSettings()
    plain = without_persona(conversation, defaults)
    assert with_persona(plain, "pirate", PIRATE, defaults) == msgspec.structs.replace(
        conversation, persona="pirate"
    )
    assert (plain.stop, plain.sampling, plain.persona) == ((), {}, "")
