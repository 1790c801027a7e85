"""Chinese names of files in locales that are not UTF-8: every program reads and writes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.convert.make_goldens import BASE
from tests.made_once import made_once
from tests.program_commands import MODULES
from tests.sweeps import swept
from tests.terminal.pty_session import PtySession

ENCODINGS = {"C": "ascii", "zh_CN.GB2312": "gb2312", "zh_CN.GB18030": "gb18030"}


def _make_locale(name: str, folder: Path) -> None:
    folder.mkdir()
    language, _, encoding = name.partition(".")
    subprocess.run(
        ["localedef", "-i", language, "-f", encoding, str(folder / name)],
        capture_output=True,
        check=False,  # it warns, and says so with its exit code
    )


# It takes 15 times as long to make the locale with GB18030 as that with GB2312.
@pytest.fixture(params=swept(ENCODINGS, "zh_CN.GB2312"))
def locale(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a locale, and encodings taken from it."""
    names = {"LC_ALL": request.param, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if request.param == "C":
        return names
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/zh_CN").exists():
        pytest.skip("the locale cannot be made")
    locales = made_once(
        tmp_path_factory, f"locale-{request.param}", partial(_make_locale, request.param)
    )
    return {**names, "LOCPATH": str(locales)}


@pytest.fixture
def chinese(tmp_path: Path, shallow_smollm2: Path) -> Path:
    """A folder with a model."""
    folder = tmp_path / "模型"
    folder.mkdir()
    (folder / "小.gguf").symlink_to(shallow_smollm2)
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
    return ENCODINGS[locale["LC_ALL"]]


def test_a_model_in_a_chinese_folder(chinese: Path, locale: dict[str, str]) -> None:
    home, model = chinese / "家", chinese / "小.gguf"
    run("baize-tui", "models", "import", model, "--name", "small", locale=locale, home=home)
    shown = run("baize-tui", "models", "info", "small", "--json", locale=locale, home=home)
    assert json.loads(shown.stdout)["path"] == str(model)
    text = run("baize-tui", "models", "info", "small", locale=locale, home=home).stdout
    printed = str(model).encode(encoding(locale), "backslashreplace")
    assert printed in text
    question = ("ask", "What is the capital of France?", "--model", model, "--regex", "Paris")
    assert run("baize-tui", *question, locale=locale, home=home).stdout == b"Paris\n"
    (session,) = json.loads(
        run("baize-tui", "sessions", "list", "--json", locale=locale, home=home).stdout
    )["sessions"]
    more = ("ask", "And of Italy?", "--session", session["id"], "--max-tokens", "4")
    assert run("baize-tui", *more, locale=locale, home=home).stdout


def test_a_question_is_read_in_the_encoding_of_the_terminal(
    chinese: Path, locale: dict[str, str]
) -> None:
    home, model = chinese / "家", chinese / "小.gguf"
    typed = "你好吗？".encode("utf-8" if encoding(locale) == "ascii" else encoding(locale))
    run("baize-tui", "ask", typed, "--model", model, "--max-tokens", "2", locale=locale, home=home)
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
