"""``models import`` and ``pull``, ``baize-convert merge`` and the saving of states, killed."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from baize_convert.merge import merge
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.snapshots.block_file import read_block
from baize_tui.paths import Paths
from benchmarks.killing.cases import Case, KilledCommand, Outcome, RunCase, prepare_command
from tests.conftest import smollm2_file
from tests.convert.model_folders import SHAPES, random_folder, read_tensors
from tests.engine.test_killed_while_saving import answer, kill_while_saving
from tests.hub.stand_in import Hub, serve

GGUF = "SmolLM2-Q4_1.gguf"
_LARGEST_STATE = 3 << 20


def prepare_import(folder: Path, stack: ExitStack) -> RunCase:
    return prepare_command(_ModelImport(), folder)


def prepare_pull(folder: Path, stack: ExitStack) -> RunCase:
    ggufs = folder / "ggufs"
    ggufs.mkdir()
    (ggufs / GGUF).symlink_to(smollm2_file())
    model = random_folder(folder / "model", **SHAPES["wide"])
    hub = stack.enter_context(serve({"owner/ggufs": ggufs, "owner/model": model}))
    return prepare_command(_Pull(hub, folder), folder)


def prepare_merge(folder: Path, stack: ExitStack) -> RunCase:
    return prepare_command(_Merge(folder), folder)


def prepare_snapshots(folder: Path, stack: ExitStack) -> RunCase:
    return lambda case: asyncio.run(_kill_while_saving(case))


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _ModelImport(KilledCommand):
    """A copy of the real model, and a link to it, in turn."""

    variants = 2

    def __init__(self) -> None:
        self._sha256 = sha256(smollm2_file())

    def fill(self, case: Case) -> None:
        case.settings("[model]\nthreads = 1\n")

    def arguments(self, case: Case) -> list[object]:
        copies = ["--copy"] if case.number % 2 == 0 else []
        return ["baize_tui", "models", "import", smollm2_file(), "--name", "mine", *copies]

    def check_finished(self, case: Case) -> Iterator[str]:
        recipe = case.home / "data" / "models" / "mine.toml"
        if not recipe.exists():
            yield "the model has no recipe"
        copy = case.home / "data" / "models" / "mine.gguf"
        if case.number % 2 == 0 and (not copy.exists() or sha256(copy) != self._sha256):
            yield "the copy is not the model"


class _Pull(KilledCommand):
    """A ready file and a conversion, in turn."""

    variants = 2

    def __init__(self, hub: Hub, folder: Path) -> None:
        self._hub = hub
        wanted = folder / "wanted.gguf"
        merge(
            plan_conversion(hub.folders["owner/model"], [], parse_outtype("Q4_K_M")),
            wanted,
        )
        self._tensors = _tensor_digest(wanted)
        self._sha256 = sha256(smollm2_file())

    def arguments(self, case: Case) -> list[object]:
        name = ("hf:owner/ggufs", "hf:owner/model:Q4_K_M")[case.number % 2]
        return ["baize_tui", "models", "pull", name]

    def environment(self) -> Mapping[str, str]:
        return {"HF_ENDPOINT": self._hub.url}

    def check_finished(self, case: Case) -> Iterator[str]:
        files = [*(case.home / "data" / "models").glob("*.gguf")]
        if len(files) != 1:
            yield f"{len(files)} models"
        elif case.number % 2 == 0:
            if sha256(files[0]) != self._sha256:
                yield "the file is not that of the hub"
        elif _tensor_digest(files[0]) != self._tensors:
            yield "the tensors are not those of a merge"


def _tensor_digest(file: Path) -> str:
    digest = hashlib.sha256()
    for name, (type, data) in sorted(read_tensors(file).items()):
        digest.update(f"{name} {type}".encode() + data)
    return digest.hexdigest()


class _Merge(KilledCommand):
    """Merges of a random model to two types, in turn."""

    variants = 2
    _OUTTYPES = ("Q4_K_M", "F32")

    def __init__(self, folder: Path) -> None:
        self._base = random_folder(folder / "base", **SHAPES["wide_tied"])
        self._digests = []
        for outtype in self._OUTTYPES:
            output = folder / f"{outtype}.gguf"
            merge(plan_conversion(self._base, [], parse_outtype(outtype)), output)
            self._digests.append(sha256(output))

    def arguments(self, case: Case) -> list[object]:
        outtype = self._OUTTYPES[case.number % 2]
        options = ("--outtype", outtype, "--output", case.folder / "merged.gguf")
        return ["baize_convert", "merge", self._base, *options]

    def check_killed(self, case: Case) -> Iterator[str]:
        merged = case.folder / "merged.gguf"
        if merged.exists() and sha256(merged) != self._digests[case.number % 2]:
            yield "an incomplete file has the name of the output"

    def check_finished(self, case: Case) -> Iterator[str]:
        if sha256(case.folder / "merged.gguf") != self._digests[case.number % 2]:
            yield "the bytes are not those of a merge that was not killed"


async def _kill_while_saving(case: Case) -> Outcome:
    """Kill a worker while it writes a state; no later one may use or keep what is damaged."""
    paths = Paths(*(case.home / name for name in ("config", "data", "cache", "logs")))
    chance, outcome = random.Random(case.number), Outcome()
    engine = await _loaded(paths)
    try:
        first = await answer(engine, "first")
        await kill_while_saving(engine, paths.snapshots_folder, chance.randrange(_LARGEST_STATE))
    finally:
        await engine.close()
    for file in paths.snapshots_folder.glob("*/*.kv"):
        read_block(file)  # whole
    engine = await _loaded(paths)
    try:
        if (await answer(engine, "last")).ids != first.ids:
            outcome.failures.append("another answer than before the kill")
        if problem := await engine.save_cache():
            outcome.failures.append(f"not saved: {problem}")
        again = await answer(engine, "last")
        if again.ids != first.ids or not again.stats.reused_tokens:
            outcome.failures.append("what was saved afterwards is not used")
    finally:
        await engine.close()
    outcome.failures += case.leftovers()
    return outcome


async def _loaded(paths: Paths) -> WorkerEngine:
    engine = WorkerEngine(paths)
    await engine.load(ModelSpec(str(smollm2_file()), 512, 1, 1, snapshot_budget=64 << 20))
    return engine
