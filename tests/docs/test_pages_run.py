"""The commands of each page run, from top to bottom, in a folder with the files that it names.

Everything is here: the real model under the names of larger ones, a hub, a judge and a server.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from baize_tui.paths import project_paths
from tests.docs.prepared_files import BASE, hub_folders, write_files
from tests.docs.shell_lines import Line, commands, shell_lines
from tests.docs.story import Story
from tests.hub.stand_in import serve as serve_hub
from tests.hub.upload_stand_in import Repository, serve_uploads
from tests.real_server import ALIAS, serve_model
from tests.test_project_files import PAGES, PROJECT, ROOT, name_of
from tests.train.scripted_server import serve as serve_script
from tests.train.self_talk import talk

TOKEN = "hf_" + "t0ken" * 7
PROGRAMS = set(PROJECT["project"]["scripts"])
NOT_RUN = {
    "make": "the targets install, draw or run the tests: CI and `.ci/installs` run them",
    "pip install": "`.ci/installs` installs the project",
    "pipx install": "`.ci/installs` installs with pipx",
    "uv tool install": "`.ci/installs` installs with uv",
    ".venv/bin/pip install": "needs a package index, and changes the hooks of this checkout",
    ".venv/bin/python -m pytest": "the tests, inside of the tests",
    "python -m tests.translation.update_catalogs": "writes the catalogs of this checkout",
    "python -X importtime": "a figure of a decision, which nothing depends on",
    "python benchmarks/torture.py": "hours; tests/test_torture.py runs a part of each scenario",
    "python -m timeit": "a figure of a decision, which nothing depends on",
    "ollama create": "needs Ollama; tests/chat/test_ollama.py compares the prompts",
    "vllm": "needs a GPU; tests/train/test_collecting.py answers such batches",
    "ssh": "needs a cluster",
    "accelerate launch": "needs several GPUs; tests/train/test_finetune.py runs two processes",
    "torchrun": "needs several GPUs; tests/train/test_finetune.py runs two processes",
    "lm_eval": "downloads the questions of a benchmark",
}
"""How commands begin that no test runs as the pages write them, and why."""
WHOLE_PAGES_ELSEWHERE = {"docs/tutorial.md": "tests/train/test_tutorial.py"}
LICENCE = "--accept-license"
ADDED = {
    "baize-tui models pull": LICENCE,  # a script accepts so what a person accepts by typing "yes"
    "baize-tui bench": "--quick",
    "baize-train finetune": "--steps 2 --max-length 256 --batch 2 --micro-batch 2",
    # So small a model plays its role badly, and nearly every dialogue would be dropped for that.
    "baize-train selfchat": "--no-filter all --max-tokens 24 --turns 1 --dialogues 4",
    "baize-train sdf": "--steps 2 --max-length 256 --batch 2 --micro-batch 2 --max-tokens 16",
    "baize-train publish": "--yes",
}
"""What makes a command quick, or answers its question, at its end."""
ASKED = 'baize-tui ask "Name three rivers." --max-tokens 24'


@dataclass(frozen=True)
class Page:
    """What a page takes for granted: the commands ``before`` it, and ``values`` for examples."""

    before: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    training: bool = False


RUN = {
    "README.md": Page(values={"-o corpus.jsonl": "-o collected.jsonl"}, training=True),
    "docs/adapters.md": Page(),
    "docs/chat.md": Page(before=(ASKED, "baize-tui models pull llama-3.2-3b")),
    "docs/convert.md": Page(),
    "docs/export.md": Page(before=(ASKED,)),
    "docs/gpu.md": Page(),
    "docs/install.md": Page(),
    "docs/models.md": Page(
        before=(
            "baize-tui models import Downloads/mine.Q4_K_M.gguf --name my-model",
            "baize-tui models pull llama-3.1-8b",
            "baize-tui models pull llama-3.2-1b",
        )
    ),
    "docs/performance.md": Page(before=("baize-tui models pull llama-3.2-3b",)),
    "docs/scripting.md": Page(
        before=("baize-tui models import my-lora --base smollm2-135m --name my-lora", ASKED)
    ),
    "docs/servers.md": Page(before=("baize-tui models pull llama-3.2-3b",)),
    "docs/train.md": Page(
        before=("baize-tui models pull llama-3.2-3b", "baize-tui models pull llama-7b", ASKED),
        values={
            "-o corpus.jsonl": "-o collected.jsonl",
            "content=said ...": "content=said --base smollm2-135m --preset cpu-try -o mapped",
            "sdf ... --method": "sdf --base ~/llama-7b --adapter my-lora --seeds instructions.txt "
            "--judge server:https://api.example.com/v1#judge -o my-lora-dpo --method",
        },
        training=True,
    ),
}


def reason_not_to_run(line: Line) -> str | None:
    """Why no test runs the command; None if one does."""
    for words in commands(line.text):
        for beginning, reason in NOT_RUN.items():
            if words[: len(beginning.split())] == beginning.split():
                return reason
    return None


def reply(messages: list[dict[str, str]]) -> str:
    """Judges answers, or talks."""
    shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1]["content"], re.S)
    scores = [1 + zlib.crc32(answer.encode()) % 100 for answer in shown]
    return " ".join(map(str, scores)) or talk(messages)


@contextmanager
def stand_ins(page: str, folder: Path, model: Path, checkpoint: Path) -> Iterator[Story]:
    """A story of ``page`` with everything around it that the machine does not have."""
    home = folder / "person"
    write_files(home, model, checkpoint)
    if RUN[page].training:
        shutil.rmtree(home / "my-lora")  # the page makes it
    with ExitStack() as stack:
        hub = stack.enter_context(serve_hub(hub_folders(folder / "hub", model, checkpoint)))
        uploads = stack.enter_context(serve_uploads(TOKEN, {"me"}))
        uploads.repositories[BASE] = Repository(private=False)
        script = stack.enter_context(serve_script(reply)).url
        values = {
            "https://api.example.com": script,
            "http://localhost:8000/v1#my-model": f"{script}/v1#my-model",
            "baize-train publish": f"HF_ENDPOINT={uploads.url} baize-train publish",
        }
        if "servers" in page:
            server = stack.enter_context(serve_model(model))
            values |= {
                "http://localhost:11434#qwen3:8b": f"{server}#{ALIAS}",
                "https://cluster.example.org/v1#Qwen/Qwen3-32B": f"{server}/v1#{ALIAS}",
                "http://localhost:8080": server,
                "http://localhost:8000": server,
            }
        # A title that is being written when its client ends would keep such a server busy.
        settings = project_paths().settings_file
        settings.parent.mkdir(parents=True)
        settings.write_text("[idle]\ntitles = false\n")
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "KEY": "secret",
            "no_proxy": "*",
            "OPENAI_API_KEY": "",
        }
        story = Story(home, {**RUN[page].values, **values}, ADDED, environment)
        yield stack.enter_context(story)


@pytest.mark.sweep  # minutes
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(name, marks=[pytest.mark.training] if page.training else [])
        for name, page in RUN.items()
    ],
)
def test_the_commands_of_a_page_run(
    page: str, smollm2: Path, smollm2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    with stand_ins(page, tmp_path, smollm2, smollm2_folder) as story:
        for text in RUN[page].before:
            story.run(text)
        for line in shell_lines(ROOT / page):
            if reason_not_to_run(line) is None:
                story.run(line.text if shutil.which("jq") else line.text.partition("| jq")[0])


def test_every_command_of_a_page_is_run_or_has_a_reason() -> None:
    begin = set()
    for page in PAGES:
        lines = shell_lines(page)
        for line in lines:
            reason = reason_not_to_run(line)
            begin.add(reason)
            runs = name_of(page) in RUN or name_of(page) in WHOLE_PAGES_ELSEWHERE
            assert reason is not None or runs, f"{name_of(page)}: {line.text}"
    unused = {beginning for beginning, reason in NOT_RUN.items() if reason not in begin}
    assert unused == set()


@pytest.mark.parametrize("page", WHOLE_PAGES_ELSEWHERE)
def test_a_page_that_another_test_runs_is_named_there(page: str) -> None:
    test = (ROOT / WHOLE_PAGES_ELSEWHERE[page]).read_text("utf-8")
    assert Path(page).name in test
