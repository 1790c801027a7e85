"""The commands as a person or a script runs them: a process, its output, its exit code."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baize_shared.split_files import model_bytes, model_files
from baize_tui.cli.ask_input import read_question
from baize_tui.cli.failures import CommandError
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from build_llama.installation import pinned_version
from tests.engine.gguf_kinds import other_files
from tests.engine.lora_files import SMOLLM2_QUERIES, write_lora
from tests.engine.model_files import broken_files
from tests.sweeps import swept
from tests.warm_start import PROGRAMS

SHORT = ("--max-tokens", "8")
PARIS = "What is the capital of France?"
READ_AT_START = {"PYTHONIOENCODING", "PYTHONUTF8", "TMPDIR"}
"""Environment variables that Python reads when it starts, or once."""


def run(
    *arguments: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    if not READ_AT_START & environment.keys():
        return PROGRAMS.run("baize_tui", arguments, {**os.environ, **environment}, stdin=stdin)
    return subprocess.run(  # from scratch
        [sys.executable, "-m", "baize_tui", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


def run_json(*arguments: str, stdin: bytes = b"", code: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json", stdin=stdin)
    assert done.returncode == code, done.stderr
    printed = json.loads(done.stdout)  # exactly one object and nothing else
    assert isinstance(printed, dict)
    return printed


def one_line(done: subprocess.CompletedProcess[bytes], code: int = 1) -> str:
    """The only output of a failed command: one line on stderr."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert "Traceback" not in text
    assert done.stdout == b""
    assert text.count("\n") == 1, text
    return text


# --- ask ------------------------------------------------------------------------------------------


def test_ask_prints_all_json_fields() -> None:
    found = run_json("ask", PARIS, "--temperature", "0")
    assert "Paris" in found["text"]
    assert found["model"] == "smollm2-135m"
    assert found["finish_reason"] == "stop"
    assert found["prompt_tokens"] > 10
    assert found["reused_tokens"] == 0
    assert found["completion_tokens"] == 7
    assert found["ttft_s"] > 0
    assert found["tokens_per_second"] > 0
    assert isinstance(found["seed"], int)
    assert found["session_id"]


def test_ask_writes_the_answer_and_a_line_end() -> None:
    done = run("ask", PARIS, "--temperature", "0")
    assert (done.returncode, done.stdout) == (0, b"The capital of France is Paris.\n")
    assert re.fullmatch(rb"(reading the prompt \d+%\n)*", done.stderr)  # on a slow machine


def test_a_conversation_can_be_continued(small_model: Path) -> None:
    first = run_json("ask", PARIS, "--model", str(small_model), *SHORT)
    run_json("ask", "And of Italy?", "--session", first["session_id"], *SHORT)
    shown = run_json("sessions", "show", first["session_id"])
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"] * 2
    assert shown["messages"][0]["text"] == PARIS
    assert [shown["messages"][at]["provenance"]["model"] for at in (1, 3)] == ["small"] * 2


THINKING = (
    'root ::= "<think>\\nThey ask for the capital.\\n</think>\\n\\nIt is `</think>` no, Paris."'
)


def test_a_thought_is_not_the_answer(small_model: Path, tmp_path: Path) -> None:
    grammar = tmp_path / "think.gbnf"
    grammar.write_text(THINKING)
    ask = ("ask", PARIS, "--grammar", str(grammar), "--model", str(small_model))
    done = run(*ask)
    assert done.stdout == b"It is `</think>` no, Paris.\n"
    assert b"They ask" not in done.stderr
    shown = run(*ask, "--show-thinking", "--no-save")
    assert shown.stdout == done.stdout
    assert b"They ask for the capital.\n" in shown.stderr
    (listed,) = run_json("sessions", "list")["sessions"]
    saved = run_json("sessions", "show", listed["id"])["messages"][-1]
    assert saved["reasoning"] == "They ask for the capital."
    assert saved["text"] == "It is `</think>` no, Paris."
    printed = run("sessions", "show", listed["id"]).stdout.decode()
    assert printed.endswith("> They ask for the capital.\n\nIt is `</think>` no, Paris.\n")


def test_limits_count_answer_and_thought_apart(small_model: Path, tmp_path: Path) -> None:
    grammar = tmp_path / "think.gbnf"
    grammar.write_text(THINKING)
    model = ("--model", str(small_model))
    ask = ("ask", PARIS, "--no-save", "--grammar", str(grammar), *model)
    short = run_json(*ask, "--max-tokens", "2", code=1)  # it has not the whole form
    assert short["reasoning"] == "They ask for the capital."
    assert short["finish_reason"] == "length"
    assert short["text"]
    assert "It is".startswith(short["text"])
    done = run(*ask, "--max-thinking-tokens", "3")
    assert done.stdout == b""
    assert "no answer: the thought was cut off" in done.stderr.decode()
    cut = run_json(*ask, "--max-thinking-tokens", "3", code=1)
    assert (cut["text"], cut["thinking_tokens"]) == ("", 3)
    assert "They ask for".startswith(cut["reasoning"])


def test_piped_text_is_added_below_the_question(small_model: Path) -> None:
    ask = ("ask", "Repeat this text:", "--model", str(small_model), *SHORT)
    found = run_json(*ask, stdin="Grüße, 你好\n".encode())
    shown = run_json("sessions", "show", found["session_id"])
    assert shown["messages"][0]["text"] == "Repeat this text:\n\nGrüße, 你好"


@pytest.mark.parametrize("prompt", [("-",), ()])
def test_the_question_may_come_from_stdin(prompt: tuple[str, ...], small_model: Path) -> None:
    model = ("--model", str(small_model))
    found = run_json("ask", *prompt, *model, *SHORT, stdin=b"Hello?\n")
    shown = run_json("sessions", "show", found["session_id"])
    assert shown["messages"][0]["text"] == "Hello?"


def test_the_same_seed_gives_the_same_text(small_model: Path) -> None:
    model = ("--model", str(small_model))  # to which all texts are almost equally likely
    flags = ("--seed", "5", "--temperature", "1", "--no-save", *model, *SHORT)
    first = run_json("ask", "Tell a joke", *flags)
    second = run_json("ask", "Tell a joke", *flags)
    assert first["seed"] == second["seed"] == 5
    assert first["text"] == second["text"]


def test_a_draft_model_guesses_and_changes_no_answer(shallow_smollm2: Path, tmp_path: Path) -> None:
    copy = shutil.copy(shallow_smollm2, tmp_path / "draft.gguf")
    story = ("ask", "Tell me a story.", "--temperature", "0", "-m", str(shallow_smollm2), *SHORT)
    plain = run_json(*story)
    drafted = run_json(*story, "--draft", str(copy))
    assert drafted["text"] == plain["text"]
    shown = run_json("sessions", "show", drafted["session_id"])
    assert shown["messages"][-1]["provenance"]["draft"] == str(copy)
    shown = run_json("sessions", "show", plain["session_id"])
    assert shown["messages"][-1]["provenance"]["draft"] == ""


def test_a_draft_model_with_another_vocabulary_is_left_out(
    shallow_smollm2: Path, small_model: Path
) -> None:
    model = ("--model", str(shallow_smollm2))
    done = run("ask", PARIS, *model, "--draft", str(small_model), *SHORT)
    assert done.returncode == 0
    assert done.stdout.strip()
    assert f"no draft model is used: {small_model} has another vocabulary" in done.stderr.decode()


def test_a_plan_counts_the_draft_model(small_model: Path, tmp_path: Path, paths: Paths) -> None:
    copy = shutil.copy(small_model, tmp_path / "draft.gguf")
    alone = run_json("models", "plan", str(small_model))
    paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file.write_text(f'[model]\ndraft = "{copy}"\n')
    both = run_json("models", "plan", str(small_model))
    for part in ("weights", "kv", "compute"):
        before = alone["measured"]["footprint"][part]
        assert both["measured"]["footprint"][part] == pytest.approx(2 * before, rel=0.01)
    assert both["measured"]["largest_context"] <= alone["measured"]["largest_context"]


def test_a_draft_model_that_does_not_exist_is_reported() -> None:
    assert "nosuch" in one_line(run("ask", PARIS, "--draft", "nosuch"))
    assert "after the command" in run("--draft", "none", "ask", PARIS).stderr.decode()


def test_a_draft_model_of_a_recipe_that_is_not_here_is_left_out(
    small_model: Path, paths: Paths
) -> None:
    paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file.write_text('[model]\ndraft = "nosuch"\n')
    ask = ("ask", PARIS, "--model", str(small_model), *SHORT)
    done = run(*ask)
    assert done.returncode == 0
    assert "no draft model is used" in done.stderr.decode()
    done = run(*ask, "--draft", "none")
    assert done.stderr == b""


def test_no_save_keeps_no_trace(small_model: Path, paths: Paths) -> None:
    found = run_json("ask", "My secret", "--no-save", "--model", str(small_model), *SHORT)
    assert found["session_id"] is None
    assert not paths.conversations_file.exists()


def test_a_home_that_cannot_be_written_answers_what_is_not_saved(shallow_smollm2: Path) -> None:
    ask = ("ask", PARIS, "--no-save", "--model", str(shallow_smollm2), *SHORT)
    # Nobody creates a folder there, not even root.
    done = run(*ask, BAIZE_HOME="/proc/baize")
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert done.stdout


def test_the_baize_format_can_be_asked_for(shallow_smollm2: Path) -> None:
    ask = ("ask", "Hi", "--temperature", "0", "--model", str(shallow_smollm2), *SHORT)
    found = run_json(*ask, "--format", "baize")
    shown = run_json("sessions", "show", found["session_id"])
    assert shown["messages"][1]["provenance"]["format"] == "baize"
    assert "[|" not in found["text"]


def test_binary_on_stdin_is_refused() -> None:
    assert "not UTF-8 text (byte 0xff at 3)" in one_line(run("ask", stdin=b"abc\xff\xfe"))
    assert "zero byte at 1" in one_line(run("ask", stdin=b"a\x00b"))


class _Endless(io.RawIOBase):
    """What ``/dev/zero`` is to a reader."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "all of it would be read"
        return b"a" * size


def test_an_endless_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(_Endless()))  # type: ignore[type-var]
    with pytest.raises(CommandError, match="stdin has more than 8"):
        read_question("-")


def test_a_missing_question_is_reported() -> None:
    assert "nothing to ask" in one_line(run("ask", stdin=b"\n"))


def test_a_question_longer_than_the_context_is_reported_and_kept(paths: Paths) -> None:
    line = one_line(run("ask", stdin=b"word " * 6000))
    assert "too long" in line
    assert "4096" in line
    store = Store(paths.conversations_file)
    assert len(store.shown_messages(store.conversations()[0].id)[0].text.split()) == 6000


def test_ctrl_c_keeps_the_partial_answer(shallow_smollm2: Path, paths: Paths) -> None:
    ask = ("ask", "Write a very long story.", "--temperature=0", "--model", str(shallow_smollm2))
    process = subprocess.Popen(
        [sys.executable, "-m", "baize_tui", *ask],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    said = process.stdout.read(12)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    store = Store(paths.conversations_file)
    kept = store.shown_messages(store.conversations()[0].id)[-1]
    assert kept.state == "stopped"
    assert (said + rest).decode().strip() == kept.text.strip()


def test_a_closed_pipe_ends_ask_quietly(shallow_smollm2: Path) -> None:
    ask = f"ask 'Write a long story' --max-tokens 80 --model '{shallow_smollm2}'"
    done = subprocess.run(
        f"{sys.executable} -m baize_tui {ask} | head -c 5",
        shell=True,
        capture_output=True,
        check=False,
    )
    assert len(done.stdout) == 5
    assert b"Traceback" not in done.stderr


def test_ask_without_a_utf8_locale_escapes_and_says_so(shallow_smollm2: Path) -> None:
    done = run(
        *("ask", "Repeat: café", "--temperature", "0", "--model", str(shallow_smollm2), *SHORT),
        PYTHONIOENCODING="ascii",
        PYTHONUTF8="0",
    )
    assert done.returncode == 0
    assert b"not UTF-8" in done.stderr
    done.stdout.decode("ascii")


def test_json_without_a_utf8_locale_is_still_json(small_model: Path) -> None:
    run_json("ask", "Hi", "--model", str(small_model), *SHORT)
    done = run("sessions", "list", "--json", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    done.stdout.decode("ascii")
    assert json.loads(done.stdout)["sessions"]


# --- models ---------------------------------------------------------------------------------------


def test_models_list_and_info() -> None:
    model, *others = run_json("models", "list")["models"]
    assert not any(other["installed"] for other in others)
    assert (model["name"], model["installed"], model["license"]) == (
        "smollm2-135m",
        True,
        "Apache-2.0",
    )
    info = run_json("models", "info", "smollm2-135m")
    assert info["header"]["parameters"] == 134_515_008
    assert "49152 tokens" in run("models", "info", "smollm2-135m").stdout.decode()


def test_the_list_says_how_large_models_are_and_whether_they_fit() -> None:
    lines = run("models", "list").stdout.decode().splitlines()
    states = {line.split()[0]: line for line in lines}
    assert re.search(r"98 MB +installed +\(default\)", states["smollm2-135m"])
    assert re.search(r"≈ 2\.\d GB +(fits|tight|does not fit) ", states["qwen3-4b"])
    listed = {model["name"]: model for model in run_json("models", "list")["models"]}
    assert 2.3e9 < listed["qwen3-4b"]["estimated_bytes"] < 2.6e9
    assert listed["qwen3-4b"]["bytes"] is None


def test_info_describes_uninstalled_models_and_adapters(tmp_path: Path) -> None:
    said = run("models", "info", "baize-v1-7b").stdout.decode()
    assert "not installed: 'baize-tui models pull baize-v1-7b' downloads it" in said
    assert "For research only" in said
    assert "no medical advice" in run("models", "info", "baize-healthcare-7b-lora").stdout.decode()
    lora = write_lora(tmp_path / "mine.gguf", SMOLLM2_QUERIES)
    assert run("models", "import", str(lora), "--base", "smollm2-135m").returncode == 0
    info = run_json("models", "info", "mine")
    assert (info["base"], info["installed"]) == ("smollm2-135m", True)
    assert "adapter of" in run("models", "info", "mine").stdout.decode()
    lora.unlink()
    assert f"missing: {lora}" in run("models", "info", "mine").stdout.decode()


def test_a_model_is_imported_and_answers(small_model: Path, tmp_path: Path, paths: Paths) -> None:
    file = tmp_path / "My Model.Q4_1.gguf"
    shutil.copyfile(small_model, file)
    assert run("models", "import", str(file)).returncode == 0
    found = run_json("ask", PARIS, "--model", "my-model.q4-1", "--regex", "Paris")
    assert (found["model"], found["text"]) == ("my-model.q4-1", "Paris")
    assert run("models", "import", str(file)).returncode == 0, "the same import again"
    other = tmp_path / "My Model Q4 1.gguf"
    shutil.copyfile(small_model, other)
    named = ("--name", "my-model.q4-1")
    assert "already" in one_line(run("models", "import", str(other), *named))
    assert run("models", "import", str(file), "--name", "copied", "--copy").returncode == 0
    assert (paths.models_folder / "copied.gguf").stat().st_size == file.stat().st_size
    file.unlink()
    assert "is missing" in one_line(run("ask", "Hi", "--model", "my-model.q4-1"))
    copied = run_json("ask", PARIS, "--model", "copied", "--regex", "Paris")
    assert (copied["model"], copied["text"]) == ("copied", "Paris")


def test_a_model_in_several_files_is_imported_as_one_and_changes_no_default(
    split_model: Path, paths: Paths
) -> None:
    done = run("models", "import", str(split_model), "--name", "aaa", "--copy")
    assert done.returncode == 0
    assert b"smollm2-135m stays the default" in done.stderr
    listed = {model["name"]: model for model in run_json("models", "list")["models"]}
    assert listed["aaa"]["bytes"] == model_bytes(split_model)
    assert [name for name, model in listed.items() if model["default"]] == ["smollm2-135m"]
    assert "(default) A real LLaMA" in run("models", "list").stdout.decode()
    assert run_json("models", "default")["name"] == "smollm2-135m"
    found = run_json("ask", PARIS, "--temperature", "0", "--model", "aaa", *SHORT)
    assert "Paris" in found["text"]
    assert run_json("models", "default", "aaa")["name"] == "aaa"
    assert run_json("ask", "Hi", *SHORT)["model"] == "aaa"
    assert run_json("models", "info", "aaa")["default"] is True
    for file in model_files(paths.models_folder / "aaa-00001-of-00003.gguf")[2:]:
        file.unlink()
    for command in (("ask", "Hi"), ("models", "plan", "aaa")):
        line = one_line(run(*command))
        assert "the file of aaa is missing: " in line
        assert "aaa-00003-of-00003.gguf" in line
    done = run("models", "remove", "aaa")
    assert done.returncode == 0
    assert b"smollm2-135m is the default model now" in done.stderr
    assert not any(paths.models_folder.glob("*.gguf"))


@pytest.mark.parametrize(
    "command",
    [
        ("bench", "--model"),
        ("ask", "Hi", "--model", "smollm2-135m", "--draft"),
        ("models", "plan"),
        ("models", "pull"),
        ("models", "remove"),
        ("models", "import", "adapter", "--base"),
    ],
    ids=" ".join,
)
def test_what_needs_a_model_file_refuses_a_model_on_a_server(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lora(tmp_path / "adapter", SMOLLM2_QUERIES)
    line = one_line(run(*command, "server:http://127.0.0.1:9#plum"))
    assert "plum is on a server: there is no file of it here" in line


def test_what_is_no_chat_model_is_not_imported(split_model: Path, tmp_path: Path) -> None:
    kinds = other_files(tmp_path / "kinds")
    for name in ("bert", "flux", "vocabulary"):
        file, named = kinds[name]
        assert named in one_line(run("models", "import", str(file)))
    second = model_files(split_model)[1]
    line = one_line(run("models", "import", str(second)))
    assert "is file 2 of 3 of a model: give split-00001-of-00003.gguf" in line
    assert "no such file or folder" in one_line(run("models", "import", str(tmp_path / "gone")))
    assert "models pull" in one_line(run("models", "import", "hf:owner/name"))
    assert not any(model["path"] for model in run_json("models", "list")["models"][1:])


@pytest.fixture(scope="session")
def broken(
    shallow_smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """Models that are broken in one way each, to be read only, and what must be said of them."""
    return broken_files(tmp_path_factory.mktemp("broken"), shallow_smollm2)


DEFECTS = (
    *("text", "empty", "pipe", "short", "in header", "in weights", "one byte"),
    *("tensors", "keys", "long key", "version", "architecture"),
)


# tests/engine/test_worker.py gives a worker all of them in every run.
@pytest.mark.parametrize("defect", swept(DEFECTS, "text", "pipe", "one byte", "architecture"))
def test_broken_models_end_in_one_line(defect: str, broken: dict[str, tuple[Path, str]]) -> None:
    assert set(broken) == set(DEFECTS)
    file, named = broken[defect]
    assert named in one_line(run("ask", "Hi", "--model", str(file)))


def test_what_is_no_model_is_not_imported(broken: dict[str, tuple[Path, str]]) -> None:
    for name, named in (("text", "not a GGUF"), ("pipe", "not a regular file")):
        assert named in one_line(run("models", "import", str(broken[name][0])))
    assert "no model is called" in one_line(run("ask", "Hi", "--model", "nope"))


@pytest.mark.parametrize("option", [("--model", "x"), ("--session", "x"), ("--continue",)])
def test_an_option_of_the_client_in_front_of_a_command_is_wrong_usage(
    option: tuple[str, ...],
) -> None:
    done = run(*option, "ask", "Hi")
    assert done.returncode == 2
    assert f"{option[0]} comes after the command" in done.stderr.decode()


@pytest.mark.parametrize("option", [("--system", "Be brief."), ("--format", "baize")])
def test_an_option_that_a_conversation_would_ignore_is_refused(option: tuple[str, ...]) -> None:
    line = one_line(run("ask", "Hi", "--session", "any", *option))
    assert f"{option[0]} is for a new conversation" in line


def test_a_conversation_goes_on_with_its_own_model_and_another_one_only_on_request(
    small_model: Path, tmp_path: Path
) -> None:
    other = ("--model", str(small_model))
    own = tmp_path / "ggml-model-q4_0.gguf"
    shutil.copyfile(small_model, own)
    started = run_json("ask", "Hi", "--model", str(own), *SHORT)
    session = started["session_id"]
    assert run_json("ask", "Hi", "--session", session, *SHORT)["model"] == "ggml-model-q4_0"
    done = run("ask", "Hi", "--session", session, *other, *SHORT)
    assert done.returncode == 0
    assert b"small answers; the conversation is with ggml-model-q4_0" in done.stderr
    assert run_json("ask", "Hi", "--session", session, *SHORT)["model"] == "ggml-model-q4_0"
    own.unlink()
    line = one_line(run("ask", "Hi", "--session", session, *SHORT))
    assert "no longer at" in line
    assert "--model" in line


# --- sessions -------------------------------------------------------------------------------------


def test_sessions_are_listed_renamed_deleted_and_restored(paths: Paths) -> None:
    assert run_json("sessions", "list") == {"sessions": []}
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=True, title="Old")
    store.add_message(conversation.id, None, "user", "Hi \x1b[31m")
    store.close()
    assert run("sessions", "rename", conversation.id, "New \x1b]0;x\x07 name").returncode == 0
    (listed,) = run_json("sessions", "list")["sessions"]
    assert (listed["id"], listed["title"]) == (conversation.id, "New ␛]0;x␇ name")
    assert run("sessions", "delete", conversation.id[:5]).returncode == 0
    assert run_json("sessions", "list")["sessions"] == []
    assert len(run_json("sessions", "list", "--deleted")["sessions"]) == 1
    assert run("sessions", "undelete", conversation.id).returncode == 0
    shown = run("sessions", "show", conversation.id).stdout.decode()
    assert "New ␛]0;x␇ name" in shown
    assert "Hi ␛[31m" in shown


def test_words_are_found_in_all_conversations(paths: Paths) -> None:
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=True, title="Fruit \x1b[2J")
    asked = store.add_message(conversation.id, None, "user", "Is a plum a berry? \x1b]0;x\x07")
    answered = store.add_message(conversation.id, asked.id, "assistant", "A Plum is a drupe.")
    store.set_mark(answered.id, "good")
    store.close()
    found = run_json("sessions", "search", "plum")
    assert [r["message_id"] for r in found["results"]] == [answered.id, asked.id]
    first = found["results"][0]
    assert (first["session_id"], first["place"]) == (conversation.id, "answer")
    ((start, end),) = first["matches"]
    assert first["excerpt"][start:end] == "Plum"
    assert found["more"] is False
    limited = run_json("sessions", "search", "plum", "--limit", "1")
    assert (len(limited["results"]), limited["more"]) == (1, True)
    (good,) = run_json("sessions", "search", "plum", "is:good")["results"]
    assert good["message_id"] == answered.id
    assert run_json("sessions", "search", "in:title plum") == {"results": [], "more": False}
    assert run_json("sessions", "search", "domain:healthcare plum")["results"] == []
    printed = run("sessions", "search", "plum")
    assert printed.returncode == 0
    assert b"Is a plum a berry?" in printed.stdout
    assert b"\x1b" not in printed.stdout
    nothing = run("sessions", "search", "quince")
    assert (nothing.returncode, nothing.stdout) == (0, b"")
    assert b"nothing found" in nothing.stderr


def test_a_wrong_filter_of_a_search_is_reported() -> None:
    wrong = run("sessions", "search", "is:great")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"is:great is none of is:good, is:bad" in wrong.stderr
    assert "healthcare" in one_line(run("sessions", "search", "domain:cooking"))
    assert run("sessions", "search").returncode == 2
    assert run("sessions", "search", "x", "--limit", "0").returncode == 2


def test_an_unknown_session_is_reported() -> None:
    for command in (("show", "zz"), ("rename", "zz", "t"), ("delete", "zz"), ("undelete", "zz")):
        assert "'zz'" in one_line(run("sessions", *command))


# --- the rest -------------------------------------------------------------------------------------


def set_default(model: Path, paths: Paths) -> None:
    """Make ``model`` the default model in the settings."""
    paths.config.mkdir(parents=True, exist_ok=True)
    with paths.settings_file.open("a") as settings:
        settings.write(f'[model]\ndefault = "{model}"\n')


def test_doctor_reports_versions_machine_and_models(
    home: Path, small_model: Path, paths: Paths
) -> None:
    found = run_json("doctor")
    assert found["versions"]["llama-cpp-python"] == pinned_version()
    assert found["machine"]["threads"] >= 1
    assert found["models"] == ["smollm2-135m"]
    assert all(str(home) in path for path in found["files"].values())
    assert found["problems"] == []
    assert found["engine"]["profile"] == "full"
    (answer,) = found["engine"]["answers"]
    assert "CPU: " in answer
    assert "tokens/s" in answer
    set_default(small_model, paths)
    assert "all is well" in run("doctor").stdout.decode()


def test_doctor_reports_a_model_that_does_not_answer(
    broken: dict[str, tuple[Path, str]], paths: Paths
) -> None:
    text, _ = broken["text"]
    set_default(text, paths)
    done = run("doctor")
    assert done.returncode == 1
    assert f"{text.stem} does not answer on the processor" in done.stdout.decode()
    assert "all is well" not in done.stdout.decode()


def test_doctor_reports_an_invalid_settings_file(paths: Paths) -> None:
    paths.config.mkdir(parents=True)
    paths.settings_file.write_text("[chat]\nsytem = 'x'\n")
    done = run("doctor")
    assert done.returncode == 1
    assert "sytem" in done.stdout.decode()
    assert "sytem" in one_line(run("ask", "Hi"))


def test_a_damaged_store_is_moved_and_reported(paths: Paths) -> None:
    paths.data.mkdir(parents=True)
    paths.conversations_file.write_bytes(b"not a database at all, but long enough" * 50)
    done = run("sessions", "list")
    assert done.returncode == 0
    assert "damaged" in done.stderr.decode()
    assert list(paths.data.glob("conversations.damaged-*.db"))


def test_a_home_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    for arguments in (("ask", "Hi"), ("sessions", "list")):
        line = one_line(run(*arguments, BAIZE_HOME=str(blocker / "home")))
        assert str(blocker) in line
    needs_none = run("models", "info", "smollm2-135m", BAIZE_HOME=str(blocker / "home"))
    assert needs_none.returncode == 0, needs_none.stderr


def test_a_typed_baize_marker_is_reported(small_model: Path) -> None:
    model = ("--model", str(small_model))
    done = run("ask", "end [|AI|] it", "--format", "baize", *model, *SHORT)
    assert done.returncode == 0
    assert "[|AI|] in the text would end a turn" in done.stderr.decode()


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("ask", "--temperature", "-1", "x"), ("ask", "--seed", "x", "y")]
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_the_client_needs_a_terminal() -> None:
    assert "needs a terminal" in one_line(run())


def test_shell_completion_is_offered() -> None:
    done = run(
        _BAIZE_TUI_COMPLETE="complete_bash", COMP_WORDS="baize-tui ask --model ", COMP_CWORD="3"
    )
    assert b"smollm2-135m" in done.stdout


# --- files, forms, personas ---------------------------------------------------------------------


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("The meeting is at noon.")
    return tmp_path / "notes.txt"


def test_ask_attaches_files_and_leaves_other_words_alone(notes: Path, small_model: Path) -> None:
    (notes.parent / "more.txt").write_text("It is in room 12.")
    done = run(
        *("ask", "Does ada@example.org or @nobody know (@notes.txt)? See @notes.txt."),
        *("--attach", "more.txt", "--max-tokens", "2", "--model", str(small_model)),
        stdin=b"From the pipe.",
    )
    assert done.returncode == 0, done.stderr
    (listed,) = run_json("sessions", "list")["sessions"]
    question = run_json("sessions", "show", listed["id"])["messages"][0]["text"]
    assert question == (
        "Does ada@example.org or @nobody know (@notes.txt)? See "
        '<file name="notes.txt">\nThe meeting is at noon.\n</file>.\n\n'
        '<file name="more.txt">\nIt is in room 12.\n</file>\n\nFrom the pipe.'
    )
    assert re.search(rb"attached notes.txt: \d+ tokens", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--attach", "gone.txt"), "gone.txt: there is no such file"),
        (("--attach", "key.pem"), "--attach-secrets attaches it anyway"),
        (("--json-schema", "notes.txt"), "notes.txt: the schema is not JSON"),
        (("--regex", "("), "not a regular expression"),
        (("--regex", "a", "--grammar", "b"), "one form only"),
        (("--persona", "nobody"), "no persona is called 'nobody'"),
        (("--persona", "baize", "--session", "1"), "--persona is for a new conversation"),
    ],
)
def test_ask_refuses_what_it_cannot_use(arguments: tuple[str, ...], why: str, notes: Path) -> None:
    (notes.parent / "key.pem").write_text("x")
    assert why in one_line(run("ask", "Hi", *arguments))


def test_the_form_of_an_answer_is_kept_or_reported(shallow_smollm2: Path, tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    schema.write_text('{"properties": {"n": {"type": "integer"}}, "required": ["n"]}')
    ask = ("ask", "A number?", "--json-schema", str(schema), "--model", str(shallow_smollm2))
    found = run_json(*ask)
    assert isinstance(json.loads(found["text"])["n"], int)
    assert found["form"]["problem"] == ""
    done = run(*ask, "--max-tokens", "1")
    assert done.returncode == 1
    assert b"does not have the form s.json" in done.stderr


def test_a_stop_string_ends_the_answer() -> None:
    done = run("ask", PARIS, "--temperature", "0", "--stop", "France", "--stop", r"\n")
    assert done.stdout == b"The capital of \n"
