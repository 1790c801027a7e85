"""Hostile data to train on, in every format that is read."""

from __future__ import annotations

import json
import random
from pathlib import Path

from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.subjects import Subject, Use
from tests.convert.hostile.mutations import mutate_bytes, mutate_json, mutate_text
from tests.train.input_formats import FORMS, Form


def _spoiled(rng: random.Random, form: Form, file: Path) -> None:
    """Write data in a known form, of which some lines are spoiled."""
    if callable(form.data):
        form.data(file)
        raw = file.read_bytes()
    else:
        raw = json.dumps(form.data).encode() + b"\n"
    if len(raw) > 100_000:
        raw = raw[:2_000] + raw[-2_000:]
    if form.suffix == ".parquet":
        file.write_bytes(mutate_bytes(rng, raw))
        return
    if form.suffix == ".jsonl":
        lines = [raw.rstrip(b"\n")] * rng.choice((1, 2, 5))
        at = rng.randrange(len(lines))
        lines[at] = rng.choice((mutate_json, mutate_json, mutate_text))(rng, lines[at])
        raw = b"\n".join(lines) + b"\n"
    else:
        raw = mutate_text(rng, raw)
    file.write_bytes(raw)


def _read_data(rng: random.Random, sandbox: Sandbox) -> Use:
    form = rng.choice(FORMS)
    name = rng.choice(("data", "data", "data", "a\x1b]0;1337\x07", "b\u202e", "\udcff"))
    file = sandbox.given / f"{name}{form.suffix}"
    _spoiled(rng, form, file)
    out = sandbox.out
    uses: tuple[tuple[object, ...], ...] = (
        ("validate", file, *form.options),
        ("convert", file, "-o", out / "x.jsonl", *form.options),
        ("convert", file, "-o", out / "x.jsonl", "--filter", "language", *form.options),
        ("stats", file),
        ("card", file),
        ("split", file, "--train", out / "a.jsonl", "--eval", out / "b.jsonl"),
        ("mix", f"{file}=1", "-o", out / "x.jsonl"),
    )
    use = ("data", *rng.choice(uses))
    return Use("baize-train", use, codes=(0, 1, 2), most_lines=50)


_SEEDS = (
    ("seeds.txt", b"What is a prime?\nWhy is the sky blue?\n" * 3),
    ("seeds.csv", b"question,source\nWhat is it?,a\nWhy?,b\n"),
    ("seeds.jsonl", b'{"question": "What is it?", "topic": "x"}\n' * 3),
)


def _read_seeds(rng: random.Random, sandbox: Sandbox) -> Use:
    name, raw = rng.choice(_SEEDS)
    file = sandbox.write(name, mutate_text(rng, raw))
    out = sandbox.out / "corpus.jsonl"
    if rng.random() < 0.4:  # an earlier run that was cut off, or spoiled
        out.write_bytes(mutate_text(rng, b'{"messages": [{"role": "user", "content": "x"}]}\n'))
    model = "server:http://127.0.0.1:1/v1#m"
    use = ("selfchat", "--seeds", file, "-o", out, "--speaker", model, "--dry-run")
    return Use("baize-train", use, codes=(0, 1, 2), most_lines=50)


SUBJECTS = (
    Subject("corpora and preferences", 700, _read_data),
    Subject("seeds", 150, _read_seeds),
)
