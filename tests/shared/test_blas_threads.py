"""BLAS has one thread while a pool of our own computes, and as many as before afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from baize_convert.failures import ConvertError
from baize_convert.merge import merge
from baize_convert.plan import Plan, plan_conversion
from baize_convert.quantization.ggml import Float32
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.verify.predictions import compare_logits
from baize_shared.blas_threads import single_threaded_blas
from baize_tui.engine import likelihood
from baize_tui.engine.bindings import AbortFlag, Context
from baize_tui.engine.likelihood import logits
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Load
from tests.convert.make_goldens import BASE

BEFORE = 2
"""BLAS threads outside; more than the one inside, on every machine."""


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_blas_threads() -> Iterator[None]:
    if not blas_threads():
        pytest.skip("threadpoolctl does not know the BLAS of this numpy (Accelerate)")
    with threadpool_limits(limits=BEFORE, user_api="blas"):
        assert blas_threads() == {BEFORE}
        yield


@dataclass
class Watching:
    """A change of rows that leaves them as they are and sees what the worker sees."""

    seen: list[set[int]] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    fails: bool = False

    def apply(self, rows: Float32, first: int) -> Float32:
        self.seen.append(blas_threads())
        self.workers.add(threading.get_ident())
        return rows * np.float32(np.nan) if self.fails else rows


def watched(change: Watching) -> Plan:
    """A conversion of the small base in which ``change`` is part of every tensor."""
    plan = plan_conversion(BASE, [], parse_outtype("Q8_0"))
    placed = tuple(
        replace(one, tensor=replace(one.tensor, changes=(*one.tensor.changes, change)))
        for one in plan.layout.tensors
    )
    return replace(plan, layout=replace(plan.layout, tensors=placed))


def test_the_workers_of_a_merge_see_one_blas_thread(tmp_path: Path) -> None:
    change, in_progress = Watching(), []
    merge(
        watched(change),
        tmp_path / "out.gguf",
        progress=lambda _: in_progress.append(blas_threads()),
    )
    assert threading.get_ident() not in change.workers
    assert {1} in change.seen
    assert all(seen == {1} for seen in [*change.seen, *in_progress])
    assert blas_threads() == {BEFORE}


def test_a_merge_that_fails_gives_the_threads_back(tmp_path: Path) -> None:
    change = Watching(fails=True)
    with pytest.raises(ConvertError, match="NaN"):
        merge(watched(change), tmp_path / "out.gguf")
    assert {1} in change.seen
    assert blas_threads() == {BEFORE}


class PerThreadBlas:
    """A BLAS on OpenMP, where each thread has a limit of its own and begins without one."""

    local = threading.local()

    @classmethod
    def threads(cls) -> int:
        return getattr(cls.local, "threads", BEFORE)

    def limit(self, *, limits: int, user_api: str) -> PerThreadBlas:
        assert user_api == "blas"
        self.before, self.local.threads = self.threads(), limits
        return self

    def __enter__(self) -> None:
        """It was limited when it was made."""

    def __exit__(self, *_: object) -> None:
        self.local.threads = self.before


def test_every_worker_limits_a_blas_with_limits_per_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threadpoolctl.ThreadpoolController", PerThreadBlas)
    monkeypatch.setattr(f"{__name__}.blas_threads", lambda: {PerThreadBlas.threads()})
    change = Watching()
    merge(watched(change), tmp_path / "out.gguf")
    assert {1} in change.seen
    assert all(seen == {1} for seen in change.seen)
    assert PerThreadBlas.threads() == BEFORE


def test_nested_limits_end_with_the_outermost() -> None:
    with single_threaded_blas():
        with single_threaded_blas():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {BEFORE}


def test_verifying_reads_with_one_blas_thread(tmp_path: Path) -> None:
    file = tmp_path / "f32.gguf"
    merge(plan_conversion(BASE, [], parse_outtype("F32")), file)
    seen: list[set[int]] = []
    compare_logits(file, file, 32, lambda _: seen.append(blas_threads()))
    assert {1} in seen
    assert all(threads == {1} for threads in seen)
    assert blas_threads() == {BEFORE}


def test_measuring_likelihood_has_one_blas_thread(
    smollm2: Path, abort: AbortFlag, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []

    def watched(context: Context, ids: Sequence[int], n_vocab: int) -> Any:
        seen.append(blas_threads())
        return logits(context, ids, n_vocab)

    monkeypatch.setattr(likelihood, "logits", watched)
    engine = LlamaEngine(Load(0, str(smollm2), context=64, threads=1, all_logits=True), abort)
    assert len(engine.losses([1, 2, 3], [])) == 2
    engine.close()
    assert seen == [{1}]
    assert blas_threads() == {BEFORE}


def ran(code: str) -> Any:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_a_numpy_imported_later_is_limited_too() -> None:
    """threadpoolctl changes only what is loaded, so the limit has to load numpy's BLAS first."""
    ran(
        "import sys\n"
        "from baize_shared.blas_threads import single_threaded_blas\n"
        "assert 'numpy' not in sys.modules\n"
        "with single_threaded_blas():\n"
        "    import numpy, threadpoolctl\n"
        "    found = [one['num_threads'] for one in threadpoolctl.threadpool_info()]\n"
        "    assert found and set(found) == {1}, found\n"
    )


def test_the_chat_client_starts_without_it() -> None:
    ran(
        "import sys, baize_tui.__main__, baize_tui.app.app, baize_shared.blas_threads\n"
        "assert 'threadpoolctl' not in sys.modules\n"
        "assert 'numpy' not in sys.modules\n"
    )
