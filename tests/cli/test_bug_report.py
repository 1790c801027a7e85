"""``doctor --bundle``: what helps, and no word, secret or name of the person."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.cli.bug_report import bug_report
from baize_tui.cli.log_excerpts import safe_lines
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, ModelSettings, Settings
from baize_tui.store.conversations import Store
from tests.cli.test_commands import one_line, run, set_default

SECRET = "plum-7f3a"
"""In no report."""
HOME = Path("/home/anna")
LLAMA_CPP = (
    "load_tensors:   CPU_Mapped model buffer size =    94.00 MiB",
    "llama_context: n_ctx         = 4096",
    "print_info: arch             = llama",
    "ggml_cuda_init: found 1 CUDA devices:",
)


def crash(message: str) -> str:
    """The traceback of an exception as a log has it."""
    conversation = message
    try:
        raise RuntimeError(f"cannot read {conversation}")
    except RuntimeError as error:
        return "2026-11-30 02:17:46 +0000 baize-tui\n" + "".join(traceback.format_exception(error))


def report(settings: Settings | None = None, **logs: str) -> str:
    doctor = {"files": {"log": f"{HOME}/logs/worker.log"}, "problems": []}
    settings = settings if settings is not None else Settings()
    return bug_report(doctor, settings, logs, home=HOME, user="anna")


def test_a_report_of_this_machine(small_model: Path, paths: Paths, tmp_path: Path) -> None:
    set_default(small_model, paths)
    with paths.settings_file.open("a") as settings:
        settings.write(f"[chat]\nsystem = '{SECRET}'\nmax_tokens = 300\n")
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system=SECRET, moderation=True, title=SECRET)
    store.add_message(conversation.id, None, "user", SECRET)
    store.close()
    paths.logs.mkdir(parents=True)
    (paths.logs / "baize-tui.log").write_text(crash(SECRET))
    file = tmp_path / "report.md"
    done = run("doctor", "--bundle", str(file))
    assert done.returncode == 0, done.stderr
    assert b"read it before you send it" in done.stderr
    text = file.read_text("utf-8")
    assert SECRET not in text
    for wanted in ("llama.cpp", "textual 8", "chat.max_tokens = 300", "in crash", "RuntimeError"):
        assert wanted in text
    assert "chat.system = (a text of 9 characters)" in text
    assert str(file) in one_line(run("doctor", "--bundle", str(file)))
    assert file.read_text("utf-8") == text, "a file that exists is not replaced"


def test_settings_that_differ_are_shown_and_texts_only_counted() -> None:
    settings = Settings(
        model=ModelSettings(
            default=f"server:http://me:{SECRET}@pear", context=2048, kv_type="q8_0"
        ),
        chat=ChatSettings(system=SECRET, overflow="shift"),
        sampling={"temperature": 0.5},
        keys={"send": "ctrl+s"},
    )
    text = report(settings)
    for line in (
        "model.context = 2048",
        "model.kv_type = q8_0",
        "chat.overflow = shift",
        "sampling.temperature = 0.5",
        "keys = 1 key of the person's own",
    ):
        assert line in text
    assert SECRET not in text
    assert "chat.max_tokens" not in text, "it has its default"


def test_what_llama_cpp_prints_is_kept_but_not_what_it_quotes() -> None:
    quoting = (
        f"llama_model_loader: - kv  22: tokenizer.chat_template str = {SECRET}",
        f"llama_grammar_init_impl: {SECRET}",
        f"parse: error parsing grammar: {SECRET}",
        f"llama_model_loader: loaded 272 tensors from {HOME}/{SECRET}/plum.gguf",
    )
    lines = safe_lines("\n".join((*LLAMA_CPP, *quoting, *LLAMA_CPP)))
    assert lines == [
        *LLAMA_CPP,
        "(3 lines left out)",
        "llama_model_loader: loaded 272 tensors from …/plum.gguf",
        *LLAMA_CPP,
    ]


@given(st.lists(st.sampled_from(["", " ", "\t", "a", ":", "\n", "load: ", '  File "a.py"', "é"])))
def test_no_message_of_an_exception_is_in_it(parts: list[str]) -> None:
    """Whatever form its lines have, up to the next entry of the log."""
    message = SECRET.join(["", *parts, ""])
    entry = crash("pear")
    lines = safe_lines(f"{crash(message)}\n{entry}")
    assert not any(SECRET in line for line in lines)
    assert lines.count("2026-11-30 02:17:46 +0000 baize-tui") == 2
    assert sum("in crash" in line for line in lines) == 2


def test_names_of_the_person_are_left_out() -> None:
    text = report(worker=f"load_model: cannot open {HOME}/m.gguf", serve="/media/anna/x: denied")
    assert "anna" not in text
    assert "~/logs/worker.log" in text


def test_a_fence_in_a_log_does_not_end_its_section() -> None:
    text = report(worker="load: ```\n", other="load: \x1b]0;x\x07")
    assert text.count("```") % 2 == 0
    assert "\x1b" not in text


@pytest.mark.skipif(sys.platform == "win32", reason="no such file")
def test_a_file_that_cannot_be_written_is_one_line(small_model: Path, paths: Paths) -> None:
    set_default(small_model, paths)
    assert "/dev/null/report.md" in one_line(run("doctor", "--bundle", "/dev/null/report.md"))
