"""Hostile questions: arguments, standard input, attached files, grammars and schemas."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.servers import answering
from benchmarks.hostile.subjects import Subject, Use
from tests.chat.pdf_files import pdf_of
from tests.convert.hostile.mutations import mutate_bytes, mutate_json, mutate_text
from tests.engine.remote.streaming_server import stream

_OPTIONS = ("--system", "--session", "--format", "--stop", "--regex", "--adapter", "--model")


def _argument(rng: random.Random, raw: bytes) -> str:
    """What a shell can pass: no zero, and at most 128 KB."""
    typed = mutate_text(rng, raw).replace(b"\0", b"\x01")[:100_000]
    return typed.decode("utf-8", "surrogateescape")


def _ask(rng: random.Random, sandbox: Sandbox) -> Use:
    model, serving = answering(stream("Hello"))
    question = _argument(rng, b"What is @this and @/etc/hostname?")
    arguments: list[object] = ["ask", "--model", model]
    if rng.random() < 0.5:
        arguments += [rng.choice(_OPTIONS), _argument(rng, b"value")]
    if rng.random() < 0.2:
        arguments += [rng.choice(("--temperature", "--max-tokens", "--seed")), _argument(rng, b"1")]
    return Use("baize-tui", (*arguments, "--", question), codes=(0, 1, 2), serving=serving)


def _pipe(rng: random.Random, sandbox: Sandbox) -> Use:
    model, serving = answering(stream("Hello"))
    text = b"Summarize this text,\nline by line.\n" * rng.choice((1, 1, 30, 3_000))
    file = sandbox.write("stdin", mutate_text(rng, text))
    question = rng.choice((("-",), ("About this:",), ()))
    return Use("baize-tui", ("ask", "--model", model, *question), file, serving=serving)


# --- attached files -------------------------------------------------------------------------------


def _docx(rng: random.Random) -> bytes:
    body = rng.choice(
        (
            "<w:p><w:r><w:t>Text</w:t></w:r></w:p>",
            "<w:tbl>" * 3_000 + "</w:tbl>" * 3_000,
            "<w:p>" * 30_000,
            "<w:t>&a;</w:t>",
            "<w:p><w:r><w:t>\u202e1337</w:t></w:r></w:p>" * 50_000,
        )
    )
    entities = "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    kind = rng.choice(
        (
            "",
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
            f'<!DOCTYPE x [<!ENTITY a "lol">{entities}]>',
        )
    )
    if kind.count("ENTITY") > 1:
        body = "<w:p><w:r><w:t>&i;</w:t></w:r></w:p>"
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    document = (
        f'<?xml version="1.0"?>{kind}<w:document xmlns:w="{space}"><w:body>{body}</w:body>'
        "</w:document>"
    )
    output = io.BytesIO()
    types = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relation'
            f'ships+xml"/><Override PartName="/word/document.xml" ContentType="{types}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r" Type="{office}" Target="word/document.xml"/></Relationships>',
        )
        archive.writestr("word/document.xml", document.encode())
        if rng.random() < 0.3:
            archive.writestr("word/media/x.bin", b"\0" * (300 << 20))
    raw = output.getvalue()
    return raw if rng.random() < 0.5 else mutate_bytes(rng, raw)


def _pdf(rng: random.Random) -> bytes:
    text = b"BT /F1 12 Tf 72 720 Td (Hello there) Tj ET"
    content = rng.choice((text, text * 20_000, b"q " * 500_000, mutate_text(rng, text)))
    filters = b""
    if rng.random() < 0.6:
        content = zlib.compress(content if rng.random() < 0.6 else b" " * (400 << 20), 9)
        filters = b"/Filter /FlateDecode "
    kids = rng.choice((b"[3 0 R]", b"[2 0 R]", b"[3 0 R]", b"[" + b"3 0 R " * 3_000 + b"]"))
    count = rng.choice((b"1", b"1", b"999999999", b"-1"))
    stream = b"<< " + filters + b"/Length %d >>\nstream\n" % len(content) + content + b"\nendstream"
    raw = pdf_of(stream, kids, count)
    return raw if rng.random() < 0.5 else mutate_bytes(rng, raw)


def _notebook(rng: random.Random) -> bytes:
    cells = [{"cell_type": "code", "source": ["print(1)"], "outputs": [{"text": ["1"]}]}]
    return mutate_json(rng, json.dumps({"cells": cells, "nbformat": 4}).encode())


_TEXT = b"A text of a few lines.\nAnother line.\n" * 20
_FILES: tuple[tuple[str, Callable[[random.Random], bytes]], ...] = (
    ("notes.txt", lambda rng: mutate_text(rng, _TEXT)),
    ("notes.txt", lambda rng: rng.randbytes(rng.choice((1, 100, 100_000)))),
    ("big.txt", lambda rng: b"word " * rng.choice((400_000, 4_000_000))),
    ("utf16.txt", lambda rng: mutate_bytes(rng, "泽白 text".encode("utf-16") * 50)),
    ("paper.pdf", _pdf),
    ("paper.pdf", _pdf),
    ("letter.docx", _docx),
    ("letter.docx", _docx),
    ("book.ipynb", _notebook),
    ("page.html", lambda rng: mutate_text(rng, b"<html><body><p>x</p>" * 500)),
    ("table.csv", lambda rng: mutate_text(rng, b"a,b\n1,2\n" * 50)),
    ("x.zip", lambda rng: mutate_bytes(rng, b"PK\3\4" + b"\0" * 100)),
)


def _attach(rng: random.Random, sandbox: Sandbox) -> Use:
    model, serving = answering(stream("Hello"))
    kind = rng.random()
    if kind < 0.15:
        path = _special_file(rng, sandbox)
    else:
        name, make = rng.choice(_FILES)
        if rng.random() < 0.2:
            name = rng.choice(
                ("a\x1b]0;1337\x07.txt", "b\n\n.txt", "c\u202e.txt", "\udcff.txt", "-x")
            )
        path = sandbox.write(name, make(rng))
    if rng.random() < 0.5 and " " not in str(path):
        arguments: tuple[object, ...] = ("ask", f"Read @{path}", "--model", model)
    else:
        arguments = ("ask", "Read", "--attach", path, "--model", model)
    return Use("baize-tui", arguments, serving=serving)


def _special_file(rng: random.Random, sandbox: Sandbox) -> Path:
    path = sandbox.given / "special"
    match rng.randrange(8):
        case 0:
            os.mkfifo(path)
        case 1:
            return Path("/dev/zero")
        case 2:
            return Path("/dev/stdin")
        case 3:
            path.symlink_to(path)
        case 4:
            path.symlink_to("/dev/urandom")
        case 5:
            for number in range(500):
                (sandbox.given / "many" / str(number)).mkdir(parents=True)
                (sandbox.given / "many" / str(number) / "x.txt").write_text("text")
            return sandbox.given / "many"
        case 6:
            path.mkdir()
            (path / "loop").symlink_to(path)
        case 7:
            with path.open("wb") as file:
                file.truncate(1 << 40)
    return path


# --- forms ----------------------------------------------------------------------------------------

_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "pattern": "^a+$"}, "b": {"$ref": "#/$defs/c"}},
    "$defs": {"c": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}},
    "required": ["a"],
}
_SCHEMAS = (
    b'{"$ref": "#"}',
    b'{"$ref": "file:///etc/passwd"}',
    b'{"$ref": "http://127.0.0.1:1/x"}',
    b'{"type": "string", "pattern": "(a+)+$"}',
    b'{"type": "string", "maxLength": 999999999}',
    b'{"type": "array", "minItems": 999999999, "items": {}}',
    b'{"enum": [' + b"1," * 99_999 + b"1]}",
    b'{"allOf": [{"$ref": "#"}, {"$ref": "#"}]}',
    b'{"a": ' * 5_000 + b"1" + b"}" * 5_000,
)
_REGEXES = (
    *("(a+)+$", "a{999999999}", "(" * 5_000, "[" * 99, "(?=a)", "\\1", "(?P<x>a)(?P=x)", "a**"),
    *(
        "((a{99}){99}){99}",
        "[\ud800-\udfff]",
        "\\x",
        "(?i)A",
        "",
        "$^",
        "|" * 5_000,
        "\\Z",
        "a{2,1}",
    ),
    *("[z-a]", "(?#", "(?<=a+)b", "\\p{L}", "." * 20_000, "(a|a)*" * 500, "\x1b]0;1337\x07["),
)
_GRAMMARS = (
    *(b'root ::= "a" root', b"root ::= root", b"root ::= x", b'root ::= "a"{999999999}', b"root"),
    *(b'root ::= ("a"' * 3_000, b"root ::= [\\x", b"root ::= \xff", b"x ::= y\ny ::= x\n", b""),
    *(b'root ::= "' + b"a" * 1_000_000 + b'"', b"root ::= (((x)*)*)*\nx ::= |", b'root ::= "\x1b"'),
)


def _form(rng: random.Random, sandbox: Sandbox) -> Use:
    model, serving = answering(stream("Hello"))
    match rng.randrange(3):
        case 0:
            raw = mutate_json(rng, json.dumps(_SCHEMA).encode())
            file = sandbox.write("x.json", rng.choice((raw, raw, rng.choice(_SCHEMAS))))
            form: tuple[object, ...] = ("--json-schema", file)
        case 1:
            form = (
                "--regex",
                rng.choice((rng.choice(_REGEXES), _argument(rng, b"(a|b)+[c-d]{2}"))),
            )
        case _:
            seed = b'root ::= "yes" | x\nx ::= [a-z]+ "no"{2}\n'
            form = (
                "--grammar",
                sandbox.write("x.gbnf", rng.choice((*_GRAMMARS, mutate_text(rng, seed)))),
            )
    use = ("ask", "Hi", "--model", model, *form)
    return Use("baize-tui", use, codes=(0, 1, 2), serving=serving, most_lines=2)


SUBJECTS = (
    Subject("arguments of ask", 300, _ask),
    Subject("standard input of ask", 220, _pipe),
    Subject("attached files", 500, _attach),
    Subject("schemas, expressions and grammars", 300, _form),
)
