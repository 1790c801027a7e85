"""A Modelfile gives Ollama the prompts that the chat client sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from baize_shared.shipped_models import OWN_TEMPLATE
from baize_tui.chat.formats import PromptFormat, formats, prompt_from_turns
from baize_tui.chat.ollama.go_template import translate
from baize_tui.chat.ollama.modelfile import Modelfile, stop_strings
from baize_tui.cli.main import run
from baize_tui.engine.prompts.templates import render
from baize_tui.engine.protocol import PromptMessage
from baize_tui.paths import project_paths
from baize_tui.settings import DEFAULT_SYSTEM, Sampling
from tests.chat.go_templates import render_go

TEXTS = ("Hm?", "Well:\n\n- a\n- {b}", "  And? ", "Yes.", 'Why "so"?', "")
REGISTRY = [name for name in formats() if name != OWN_TEMPLATE]


def read_modelfile(text: str) -> list[tuple[str, str]]:
    """Commands and values; a value is in three quotes, or is the rest of its line."""
    found = re.findall(
        r'^(FROM|TEMPLATE|SYSTEM|LICENSE|PARAMETER \w+) (?:"""(.*?)"""|([^\n]*))$',
        text,
        re.DOTALL | re.MULTILINE,
    )
    return [(command, quoted or plain) for command, quoted, plain in found]


def sent_by_ollama(modelfile: str, turns: list[PromptMessage]) -> str:
    """The prompt that Ollama writes: its system text is a message, and a value of its own."""
    values = dict(read_modelfile(modelfile))
    system = values.get("SYSTEM", "")
    messages = [{"Role": turn.role, "Content": turn.content} for turn in turns]
    if system:
        messages.insert(0, {"Role": "system", "Content": system})
    return render_go(values["TEMPLATE"], {"System": system, "Messages": messages})


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("moderation", [True, False])
@pytest.mark.parametrize("system", ["", DEFAULT_SYSTEM, "Be brief.\nBe kind."])
@pytest.mark.parametrize("questions", [1, 2, 3])
def test_ollama_writes_the_prompts_of_the_client(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    moderation: bool,
    system: str,
    questions: int,
    smollm2: Path,
) -> None:
    monkeypatch.setenv("BAIZE_HOME", str(tmp_path / "home"))
    settings = project_paths().settings_file
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[chat]\nmoderation = {str(moderation).lower()}\n")
    file = tmp_path / "Modelfile"
    arguments = ["--format", name, "--system", system, "-o", str(file)]
    assert run(["models", "modelfile", str(smollm2), *arguments]) == 0
    turns = [
        PromptMessage("assistant" if number % 2 else "user", TEXTS[number])
        for number in range(2 * questions - 1)
    ]
    prompt = prompt_from_turns(name, turns, system=system, moderation=moderation)
    assert prompt.template is not None
    wanted = render(prompt, prompt.template, [], {}).text
    assert sent_by_ollama(file.read_text(), turns) == wanted


def test_an_answer_that_is_continued_has_no_end() -> None:
    template = translate(formats()["chatml"], moderation=True)
    assert template is not None
    messages = [{"Role": "user", "Content": "Hm?"}, {"Role": "assistant", "Content": "Ye"}]
    assert render_go(template.source, {"System": "", "Messages": messages}).endswith("\nYe")


def test_the_end_of_a_turn_is_no_part_of_an_answer() -> None:
    """Ollama keeps what is before a stop string; the line end before Baize's marker is not said."""
    baize = formats()["baize"]
    stops = stop_strings(baize, translate(baize, moderation=True), [])
    assert stops == ["\n[|Human|]", "[|Human|]", "\n[|AI|]", "[|AI|]"]


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}<assistant>",
        "{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}",
        "{{ messages[-1].content }}",
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}:{% endif %}{% endfor %}",
        "{{ raise_exception('no') }}",
    ],
)
def test_a_format_without_an_equal_is_not_translated(template: str) -> None:
    assert translate(PromptFormat("other", template), moderation=True) is None


def test_the_template_of_the_model_is_left_to_ollama(
    tmp_path: Path, smollm2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "my model.gguf"
    link.symlink_to(smollm2)
    file = tmp_path / "Modelfile"
    assert run(["models", "modelfile", str(link), "-o", str(file)]) == 0
    commands = read_modelfile(file.read_text())
    names = [command for command, _ in commands]
    assert commands[0] == ("FROM", "./my model.gguf")
    assert "TEMPLATE" not in names
    assert {"SYSTEM", "PARAMETER temperature"} <= set(names)
    assert "left to Ollama" in capsys.readouterr().err


def test_a_text_that_no_modelfile_can_have_is_refused(
    tmp_path: Path, smollm2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Modelfile"
    arguments = ["--system", 'Say """ often', "-o", str(file)]
    assert run(["models", "modelfile", str(smollm2), *arguments]) == 1
    assert "three quotes" in capsys.readouterr().err
    assert not file.exists()


def test_what_is_known_is_in_the_file() -> None:
    text = Modelfile("a.gguf", None, "", ["x"], Sampling(temperature=0.5), 512, "MIT").text()
    commands = read_modelfile(text)
    assert ("PARAMETER stop", "x") in commands
    assert ("PARAMETER temperature", "0.5") in commands
    assert ("PARAMETER num_ctx", "512") in commands
    assert commands[-1] == ("LICENSE", "MIT")
