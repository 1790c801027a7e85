"""Hostile models: GGUF files, checkpoints with their tokenizers, adapters, chat templates."""

from __future__ import annotations

import functools
import io
import json
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.subjects import Subject, Use
from tests.convert.hostile.gguf_parts import STRING, mutate_gguf, read_parts, text_bytes
from tests.convert.hostile.mutations import mutate_bytes, mutate_json, mutate_text
from tests.convert.hostile.readers import READERS, Mutate
from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import convert_folder

PLAIN = FOLDER / "plain"
Write = Callable[[random.Random, Sandbox], Use]


@functools.cache
def small_models(folder: Path) -> tuple[bytes, ...]:
    """Models that llama.cpp can run, in two types; ``folder`` is for files in between."""
    made = []
    for outtype in ("F16", "Q8_0"):
        file = folder / f"{outtype}.gguf"
        convert_folder(BASE, outtype, file)
        made.append(file.read_bytes())
    return tuple(made)


@functools.cache
def _seeds(name: str, folder: Path) -> tuple[bytes, ...]:
    folder = folder / name
    folder.mkdir()
    return tuple(READERS[name].seeds(folder))


# --- GGUF -----------------------------------------------------------------------------------------


def _spoiled_model(rng: random.Random, sandbox: Sandbox) -> Path:
    raw = rng.choice(small_models(sandbox.seeds))
    spoil = rng.choice((mutate_gguf, mutate_gguf, mutate_gguf, READERS["gguf-model"].mutate))
    return sandbox.write("model.gguf", spoil(rng, raw))


def _inspect_model(rng: random.Random, sandbox: Sandbox) -> Use:
    return Use("baize-convert", ("inspect", _spoiled_model(rng, sandbox)))


def _import_model(rng: random.Random, sandbox: Sandbox) -> Use:
    return Use("baize-tui", ("models", "import", _spoiled_model(rng, sandbox)))


def _ask_model(rng: random.Random, sandbox: Sandbox) -> Use:
    model = _spoiled_model(rng, sandbox)
    return Use("baize-tui", ("ask", "Hi", "--model", model, "--max-tokens", "3"))


def _convert_adapter_file(rng: random.Random, sandbox: Sandbox) -> Use:
    raw = rng.choice(_seeds("gguf-adapter", sandbox.seeds))
    spoil = rng.choice((mutate_gguf, READERS["gguf-adapter"].mutate))
    file = sandbox.write("adapter.gguf", spoil(rng, raw))
    return Use("baize-convert", ("plan", BASE, "--adapter", file))


# --- folders --------------------------------------------------------------------------------------


def _in_folder(
    source: Path, name: str, seeds: Callable[[Path], tuple[bytes, ...]], mutate: Mutate
) -> Write:
    """A copy of ``source`` whose file ``name`` is spoiled, in ``plan``."""

    def write(rng: random.Random, sandbox: Sandbox) -> Use:
        folder = sandbox.given / "folder"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.bin", "merged*"))
        (folder / name).write_bytes(mutate(rng, rng.choice(seeds(sandbox.seeds))))
        if name == "model.safetensors.index.json":
            (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        elif name == "tokenizer.model":
            (folder / "tokenizer.json").unlink()
        elif name == "adapter_model.bin":
            (folder / "adapter_model.safetensors").unlink()
        if source == BASE:
            return Use("baize-convert", ("plan", folder))
        output = sandbox.out / "adapter.gguf"
        return Use("baize-convert", ("adapter", folder, "--base", BASE, "-o", output))

    return write


def _files(*files: Path) -> Callable[[Path], tuple[bytes, ...]]:
    return lambda _: tuple(file.read_bytes() for file in files)


def _of_reader(name: str) -> Callable[[Path], tuple[bytes, ...]]:
    return lambda folder: _seeds(name, folder)


def _safetensors(rng: random.Random, sandbox: Sandbox) -> Use:
    mutate = READERS["safetensors"].mutate
    base = _in_folder(BASE, "model.safetensors", _files(BASE / "model.safetensors"), mutate)
    name = "adapter_model.safetensors"
    adapter = _in_folder(PLAIN, name, _files(PLAIN / name), mutate)
    return rng.choice((base, adapter))(rng, sandbox)


class _Touching:
    """Its pickle has code that creates a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        import os

        return os.system, (f"touch '{self._file}'",)


def _pickles(rng: random.Random, sandbox: Sandbox) -> Use:
    if rng.random() < 0.25:
        code = _with_code(rng, sandbox)
        return _in_folder(PLAIN, "adapter_model.bin", lambda _: (code,), lambda _, raw: raw)(
            rng, sandbox
        )
    name = rng.choice(("torch-zip", "torch-zip", "torch-legacy"))
    seeds = _files(PLAIN / ("legacy.bin" if name == "torch-legacy" else "adapter_model.bin"))
    return _in_folder(PLAIN, "adapter_model.bin", seeds, READERS[name].mutate)(rng, sandbox)


def _with_code(rng: random.Random, sandbox: Sandbox) -> bytes:
    """A file of weights, with code in or around them."""
    protocol = rng.choice((0, 1, 2, 3, 4, 5))
    touching = pickle.dumps({"x": _Touching(sandbox.canary)}, protocol)
    if rng.random() < 0.3:
        return rng.choice((touching, mutate_bytes(rng, touching)))
    output = io.BytesIO()
    with (
        zipfile.ZipFile(PLAIN / "adapter_model.bin") as source,
        zipfile.ZipFile(output, "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/data.pkl"):
                content = rng.choice((touching, touching[:-1] + content, content[:-1] + touching))
            target.writestr(name, content)
        target.writestr(rng.choice(("../../x", "/x", "code/__init__.py")), b"import os")
    return output.getvalue()


def _imatrix(rng: random.Random, sandbox: Sandbox) -> Use:
    name = rng.choice(("imatrix.dat", "imatrix.gguf"))
    file = sandbox.write(name, mutate_bytes(rng, (FOLDER / name).read_bytes()))
    return Use("baize-convert", ("plan", BASE, "--outtype", "Q4_K_M", "--imatrix", file))


# --- chat templates -------------------------------------------------------------------------------

_LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
_TEMPLATES = (
    *("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", _LOOP),
    *(
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ range(10**9) | list }}",
        "{{ 9**9**9 }}",
    ),
    *("{{ cycler.__init__.__globals__.os.popen('CODE').read() }}", "{{ 'a' * 10**10 }}"),
    *("{{ self._TemplateReference__context.eval_ctx.environment }}", "{{ messages.append(1) }}"),
    *("{{ lipsum.__globals__['os'].system('CODE') }}", "{{ raise_exception('\x1b]0;x\x07no') }}"),
    *(
        "{{ joiner.__init__.__globals__.__builtins__.__import__('os').system('CODE') }}",
        "{{ x.y }}",
    ),
    *(
        "{{ strftime_now('%9999999d') }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '{0.__class__}'.format(1) }}",
    ),
    *("{{ messages | tojson(indent=99999999) }}", "{% include '/etc/passwd' %}", "{% macro m() %}"),
    *("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% import 'os' as os %}{{ os }}", "{{"),
    *("{{ 'a' | center(10**9) }}", "{{ 'x' | indent(10**9) }}", "{{ [0] * 10**9 }}", "{% break %}"),
    *(
        "(" * 5000,
        "{{ " + "(" * 3000 + ")" * 3000 + " }}",
        "{{ " + "not " * 9000 + "1 }}",
        "\x1b[2J",
    ),
    *(
        "{% set a = 'aaaaaaaaaa' * 9999 %}{% for i in range(99999) %}{{ a }}{% endfor %}",
        "{# x",
        "",
    ),
    *("{{ 'abc' | batch(10**9, 0) | list }}", "{{ messages | map('attr', '__class__') | list }}"),
    *(
        "{{ dict.__base__ }}",
        "{{ namespace(a=namespace) }}",
        "{{ '\\ud800' }}",
        "{{ messages[9] }}",
    ),
    *("{{ 'a' | replace('', 'b' * 999999) }}", "{{ 'x' | wordwrap(-1) }}", "{{ '[' | urlize }}"),
)


def _template(rng: random.Random, sandbox: Sandbox) -> str:
    template = rng.choice(_TEMPLATES).replace("CODE", f"touch {sandbox.canary}")
    if rng.random() < 0.4:
        template += rng.choice(_TEMPLATES).replace("CODE", f"touch {sandbox.canary}")
    if rng.random() < 0.2:
        template = mutate_text(rng, template.encode()).decode("utf-8", "replace")
    return template


def _ask_template(rng: random.Random, sandbox: Sandbox) -> Use:
    parts = read_parts(small_models(sandbox.seeds)[0])
    template = _template(rng, sandbox).encode()
    parts.set_key("tokenizer.chat_template", STRING, text_bytes(template))
    model = sandbox.write("model.gguf", parts.to_bytes())
    return Use("baize-tui", ("ask", "Hi", "--model", model, "--max-tokens", "3"))


def _convert_template(rng: random.Random, sandbox: Sandbox) -> Use:
    template = _template(rng, sandbox)
    if rng.random() < 0.2:
        template_value: object = [{"name": "default", "template": template}, {"name": 1}]
    else:
        template_value = template
    config = json.dumps({"chat_template": template_value}).encode()
    write = _in_folder(BASE, "tokenizer_config.json", lambda _: (config,), lambda _, raw: raw)
    return write(rng, sandbox)


_CONFIGS = (BASE / "tokenizer_config.json", FOLDER / "biased" / "tokenizer_config.json")
SUBJECTS = (
    Subject("GGUF headers, inspected", 700, _inspect_model),
    Subject("GGUF headers, imported", 250, _import_model),
    Subject("GGUF headers, asked", 150, _ask_model),
    Subject("GGUF adapters", 250, _convert_adapter_file),
    Subject("safetensors headers", 450, _safetensors),
    Subject("pickles of weights", 450, _pickles),
    Subject(
        "config.json",
        350,
        _in_folder(
            BASE,
            "config.json",
            _files(BASE / "config.json", FOLDER / "biased" / "config.json"),
            mutate_json,
        ),
    ),
    Subject(
        "generation_config.json",
        100,
        _in_folder(
            BASE, "generation_config.json", _files(BASE / "generation_config.json"), mutate_json
        ),
    ),
    Subject(
        "adapter_config.json",
        200,
        _in_folder(
            PLAIN,
            "adapter_config.json",
            _files(PLAIN / "adapter_config.json", FOLDER / "tokens" / "adapter_config.json"),
            mutate_json,
        ),
    ),
    Subject(
        "tokenizer.json",
        300,
        _in_folder(BASE, "tokenizer.json", _files(BASE / "tokenizer.json"), mutate_json),
    ),
    Subject(
        "tokenizer.model",
        200,
        _in_folder(BASE, "tokenizer.model", _of_reader("sentencepiece"), mutate_bytes),
    ),
    Subject(
        "tokenizer_config.json",
        150,
        _in_folder(BASE, "tokenizer_config.json", _files(*_CONFIGS), mutate_json),
    ),
    Subject(
        "indexes of shards",
        150,
        _in_folder(BASE, "model.safetensors.index.json", _of_reader("index"), mutate_json),
    ),
    Subject(
        "model cards", 120, _in_folder(BASE, "README.md", _of_reader("model-card"), mutate_text)
    ),
    Subject("importance matrices", 100, _imatrix),
    Subject("chat templates, converted", 150, _convert_template),
    Subject("chat templates, asked", 120, _ask_template),
)
