"""Chinese names of files in locales that are not UTF-8: every program reads and writes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.convert.make_goldens import BASE
from tests.made_once import made_once
from tests.program_commands import MODULES
from tests.terminal.pty_session import PtySession

GB18030 = "zh_CN.GB18030"


def _make_locale(folder: Path) -> None:
    folder.mkdir()
    subprocess.run(
        ["localedef", "-i", "zh_CN", "-f", "GB18030", str(folder / GB18030)],
        capture_output=True,
        check=False,  # it warns, and says so with its exit code
    )


@pytest.fixture(params=[pytest.param("C", marks=pytest.mark.sweep), GB18030])
def locale(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a locale, and encodings taken from it."""
    names = {"LC_ALL": request.param, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if request.param == "C":
        return names
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/zh_CN").exists():
        pytest.skip("the locale cannot be made")
    return {**names, "LOCPATH": str(made_once(tmp_path_factory, "locales", _make_locale))}


@pytest.fixture
def chinese(tmp_path: Path, smollm2: Path) -> Path:
    """A folder with a model."""
    folder = tmp_path / "模型"
    folder.mkdir()
    (folder / "小.gguf").symlink_to(smollm2)
    return folder


def run(
    program: str, *arguments: str | Path | bytes, locale: dict[str, str], home: Path
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", MODULES[program], *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "BAIZE_HOME": str(home), **locale},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    return done


def encoding(locale: dict[str, str]) -> str:
    return "gb18030" if locale["LC_ALL"] == GB18030 else "ascii"


def test_a_model_in_a_chinese_folder(chinese: Path, locale: dict[str, str]) -> None:
    home, model = chinese / "家", chinese / "小.gguf"
    run("baize-tui", "models", "import", model, "--name", "small", locale=locale, home=home)
    shown = run("baize-tui", "models", "info", "small", "--json", locale=locale, home=home)
    assert json.loads(shown.stdout)["path"] == str(model)
    text = run("baize-tui", "models", "info", "small", locale=locale, home=home).stdout
    printed = str(model).encode(encoding(locale), "backslashreplace")
    assert printed in text
    question = ("ask", "What is the capital of France?", "--model", model, "--temperature", "0")
    assert b"Paris" in run("baize-tui", *question, locale=locale, home=home).stdout
    (session,) = json.loads(
        run("baize-tui", "sessions", "list", "--json", locale=locale, home=home).stdout
    )["sessions"]
    more = ("ask", "And of Italy?", "--session", session["id"], "--max-tokens", "4")
    assert run("baize-tui", *more, locale=locale, home=home).stdout


def test_a_question_is_read_in_the_encoding_of_the_terminal(
    chinese: Path, locale: dict[str, str]
) -> None:
    home = chinese / "家"
    typed = "你好吗？".encode("gb18030" if encoding(locale) == "gb18030" else "utf-8")
    run("baize-tui", "ask", typed, "--max-tokens", "2", locale=locale, home=home)
    listed = run("baize-tui", "sessions", "list", "--json", locale=locale, home=home).stdout
    assert json.loads(listed)["sessions"][0]["title"] == "你好吗？"


def test_a_checkpoint_in_a_chinese_folder(chinese: Path, locale: dict[str, str]) -> None:
    home, base, output = chinese / "家", chinese / "基础", chinese / "结果.gguf"
    shutil.copytree(BASE, base)
    arguments = ("merge", base, "--outtype", "F32", "-o", output, "--json")
    merged = run("baize-convert", *arguments, locale=locale, home=home)
    assert json.loads(merged.stdout)["output"] == str(output)
    verified = ("verify", output, "--base", base, "--tokens", "16", "--json")
    found = json.loads(run("baize-convert", *verified, locale=locale, home=home).stdout)
    assert found["same_top"] == 1.0


def test_a_corpus_with_a_chinese_name(chinese: Path, locale: dict[str, str]) -> None:
    corpus = chinese / "对话.jsonl"
    turns = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]
    corpus.write_text(json.dumps({"messages": turns}, ensure_ascii=False), "utf-8")
    arguments = ("data", "convert", corpus, "-o", chinese / "新.jsonl")
    done = run("baize-train", *arguments, locale=locale, home=chinese / "家")
    assert "新".encode(encoding(locale), "backslashreplace") in done.stdout
    assert "你好" in (chinese / "新.jsonl").read_text("utf-8")


def test_a_terminal_without_utf8_is_refused(locale: dict[str, str]) -> None:
    with PtySession(environment=locale) as client:
        assert client.wait_for_end() == 1
    assert b"the screen needs UTF-8" in client.written
    assert client.written.count(b"\n") == 1
