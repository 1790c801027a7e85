"""Hostile files of the person: recipes, settings, themes, personas, prompts, keys."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.servers import answering
from benchmarks.hostile.subjects import Subject, Use
from tests.convert.hostile.mutations import mutate_text
from tests.engine.remote.streaming_server import stream

_LONG = "a" * 1_000_000
_VALUES = (
    *('""', "1", "-1", "1e400", "nan", "inf", "true", "[]", "{}", "[[]]", "1979-05-27", "0x7f"),
    *('"\\u001b]0;1337\\u0007"', '"\\u202e1337"', '"../../../x"', '"/etc/passwd"', '"/dev/zero"'),
    *('"~root/x"', '"hf:../.."', '"server:file:///etc/passwd#x"', '"\\U0010ffff"', '"/dev/stdin"'),
    *(
        "9" * 5_000,
        "[" * 3_000 + "]" * 3_000,
        f'"{_LONG}"',
        "{ a = { b = 1 } }",
        '["", 1]',
        "'\x7f'",
    ),
    *('"hf:a/b\\u0000c"', '"C:\\\\\\\\x"', '"server:http://[::1/#x"', '"server:http://u:p@h/#m"'),
)
_LINES = ("x = 1", "a.b.c = 1", '"\\u001bc" = 1', "[x]", "[[x]]", "[model]", "= 1", '"""')


def _spoiled(rng: random.Random, text: str) -> bytes:
    """TOML with values of another kind, lines that are missing or repeated, or any bytes in it."""
    if rng.random() < 0.35:
        return mutate_text(rng, text.encode())
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        key, equals, _value = lines[at].partition(" = ")
        match rng.randrange(6):
            case 0:
                del lines[at]
                if not lines:
                    lines = [""]
            case 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 2:
                lines.insert(at, rng.choice(_LINES))
            case _:
                lines[at] = f"{key}{equals or ' = '}{rng.choice(_VALUES)}"
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _write(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


_RECIPES = (
    'title = "T"\ndescription = "D"\nlicense = "mit"\nnotice = "N"\nfile = "/x/model.gguf"\n'
    'format = "chatml"\nparameters = 5\nstop = ["a"]\n[domain]\nname = "n"\ndisclaimer = "d"\n',
    'title = "T"\nrepository = "hf:owner/name"\nfile = "m.gguf"\n[sampling]\ntemperature = 1.0\n',
    'base = "hf:owner/name"\nadapters = ["hf:owner/lora"]\nouttype = "Q8_0"\n',
    'server = "server:http://127.0.0.1:1/v1#m"\n',
    'package = "os"\nfile = "__init__.py"\n',
)
_ADAPTER = 'title = "T"\nfile = "/x/lora.gguf"\nbase = "mine"\nover = "other"\n'


def _recipe(rng: random.Random, sandbox: Sandbox) -> Use:
    models = sandbox.home / "config" / "models"
    _write(models, "mine.toml", _spoiled(rng, rng.choice(_RECIPES)))
    if rng.random() < 0.3:
        _write(models / "adapters", "lora.toml", _spoiled(rng, _ADAPTER))
    uses = (
        *(("models", "list"), ("models", "list", "--json"), ("models", "info", "mine")),
        *(("models", "default", "mine"), ("models", "plan", "mine", "--offline")),
        *(("models", "remove", "mine"), ("ask", "Hi", "--model", "mine")),
    )
    return Use("baize-tui", rng.choice(uses))


_SETTINGS = """[model]
default = "mine"
context = 4096
gpu_layers = 0
[chat]
system = "Be brief."
format = "chatml"
overflow = "drop"
think = true
moderation = true
stop = ["x"]
[look]
theme = "textual-dark"
language = "en"
[sampling]
seed = 1
temperature = 0.7
top_p = 0.9
"""


def _settings(rng: random.Random, sandbox: Sandbox) -> Use:
    _write(sandbox.home / "config", "config.toml", _spoiled(rng, _SETTINGS))
    model, serving = answering(stream("Hello"))
    uses = (("models", "list"), ("ask", "Hi", "--model", model), ("sessions", "list"))
    return Use("baize-tui", rng.choice(uses), serving=serving)


def _server_keys(rng: random.Random, sandbox: Sandbox) -> Use:
    model, serving = answering(stream("Hello"))
    host = model.removeprefix("server:http://").partition("/")[0]
    keys = f'"{host}" = "secret"\n"example.org" = "another"\n'
    file = _write(sandbox.home / "config", "server-keys.toml", _spoiled(rng, keys))
    file.chmod(0o600)
    return Use("baize-tui", ("ask", "Hi", "--model", model), serving=serving)


_PERSONA = """system = "Be a pirate."
description = "D"
greeting = "Ahoy"
moderation = true
format = "chatml"
think = false
stop = ["x"]
[sampling]
temperature = 0.5
"""
_MARKDOWN = "---\ndescription: D\ngreeting: [a]\nsampling: {temperature: 1}\n---\nBe a pirate.\n"


def _persona(rng: random.Random, sandbox: Sandbox) -> Use:
    folder = sandbox.home / "config" / "personas"
    if rng.random() < 0.5:
        _write(folder, "mine.toml", _spoiled(rng, _PERSONA))
    else:
        _write(folder, "mine.md", mutate_text(rng, _MARKDOWN.encode()))
    model, serving = answering(stream("Hello"))
    name = rng.choice(("mine", "mine", "mine", "../mine", "\x1b]0;1337\x07", "", "x" * 5_000))
    use = ("ask", "Hi", "--model", model, "--persona", name)
    return Use("baize-tui", use, codes=(0, 1, 2), serving=serving)


def _state(rng: random.Random, sandbox: Sandbox) -> Use:
    """Files that the programs have written themselves, and something has damaged."""
    home = sandbox.home
    files = {
        home / "data" / "default-model.json": b'{"model": "mine"}',
        home / "cache" / "machine-profile.json": b'{"profile": "full", "machine": "x"}',
        home / "data" / "models" / "pulled.json": b'{"file": "x.gguf", "sha256": "0"}',
        home / "cache" / "flash-attention.json": b'{"pays": true}',
    }
    for file, content in files.items():
        _write(file.parent, file.name, mutate_text(rng, content))
    uses = (("models", "list"), ("models", "default", "mine"), ("ask", "Hi", "--model", "mine"))
    return Use("baize-tui", rng.choice(uses))


SUBJECTS = (
    Subject("recipes", 300, _recipe),
    Subject("settings", 300, _settings),
    Subject("keys of servers", 60, _server_keys),
    Subject("personas", 200, _persona),
    Subject("files of its own that are damaged", 80, _state),
)
