"""The commands in Chinese: help, wrong usage, output and failures, as a person sees them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from baize_tui.settings_file import write_setting
from tests.program_commands import program
from tests.translation.english_left import english_in
from tests.warm_start import PROGRAMS

ENGLISH = {"LANG": "en_US.UTF-8", "LANGUAGE": "en"}
CHINESE = {"LANG": "zh_CN.UTF-8", "LANGUAGE": "zh_CN"}
WIDTH = 80
_NO_LINE_BEGINS_WITH = "，。、；：？！）”"


def run(
    *arguments: str, locale: dict[str, str] = CHINESE, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    environment = {**variables, "COLUMNS": str(WIDTH), **locale}
    return PROGRAMS.run("baize_tui", arguments, environment, stdin=stdin)


def printed(done: subprocess.CompletedProcess[bytes]) -> str:
    """All that a command has printed, without the frames around it."""
    return re.sub("[─│╭╮╰╯]", " ", (done.stdout + done.stderr).decode())


def _words_of_commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _words_of_commands(inner, *words, name)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("words", _words_of_commands(program("baize-tui")), ids=" ".join)
def test_help_is_in_chinese(words: tuple[str, ...]) -> None:
    done = run(*words, "--help")
    assert done.returncode == 0
    text = printed(done)
    assert english_in(text) == []
    assert f"用法：baize-tui {' '.join(words)}".strip() in text
    assert "显示此帮助并退出。" in re.sub(r"\s", "", text)
    for line in done.stdout.decode().splitlines():
        assert cell_len(line) <= WIDTH
        assert "…" not in line.partition("<")[2]  # no text is cut off at the end of its column
        assert not re.search(rf"[│ ] [{_NO_LINE_BEGINS_WITH}]", line), line


@pytest.mark.parametrize("words", [("models",), ("sessions",)])
def test_a_group_of_commands_without_one_shows_its_help(words: tuple[str, ...]) -> None:
    assert english_in(printed(run(*words))) == []


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("arguments", "english", "chinese"),
    [
        (("nix",), "No such command 'nix'.", "没有命令 'nix'。"),
        (("sessions", "lst"), "Did you mean 'list'?", "是否想用 'list'？"),
        (("ask", "--sed", "1"), "Possible options: --seed, --system", "相近的选项：--seed"),
        (("ask", "--nix"), "No such option: --nix", "没有选项 --nix"),
        (("ask", "--model"), "'--model' requires an argument.", "'--model' 需要一个值。"),
        (("ask", "--json=1"), "'--json' does not take a value.", "'--json' 不带值。"),
        (("ask", "--seed", "x"), "Input should be a valid integer", "'--seed' 的值无效：应为整数"),
        (("ask", "--seed", "-1"), "greater than or equal to 0", "不能小于 0"),
        (("ask", "--temperature", "x"), "'x' is not a number.", "'x' 不是数字。"),
        (("ask", "--temperature", "inf"), "is not a finite number.", "不是有限的数字。"),
        (("ask", "--temperature", "-1"), "not in the range x>=0.", "超出范围 x>=0。"),
        (("serve", "--port", "99999"), "less than or equal to 65535", "不能大于 65535"),
        (("serve", "--server", "x"), "'x' is not one of 'llama-", "'x' 不是可选值"),
        (("sessions", "show"), "Missing argument 'session'.", "缺少参数 'session'。"),
        (("models", "list", "a"), "unexpected extra argument(s) (a)", "多余的参数：a"),
        (("sessions", "export"), "give a conversation's id, or --all", "请给出对话的 id 或 --all"),
        (("--plain", "ask"), "--plain comes after the command", "--plain 要写在命令之后"),
        (("sessions", "search", "is:x"), "is:x is none of is:good", "is:x 无效；可选：is:good"),
    ],
)
def test_wrong_usage_is_answered_in_chinese(
    arguments: tuple[str, ...], english: str, chinese: str
) -> None:
    in_english, in_chinese = run(*arguments, locale=ENGLISH), run(*arguments)
    assert in_english.returncode == in_chinese.returncode == 2
    assert english in " ".join(printed(in_english).split())
    text = printed(in_chinese)
    assert chinese in " ".join(text.split())
    assert english_in(text) == []


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    ("arguments", "english", "chinese"),
    [
        ((), "the client needs a terminal; for", "客户端需要终端；"),
        (
            ("ask", "hi", "--model", "nix"),
            "no model is called 'nix'; known",
            "没有名为 'nix' 的模型",
        ),
        (
            ("ask", "hi", "--model", "/nix.gguf"),
            "/nix.gguf: no such file",
            "/nix.gguf：没有这个文件",
        ),
        (("ask", "hi", "--model", "server:x"), "not the URL of a server;", "不是服务器的网址；"),
        (("ask",), "nothing to ask: give a question", "没有问题：请给出问题"),
        (
            ("ask", "hi", "--session", "abc"),
            "no conversation has the id 'abc'",
            "没有 id 为 'abc' 的",
        ),
        (
            ("ask", "hi", "--gpu-layers", "x"),
            "give auto, or a number of layers",
            "请写 auto 或层数",
        ),
        (
            ("ask", "hi", "--adapter", "nix"),
            "no adapter is called 'nix'",
            "没有名为 'nix' 的适配器",
        ),
        (("ask", "hi", "--adapter", "a=b"), "--adapter a=b: 'b' is not a number", "'b' 不是数字"),
        (("ask", "hi", "--persona", "nix"), "no persona is called 'nix'", "没有名为 'nix' 的人设"),
        (
            ("ask", "hi", "--format", "nix"),
            "no prompt format is called 'nix'",
            "没有名为 'nix' 的提示",
        ),
        (("ask", "hi", "--regex", "("), "not a regular expression:", "不是有效的正则表达式："),
        (("ask", "hi", "--regex", "(?i)a"), "cannot express ignoring case", "忽略大小写"),
        (
            ("ask", "hi", "--grammar", "/nix"),
            "/nix: No such file or directory",
            "/nix：没有那个文件或目录",
        ),
        (
            ("ask", "hi", "--json-object", "--regex", "a"),
            "--json-object and --regex: an answer can have one form only",
            "--json-object 和 --regex：回答只能采用一种形式",
        ),
        (("models", "info", "nix"), "no model is called 'nix'; known", "没有名为 'nix' 的模型"),
        (("models", "pull", "smollm2-135m"), "there is nothing to pull", "没有可下载的内容"),
        (("models", "remove", "qwen3-8b"), "there is nothing to remove", "没有可移除的内容"),
        (
            ("models", "import", "/nix"),
            "/nix: no such file or folder",
            "/nix：没有这个文件或文件夹",
        ),
        (
            ("models", "plan", "nix", "--outtype", "x"),
            "no outtype is called 'x'",
            "没有名为 'x' 的量化",
        ),
        (("sessions", "export", "--all", "-f", "json"), "no conversations yet", "还没有对话"),
        (("sessions", "restore", "/nix"), "/nix: No such file or directory", "没有那个文件或目录"),
        (("sessions", "import", "/nix"), "/nix: No such file or directory", "没有那个文件或目录"),
        (
            ("sessions", "delete", "abc"),
            "no conversation has the id 'abc'",
            "没有 id 为 'abc' 的对话",
        ),
        (("serve", "--host", "192.0.2.1"), "from other computers: add --listen", "请加上 --listen"),
        (
            ("serve", "--token-file", "/nix"),
            "/nix: No such file or directory",
            "没有那个文件或目录",
        ),
    ],
)
def test_a_failure_is_one_line_in_chinese(
    arguments: tuple[str, ...], english: str, chinese: str
) -> None:
    in_english, in_chinese = run(*arguments, locale=ENGLISH), run(*arguments)
    assert in_english.returncode == in_chinese.returncode == 1
    assert english in in_english.stderr.decode()
    text = in_chinese.stderr.decode()
    assert in_chinese.stdout == b""
    assert text.count("\n") == 1
    assert chinese in text
    assert english_in(text) == []


def test_lists_are_in_chinese() -> None:
    listed = run("models", "list").stdout.decode()
    assert "98 MB  已安装         （默认）A real LLaMA" in listed
    assert "还没有对话" in run("sessions", "list").stderr.decode()
    assert "没有找到" in run("sessions", "search", "瑞兽").stderr.decode()


def test_programs_get_the_same_in_every_language(tmp_path: Path) -> None:
    broken = tmp_path / "export.json"
    broken.write_text("[]", "utf-8")
    for command, code in (
        (("models", "list"), 0),
        (("models", "info", "smollm2-135m"), 0),
        (("sessions", "list"), 0),
        (("sessions", "import", str(broken)), 1),
        (("models", "list", "extra"), 2),
        (("models", "list", "--sort", "foo"), 2),
    ):
        in_english, in_chinese = run(*command, "--json", locale=ENGLISH), run(*command, "--json")
        assert (in_english.returncode, in_chinese.returncode) == (code, code)
        assert in_chinese.stdout == in_english.stdout
        assert in_chinese.stderr == in_english.stderr


def test_the_setting_decides_before_the_locale(home: Path) -> None:
    settings = home / "config" / "config.toml"
    write_setting(settings, "look", "language", "zh")
    assert "用法：" in run("--help", locale=ENGLISH).stdout.decode()
    write_setting(settings, "look", "language", "en")
    assert "Usage: " in run("--help").stdout.decode()


@pytest.mark.parametrize("content", ["[look", "[look]\nlanguage = 5\n", "\xff"])
def test_help_needs_no_valid_settings(home: Path, content: str) -> None:
    settings = home / "config" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_bytes(content.encode("latin-1"))
    assert "用法：" in run("--help").stdout.decode()
    done = run("models", "default")
    assert done.returncode == 1
    line = done.stderr.decode()
    assert f"baize-tui: {settings}：" in line
    assert english_in(line) == []


def test_chinese_that_would_be_escaped_gives_way_to_english() -> None:
    for encoding, english in (("ascii", True), ("gb18030", False)):
        done = subprocess.run(
            [sys.executable, "-m", "baize_tui", "models", "info", "nix"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, **CHINESE, "LC_ALL": "", "PYTHONIOENCODING": encoding},
            check=False,
        )
        assert done.returncode == 1
        assert (b"no model is called" in done.stderr) == english
        assert ("没有名为".encode("gb18030") in done.stderr) != english
