"""A home in which every text that comes from outside attacks the terminal.

Each source of text has a tag of its own, so a test can see which sources have reached the screen.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from baize_tui.paths import Paths
from baize_tui.store.backups import back_up
from baize_tui.store.conversations import Store
from baize_tui.store.records import Paste, Unsent
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import convert_folder
from tests.engine.lora_files import write_lora
from tests.terminal.terminal_bytes import NUL, SURROGATE, hostile, hostile_name

SOURCES = {
    "Qfile": "the name of a model's file",
    "Qgguf": "the metadata of a GGUF",
    "Qrecipe": "a model's recipe",
    "Qstem": "the name of a recipe's file",
    "Qlora": "an adapter's recipe",
    "Qtheme": "a theme",
    "Qpersona": "a persona",
    "Qprompt": "a prompt with its variables",
    "Qattached": "an attached file and its name",
    "Qform": "the form of an answer",
    "Qconfig": "the settings",
    "Qtitle": "the title of a conversation, written by another program",
    "Qtag": "a tag of it",
    "Qbranch": "the name of a branch",
    "Qput away": "the title of an archived conversation, and of a deleted one",
    "Qsystem": "its system prompt, model, format, adapters",
    "Qquestion": "a question",
    "Qanswer": "an answer with its thought and provenance",
    "Qdraft": "a draft",
    "Qpaste": "a paste in a draft",
    "Qcorpus": "a corpus",
    "Qcorpname": "the name of a corpus",
    "Qbase": "a checkpoint: its folder, configuration, card and template",
    "Qpeft": "an adapter's folder and configuration",
    "Qchats": "an export of another program",
    "Qserver": "answers of a server",
    "Qhub": "names of files on a hub, and what they contain",
    "Qtyped": "what is typed on the command line",
}
"""The tags and what they stand for."""


@dataclass(frozen=True)
class World:
    """The files of the sources."""

    paths: Paths
    folder: Path
    model: Path
    """A small model that llama.cpp can run."""
    lora: Path
    """A GGUF LoRA for it."""
    session: str
    """The id of the conversation."""
    corpus: Path
    seeds: Path
    base: Path
    """A checkpoint as a folder."""
    peft: Path
    """An adapter for the checkpoint."""
    chats: Path
    """Conversations of another program."""
    backup: Path


def build_world(paths: Paths, folder: Path, model: Path) -> World:
    """Fill the home ``paths``, and ``folder``, which must not exist; ``model`` is the folder that
    ``write_model`` has made."""
    folder.mkdir(parents=True)
    (made,) = model.glob("*.gguf")
    model = folder / hostile_name("Qfile") / made.name
    model.parent.mkdir()
    model.symlink_to(made)
    lora = write_lora(folder / "lora.gguf", {"blk.0.attn_q.weight": (16, 16)})
    _write_recipes(paths, model, lora)
    _write_settings(paths)
    _write_personas_and_prompts(paths)
    session = _write_conversation(paths, model)
    return World(
        paths=paths,
        folder=folder,
        model=model,
        lora=lora,
        session=session,
        seeds=_write_seeds(folder / f"{hostile_name('Qcorpname')}.txt"),
        corpus=_write_corpus(folder / f"{hostile_name('Qcorpname')}.jsonl"),
        base=_write_base(folder / hostile_name("Qbase")),
        peft=_write_peft(folder / hostile_name("Qpeft")),
        chats=_write_chats(folder / hostile_name("Qchats")),
        backup=_write_backup(paths, folder / hostile_name("Qchats backup")),
    )


def hub_folders(world: World) -> dict[str, Path]:
    """Repositories of a hub by name; each has files whose names attack."""
    hub = world.folder / "hub"
    for kind in ("names", "folders", "adapters", "weights", "outside"):
        folder = hub / kind
        folder.mkdir(parents=True)
        for ending in ("gguf", "safetensors", "json", "txt"):
            (folder / f"{hostile_name('Qhub')}.{ending}").write_bytes(b"{}")
    for name in ("one", "two"):
        text = f"Qhub {name} $(reboot) `reboot` -rf 'a \" 白"
        (hub / "names" / f"{text}.gguf").write_bytes(b"GGUF")
        for kind in ("folders", "adapters"):
            (hub / kind / text).mkdir()
        (hub / "folders" / text / "config.json").write_text("{}")
        (hub / "adapters" / text / "adapter_config.json").write_text("{}")
    shutil.copytree(BASE, hub / "weights", dirs_exist_ok=True)
    card = {"license": hostile("Qhub"), "tags": [hostile("Qhub")]}
    (hub / "weights" / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n", "utf-8")
    return {f"owner/{folder.name}": folder for folder in hub.iterdir()} | {
        "owner/adapter": world.peft
    }


OUTSIDE = {"owner/outside": [f"../{hostile('Qhub')}.gguf", hostile("Qhub")]}
"""Names that a listing has, although no repository can have such files."""


def toml(values: Mapping[str, object]) -> str:
    """``values`` as lines of TOML, with everything escaped that TOML does not allow."""
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in values.items())


def _toml_value(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    escaped = (
        f"\\u{ord(char):04x}" if ord(char) < 0x20 or char in '"\\\x7f' else char for char in value
    )
    return f'"{"".join(escaped)}"'


# --- models -----------------------------------------------------------------------------------


def _write_base(folder: Path) -> Path:
    shutil.copytree(BASE, folder)
    card = {"license": hostile("Qbase"), "base_model": [hostile("Qbase")], "tags": [hostile("Q")]}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n", "utf-8")
    config = folder / "tokenizer_config.json"
    changed = json.loads(config.read_text()) | {
        "chat_template": "{{ messages[-1].content }} " + hostile("Qbase"),
        "model_name": hostile("Qbase", NUL),
    }
    config.write_text(json.dumps(changed))
    return folder


def write_model(folder: Path) -> None:
    """Write a small model that llama.cpp can run, with hostile metadata and name; nothing else is
    in ``folder``, which must not exist."""
    folder.mkdir()
    plain, model = folder / "plain", folder / f"{hostile_name('Qfile')}.gguf"
    convert_folder(BASE, "F32", plain)
    reader = GGUFReader(plain)
    writer = GGUFWriter(model, "llama")
    text = MetadataDetails(GGUFValueType.STRING, hostile("Qgguf", NUL))
    template = "{{ messages[-1].content }}{# " + hostile("Qgguf") + " #}"
    changes = {
        **dict.fromkeys(
            (
                "general.name",
                "general.license",
                "general.basename",
                "general.quantized_by",
                "general.source.url",
                "general.base_model.0.name",
                "general.base_model.0.organization",
                "general.base_model.0.repo_url",
                "baize.convert.base.repository",
                "baize.convert.adapter.0.name",
                hostile("Qgguf"),
            ),
            text,
        ),
        "tokenizer.chat_template": MetadataDetails(GGUFValueType.STRING, template),
    }
    copy_with_new_metadata(reader, writer, changes, [])
    plain.unlink()


def _write_recipes(paths: Paths, model: Path, lora: Path) -> None:
    texts = {
        "title": hostile("Qrecipe", NUL),
        "description": hostile("Qrecipe", NUL),
        "license": hostile("Qrecipe"),
        "notice": hostile("Qrecipe"),
    }
    domain = {"name": hostile("Qrecipe"), "disclaimer": hostile("Qrecipe", NUL)}
    models, adapters = paths.recipes_folder, paths.recipes_folder / "adapters"
    adapters.mkdir(parents=True)
    recipe = toml({"file": str(model), **texts})
    (models / "mine.toml").write_text(f"{recipe}[domain]\n{toml(domain)}")
    (models / "elsewhere.toml").write_text(toml({"base": f"/{hostile('Qrecipe')}", **texts}))
    (models / "gone.toml").write_text(toml({"file": f"/{hostile('Qrecipe')}.gguf", **texts}))
    (models / "broken.toml").write_text(toml({"file": "a", hostile("Qrecipe"): 1}))
    (models / f"{hostile_name('Qstem')}.toml").write_text(toml({"file": str(model)}))
    texts |= {"title": hostile("Qlora"), "description": hostile("Qlora")}
    (adapters / "lora.toml").write_text(toml({"file": str(lora), **texts}))
    for_another = toml({"file": str(lora), "base": hostile("Qlora"), "over": hostile("Qlora")})
    (adapters / "other.toml").write_text(for_another)
    (adapters / f"{hostile_name('Qstem')}.toml").write_text(toml({"file": str(lora)}))


def _write_peft(folder: Path) -> Path:
    shutil.copytree(FOLDER / "plain", folder, ignore=shutil.ignore_patterns("merged*", "*.bin"))
    file = folder / "adapter_config.json"
    changed = json.loads(file.read_text()) | {
        "base_model_name_or_path": hostile("Qpeft", NUL),
        "revision": hostile("Qpeft"),
    }
    file.write_text(json.dumps(changed))
    return folder


# --- settings and conversations ---------------------------------------------------------------


def _write_settings(paths: Paths) -> None:
    settings = (
        f"[model]\n{toml({'default': 'mine'})}"
        f"[chat]\n{toml({'system': hostile('Qconfig', NUL)})}"
        f"[look]\n{toml({'theme': hostile('Qconfig')})}"
        "[sampling]\nseed = 1\n"
    )
    paths.settings_file.write_text(settings)
    paths.themes_folder.mkdir()
    (paths.themes_folder / f"{hostile_name('Qtheme')}.toml").write_text(toml({"primary": "red"}))
    (paths.themes_folder / "broken.toml").write_text(toml({"primary": hostile("Qtheme", NUL)}))


def _write_personas_and_prompts(paths: Paths) -> None:
    persona = {key: hostile("Qpersona", NUL) for key in ("system", "description", "greeting")}
    snippet = {"text": "{{topic}} " + hostile("Qprompt"), "description": hostile("Qprompt", NUL)}
    default = f"[variables]\n{toml({'topic': hostile('Qprompt')})}"
    for folder, name, content in (
        (paths.personas_folder, "mine", toml(persona)),
        (paths.personas_folder, hostile_name("Qpersona"), toml(persona)),
        (paths.personas_folder, "broken", toml({"system": 1, hostile("Qpersona"): 1})),
        (paths.prompts_folder, "mine", toml(snippet) + default),
        (paths.prompts_folder, hostile_name("Qprompt"), toml(snippet)),
    ):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.toml").write_text(content, "utf-8")


def _write_conversation(paths: Paths, model: Path) -> str:
    """Texts as another program writes them, which does not sanitize."""
    store = Store(paths.conversations_file)
    for put_away in (store.delete, lambda id: store.organizer.set_archived(id, True)):
        put_away(store.new_conversation(system="", moderation=True, title="Q").id)
    conversation = store.new_conversation(system="", moderation=True)
    question = store.add_message(conversation.id, None, "user", "")
    answer = store.add_message(conversation.id, question.id, "assistant", "")
    other = store.add_message(conversation.id, question.id, "assistant", "")
    store.set_leaf(conversation.id, answer.id)
    store.unsent.save(Unsent("a", "draft", conversation.id, ("", Paste("long"))))
    store.unsent.save(Unsent("b", "queued", conversation.id, ("waits",)))
    store.close()
    texts = ("model", "model_path", "model_sha256", "format", "finish_reason", "profile", "kv_type")
    provenance = {
        "prompt_tokens": 1,
        "reused_tokens": 0,
        "completion_tokens": 1,
        "adapters": {hostile("Qanswer"): 0.5},
        "sampling": {hostile("Qsampling"): hostile("Qsampling")},
        "form": {"kind": "regex", "name": hostile("Qform"), "problem": hostile("Qform")},
        "form_source": hostile("Qform"),
        "stop": [hostile("Qform")],
        **{key: hostile("Qanswer") for key in (*texts, "backend", "baize_tui")},
    }
    code = f"```{hostile('Qanswer')}\n{hostile('Qanswer')}\n```\n"
    link = f"[{hostile('Qanswer')}](http://{hostile_name('Qanswer')})"
    link += f" [{hostile('Qanswer')}](https://example.org) $$x_{{{hostile('Qanswer')}}}$$"
    changes: list[tuple[str, tuple[Any, ...]]] = [
        (
            "UPDATE conversation SET title = ?, system = ?, model = ?, adapters = ?, sampling = ?, "
            "model_path = ?, tags = ? WHERE title <> 'Q'",
            (
                hostile("Qtitle", NUL),
                hostile("Qsystem", NUL),
                hostile("Qsystem"),
                json.dumps({hostile("Qsystem"): 0.5}),
                json.dumps({hostile("Qsystem"): hostile("Qsystem")}),
                str(model),
                json.dumps([hostile("Qtag"), "work"]),
            ),
        ),
        ("UPDATE conversation SET title = ? WHERE title = 'Q'", (hostile("Qput away", NUL),)),
        (
            "UPDATE message SET text = ?, name = ? WHERE id = ?",
            (hostile("Qanswer", NUL), hostile("Qbranch", NUL), other.id),
        ),
        (
            "UPDATE message SET text = ?, attachments = ?, form = ? WHERE id = ?",
            (
                f"{hostile('Qquestion', NUL)} file",
                json.dumps([{"name": hostile("Qattached"), "start": 0, "end": 1}]),
                json.dumps({"kind": "json_schema", "source": "{}", "name": hostile("Qform")}),
                question.id,
            ),
        ),
        (
            "UPDATE message SET text = ?, reasoning = ?, provenance = ? WHERE id = ?",
            (
                f"{hostile('Qanswer', NUL)}\n\n{code}{link}\n\n| {hostile('Qanswer')} |\n|---|\n",
                hostile("Qanswer", NUL),
                json.dumps(provenance),
                answer.id,
            ),
        ),
        ("UPDATE unsent SET parts = replace(parts, '\"\"', ?)", (json.dumps(hostile("Qdraft")),)),
        ("UPDATE unsent SET parts = replace(parts, 'waits', ?)", ("Qdraft " + r"\u001bc",)),
        ("UPDATE unsent_paste SET text = ?", (hostile("Qpaste", NUL),)),
    ]
    with sqlite3.connect(paths.conversations_file) as connection:
        for statement, values in changes:
            connection.execute(statement, values)
    connection.close()
    return conversation.id


def _write_corpus(file: Path) -> Path:
    text = hostile("Qcorpus", NUL, SURROGATE)
    dialogues = [
        {
            "messages": [
                {"role": "user", "content": f"{number} {text}"},
                {"role": "assistant", "content": f"{number} {text}"},
            ],
            "id": text,
            "source": text,
            "topic": text,
            "meta": {"teacher": text, text: text},
        }
        for number in range(8)
    ]
    wrong = {"messages": [{"role": text, "content": text}]}
    lines = [*map(json.dumps, [*dialogues, wrong, {text: 1}]), f'{{"{hostile("Qcorpus")}": ']
    file.write_text("\n".join(lines).replace("\u2028", "").replace("\x85", ""), "utf-8")
    return file


def _write_seeds(file: Path) -> Path:
    file.write_text(f"{hostile('Qcorpus')}\n", "utf-8")
    return file


def _write_chats(file: Path) -> Path:
    """Two conversations of Claude's export; the second is from an unknown sender."""
    text = hostile("Qchats", NUL, SURROGATE)
    messages = [
        [{"uuid": text, "sender": sender, "text": text}] for sender in ("human", hostile("Qchats"))
    ]
    chats = [{"uuid": text, "name": text, "chat_messages": each} for each in messages]
    file.write_text(json.dumps(chats))
    return file


def _write_backup(paths: Paths, file: Path) -> Path:
    store = Store(paths.conversations_file)
    back_up(store.database, file)
    store.close()
    return file
