"""The streaming pass: a slab of rows is read, merged, put into order, quantized and written.

No slab needs another, so they are done on all cores, in any order, each at its final place. Memory
is that of the slabs on their way and of the adapters. A journal says which tensors are whole; the
output has its name only once all are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from baize_convert.budget import DEFAULT_MEMORY, Budget, choose_budget
from baize_convert.failures import ConvertError
from baize_convert.journal import Journal, WrittenRows
from baize_convert.output.layout import TensorPlacement
from baize_convert.output.provenance import compute_sha256, insert_hashes
from baize_convert.plan import Plan
from baize_convert.quantization.ggml import Bytes, GgmlType, dequantize, quantize
from baize_convert.quantization.imatrix import ImportanceMatrix
from baize_convert.sources.byte_source import ByteSource, MappedFile
from baize_convert.sources.tensors import StoredTensor
from baize_shared.blas_threads import limit_blas_in_this_thread, single_threaded_blas


@dataclass
class QuantizationLoss:
    """How much of what adapters added is left after quantization, by GGUF name of the tensor.

    The error of quantization over the norm of what was added: below 1 most of it is there.
    """

    error: dict[str, float] = field(default_factory=dict)
    added: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, error: float, added: float) -> None:
        if not added:
            return  # nothing was added here, so nothing of it can be lost
        self.error[name] = self.error.get(name, 0.0) + error
        self.added[name] = self.added.get(name, 0.0) + added

    def ratio(self, names: list[str] | None = None) -> float:
        """Error over addition, over all of ``names``."""
        chosen = list(self.added) if names is None else names
        added = sum(self.added[name] for name in chosen)
        return float(np.sqrt(sum(self.error[name] for name in chosen) / added)) if added else 0.0


@single_threaded_blas()
def merge(
    plan: Plan,
    output: Path,
    *,
    progress: Callable[[int], object] = lambda _: None,
    allow_nan: bool = False,
    memory: int = DEFAULT_MEMORY,
) -> QuantizationLoss:
    """Write the output of ``plan``; ``progress`` hears of each piece how many bytes it had.

    ``memory`` is a limit in bytes, files that are mapped not counted.

    Interrupted, it leaves ``output.partial`` and its journal, and goes on from there the next time.

    Raises:
        ConvertError: too little disk or memory, weights that are no numbers, or an output that
            cannot be written. What was there before under that name stays.
    """
    survival = QuantizationLoss()
    budget = choose_budget(plan.layout, memory)
    partial = output.with_name(output.name + ".partial")
    _check_output(plan, output, partial)
    there = partial.exists() and partial.stat().st_size == plan.layout.length
    try:
        journal = Journal.open(Path(f"{partial}.journal"), _fingerprint(plan), go_on=there)
    except (OSError, msgspec.DecodeError) as error:
        raise ConvertError(f"{partial}.journal: {error}; delete it to begin anew") from error
    try:
        flags = os.O_RDWR | os.O_CREAT | (0 if journal.done else os.O_TRUNC)
        descriptor = os.open(partial, flags, 0o644)
    except OSError as error:
        raise ConvertError(f"{partial}: {error.strerror}") from error
    try:
        os.truncate(descriptor, plan.layout.length)
        os.pwrite(descriptor, plan.layout.head, 0)
        for placed in plan.layout.tensors:
            for written in journal.done.get(placed.tensor.name, []):
                survival.add(written.name, written.error, written.added)
                progress(written.count * placed.row_bytes)
        failed = threading.Event()
        with ThreadPoolExecutor(1) as beside:
            hashes = {
                one: beside.submit(compute_sha256, one.source, failed.is_set) for one in plan.hashed
            }
            try:
                work = _Pass(descriptor, survival, allow_nan, plan.imatrix)
                for slab in _run(work, plan, journal, budget):
                    progress(slab)
            except BaseException:
                failed.set()
                raise
            for source in plan.base.files:
                _check_source(source, partial, journal)
            known = {one: future.result() for one, future in hashes.items()}
        os.pwrite(descriptor, insert_hashes(plan.layout.head, known), 0)
        os.fsync(descriptor)
    except OSError as error:
        raise ConvertError(f"{partial}: {error.strerror}") from error
    finally:
        os.close(descriptor)
        journal.close()
    partial.replace(output)
    journal.remove()
    return survival


@dataclass
class _Pass:
    """What the threads of one pass share."""

    descriptor: int
    survival: QuantizationLoss
    allow_nan: bool
    imatrix: ImportanceMatrix | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, placed: TensorPlacement, first: int, count: int) -> WrittenRows:
        """Rows ``first`` to ``first + count`` of a tensor, from the base into the file."""
        tensor, type = placed.tensor, placed.choice.type
        copied = tensor.copyable_rows(type, first, count)
        if copied is not None:
            self._put(placed, first, copied)
            return WrittenRows(tensor.name, first, count)
        rows, delta = tensor.slab(first, count)
        if not self.allow_nan and not np.isfinite(rows).all():
            raise ConvertError(
                f"{tensor.name} holds NaN or infinity; --allow-nan writes it all the same"
            )
        importance = None
        if self.imatrix is not None:
            importance = self.imatrix.of(tensor.name, tensor.columns)
        packed = quantize(rows, type, importance)
        self._put(placed, first, packed)
        if delta is None:
            return WrittenRows(tensor.name, first, count)
        lost, added = 0.0, float(np.vdot(delta, delta))
        if type != GgmlType.F32:
            error = dequantize(packed, type, tensor.columns) - rows
            lost = float(np.vdot(error, error))
        with self.lock:
            self.survival.add(tensor.name, lost, added)
        return WrittenRows(tensor.name, first, count, lost, added)

    def _put(self, placed: TensorPlacement, first: int, packed: Bytes) -> None:
        at = placed.offset + first * placed.row_bytes
        view = packed.data.cast("B")
        while view:
            written = os.pwrite(self.descriptor, view, at)
            view, at = view[written:], at + written


def _run(work: _Pass, plan: Plan, journal: Journal, budget: Budget) -> Iterator[int]:
    """Write all that is missing; yields the bytes of each slab when it is written."""
    running: dict[Future[WrittenRows], TensorPlacement] = {}
    slabs = _slabs(plan.layout.tensors, journal, budget)
    with ThreadPoolExecutor(budget.workers, initializer=limit_blas_in_this_thread) as pool:
        try:
            while True:
                while len(running) < 2 * budget.workers:
                    slab = next(slabs, None)
                    if slab is None:
                        break
                    placed, first, count = slab
                    placed.tensor.prefetch(first, count)
                    running[pool.submit(work.write, placed, first, count)] = placed
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    placed, written = running.pop(future), future.result()
                    journal.add(written)
                    yield written.count * placed.row_bytes
        finally:
            if running:  # it failed, or was interrupted
                for future in running:
                    future.cancel()
                for source in plan.base.files:
                    source.close()


def _place_on_the_hub(placed: TensorPlacement) -> tuple[str, int]:
    source = placed.tensor.source
    if isinstance(source, StoredTensor) and not source.file.is_local:
        return source.place
    return "", 0


def _slabs(
    tensors: Sequence[TensorPlacement], journal: Journal, budget: Budget
) -> Iterator[tuple[TensorPlacement, int, int]]:
    """First row and count of all slabs that are not written, in the order of the file.

    What comes from the hub is read in the order of its own file, so that it can be hashed.
    """
    for placed in sorted(tensors, key=_place_on_the_hub):
        tensor = placed.tensor
        step = budget.slab_rows(tensor)
        for begin, count in journal.missing(tensor.name, tensor.rows):
            for first in range(begin, begin + count, step):
                yield placed, first, min(step, begin + count - first)


def _check_source(source: ByteSource, partial: Path, journal: Journal) -> None:
    """Whether what was read of ``source`` is what it holds; else nothing of it is kept.

    Raises:
        ConvertError: it is not.
    """
    try:
        source.check_hash()
    except ConvertError:
        partial.unlink()
        journal.remove()
        raise


def _check_output(plan: Plan, output: Path, partial: Path) -> None:
    sources = {source.path.resolve() for source in _inputs(plan) if source.is_local}
    if output.resolve() in sources:
        raise ConvertError(f"{output} is one of the inputs: choose another name")
    if output.is_dir():
        raise ConvertError(f"{output} is a folder: give the name of a file in it")
    if not output.parent.is_dir():
        raise ConvertError(f"{output.parent}: no such folder")
    there = partial.stat().st_blocks * 512 if partial.exists() else 0
    free = shutil.disk_usage(output.parent).free + there
    if free < plan.layout.length:
        raise ConvertError(
            f"{output.parent}: {free / 1e9:.2f} GB are free, {plan.layout.length / 1e9:.2f} GB "
            "will be written"
        )


def _fingerprint(plan: Plan) -> str:
    """What the bytes of the output depend on: the same again means that a partial can go on."""
    digest = hashlib.sha256(plan.layout.head)
    for adapter in plan.adapters:
        digest.update(f"{adapter.weight!r}".encode())
    for identity in sorted(source.identity for source in _inputs(plan)):
        digest.update(f"{identity}\n".encode())
    return digest.hexdigest()


def _inputs(plan: Plan) -> list[ByteSource]:
    """All files that the output depends on."""
    files = [*plan.base.files, *(file for adapter in plan.adapters for file in adapter.files)]
    return files if plan.imatrix is None else [*files, MappedFile(plan.imatrix.path)]
