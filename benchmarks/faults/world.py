"""A small home with conversations, models and corpora, all in one folder that is put back at will.

The models are a LLaMA of two layers, so that every command takes moments.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from baize_tui.paths import Paths
from baize_tui.store.backups import back_up
from baize_tui.store.conversations import Store
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import convert_folder
from tests.engine.lora_files import write_lora
from tests.hub import stand_in
from tests.program_commands import process_arguments
from tests.train import scripted_server
from tests.train.conftest import corpus_lines
from tests.train.self_talk import talk

QUESTION = "What did I keep?"
"""What a conversation of the world asks."""
_PREFERRED = ("config", "data", "cache", "logs")


@dataclass(frozen=True)
class World:
    """Where everything is; nothing that a command writes lies elsewhere."""

    folder: Path
    session: str = ""
    """The id of a conversation."""
    deleted: str = ""
    """The id of a deleted one."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def paths(self) -> Paths:
        return Paths(*(self.home / name for name in _PREFERRED))

    @property
    def given(self) -> Path:
        """The folder of what commands read; none may change it."""
        return self.folder / "given"

    @property
    def made(self) -> Path:
        """The folder of what commands write."""
        return self.folder / "made"

    @property
    def model(self) -> Path:
        return self.given / "tiny.gguf"

    @property
    def base(self) -> Path:
        """The same model as a checkpoint."""
        return self.given / "base"

    @property
    def peft(self) -> Path:
        """A LoRA for the checkpoint."""
        return self.given / "peft"

    @property
    def lora(self) -> Path:
        """A LoRA for the model."""
        return self.given / "lora.gguf"

    @property
    def corpus(self) -> Path:
        return self.given / "corpus.jsonl"

    @property
    def seeds(self) -> Path:
        return self.given / "seeds.txt"

    @property
    def chats(self) -> Path:
        """Conversations of another program."""
        return self.given / "chats.json"

    @property
    def backup(self) -> Path:
        return self.given / "backup.db"


def build_world(folder: Path) -> World:
    """Fill ``folder``, which must not exist."""
    world = World(folder)
    for made in (world.given, world.made, world.home, folder / "tmp", folder / "user"):
        made.mkdir(parents=True)
    shutil.copytree(BASE, world.base)
    convert_folder(BASE, "F32", world.model)
    shutil.copytree(FOLDER / "plain", world.peft, ignore=shutil.ignore_patterns("merged*", "*.bin"))
    write_lora(world.lora, {"blk.0.attn_q.weight": (32, 32)})
    world.corpus.write_text("".join(f"{json.dumps(line)}\n" for line in corpus_lines(24)))
    world.seeds.write_text("What is an oak made of?\nWhat is a river made of?\n")
    messages = [
        {"uuid": str(n), "sender": sender, "text": f"{sender} {n}"}
        for n, sender in enumerate(("human", "assistant"))
    ]
    chats = [{"uuid": f"c{n}", "name": f"Chat {n}", "chat_messages": messages} for n in range(3)]
    world.chats.write_text(json.dumps(chats))
    session, deleted = _fill_home(world)
    subprocess.run(
        [*process_arguments("baize-tui models import"), world.model, "--name", "installed"],
        env={**os.environ, "BAIZE_HOME": str(world.home)},
        capture_output=True,
        check=True,
    )
    return World(folder, session, deleted)


def reply(messages: list[dict[str, str]]) -> str:
    """What the server says: answers and questions, and as a judge one score for each answer."""
    shown = re.findall(r"\[Begin of answer \d+\]", messages[-1]["content"])
    return " ".join(str(40 + 20 * n) for n in range(len(shown))) if shown else talk(messages)


def _fill_home(world: World) -> tuple[str, str]:
    paths = world.paths
    paths.recipes_folder.mkdir(parents=True)
    paths.settings_file.write_text("[sampling]\nseed = 1\n[idle]\ntitles = false\n")
    (paths.recipes_folder / "mine.toml").write_text(f"file = {json.dumps(str(world.model))}\n")
    store = Store(paths.conversations_file)
    kept = [store.new_conversation(system="", moderation=True, title=f"No {n}") for n in range(3)]
    for conversation in kept:
        question = store.add_message(conversation.id, None, "user", QUESTION)
        answer = store.add_message(conversation.id, question.id, "assistant", "Everything.")
        store.set_leaf(conversation.id, answer.id)
        store.set_mark(answer.id, "good")
    store.delete(kept[1].id)
    back_up(store.database, world.backup)
    store.close()
    return kept[0].id, kept[1].id


def put_back(world: World, template: Path) -> None:
    """Make ``world.folder`` what ``template`` is."""
    shutil.rmtree(world.folder, ignore_errors=True)
    shutil.copytree(template, world.folder, symlinks=True)


def make_template(world: World) -> Path:
    """A copy of the folder beside it, for ``put_back``."""
    template = world.folder.with_name("template")
    return shutil.copytree(world.folder, template, symlinks=True)


@contextmanager
def servers(world: World) -> Iterator[dict[str, str]]:
    """A hub and a server of a model on this machine: what a process's environment has to be."""
    hub_folder = world.folder.with_name("hub")
    (hub_folder / "ggufs").mkdir(parents=True)
    shutil.copyfile(world.model, hub_folder / "ggufs" / "tiny-F32.gguf")
    shutil.copytree(world.base, hub_folder / "base")
    shutil.copytree(world.peft, hub_folder / "adapter")
    config = hub_folder / "adapter" / "adapter_config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "owner/base"})
    )
    repositories = {f"owner/{folder.name}": folder for folder in hub_folder.iterdir()}
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with stand_in.serve(repositories) as hub, scripted_server.serve(reply) as server:
        yield {
            **kept,
            "BAIZE_HOME": str(world.home),
            "HOME": str(world.folder / "user"),
            "TMPDIR": str(world.folder / "tmp"),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(world.folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OPENAI_API_KEY": "",
            "LANGUAGE": "en",
            "BAIZE_FLASH_ATTENTION": "on",
            "no_proxy": "*",
            "SERVER": server.spec,
        }
