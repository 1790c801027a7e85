"""The streaming pass: every slab of rows is read, merged, reordered, quantized and written.

Before that, the vocabulary in the head of the file is compared with the source's own tokenizer.

Slabs do not depend on each other, so all cores work on them, in any order, and each goes to its
final offset. Memory holds only the slabs in progress and the adapters. A journal records what is
written; the output gets its name once it is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path

from baize_convert.budget import DEFAULT_MEMORY, Budget, choose_budget
from baize_convert.failures import ConvertError
from baize_convert.journal import Journal, WrittenRows
from baize_convert.output.layout import TensorPlacement
from baize_convert.output.output_path import check_output_path
from baize_convert.output.provenance import HashedFile, compute_sha256, insert_hashes
from baize_convert.output.slab_writer import Slab, SlabWriter
from baize_convert.parity.check import check_tokenizer
from baize_convert.plan import Plan
from baize_convert.quantization.loss import QuantizationLoss
from baize_convert.sources.byte_source import ByteSource, MappedFile
from baize_shared.blas_threads import limit_blas_in_this_thread, single_threaded_blas
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import create_file, open_own_file
from baize_shared.sizes import size_text

Progress = Callable[[int], object]
"""Called with the number of bytes that were written."""
Notice = Callable[[str], object]
"""Called with a line for the person."""


@single_threaded_blas()
def merge(
    plan: Plan,
    output: Path,
    *,
    progress: Progress = lambda _: None,
    allow_nan: bool = False,
    memory: int = DEFAULT_MEMORY,
    allow_tokenizer_difference: bool = False,
    notice: Notice = lambda _: None,
) -> QuantizationLoss:
    """Write the output of ``plan``, and measure what quantization costs the adapters.

    ``memory`` is a limit in bytes, mapped files not included. ``notice`` receives lines about what
    llama.cpp tokenizes otherwise than the source. An interrupted merge leaves
    ``output.partial`` and a journal, and the next call with the same plan resumes it; ``progress``
    counts the bytes of earlier runs too.

    Raises:
        TokenizerDiffers: llama.cpp would give texts other tokens than the source's tokenizer does,
            and ``allow_tokenizer_difference`` is not set.
        ConvertError: there is too little disk or memory, weights contain NaN or infinity, or the
            output cannot be written. An existing file of that name stays as it was.
    """
    budget = choose_budget(plan.layout, memory)
    partial = _partial_of(output)
    check_output(plan, output)
    try:
        with _open_partial(plan, partial) as (descriptor, journal):
            os.truncate(descriptor, plan.layout.length)
            os.pwrite(descriptor, plan.layout.head, 0)
            _check_vocabulary(plan, partial, journal, notice, allow_tokenizer_difference)
            loss = _count_earlier_rows(plan, journal, progress)
            writer = SlabWriter(descriptor, loss, allow_nan, plan.imatrix)
            with _hashing(plan.hashed) as hashes:
                _write_missing(writer, plan, journal, budget, progress)
                for source in plan.base.files:
                    _check_source(source, partial, journal)
                digests = {file: future.result() for file, future in hashes.items()}
            os.pwrite(descriptor, insert_hashes(plan.layout.head, digests), 0)
            os.fsync(descriptor)
        partial.replace(output)
    except OSError as error:
        raise ConvertError(f"{partial}: {error.strerror}") from error
    journal.remove()
    return loss


def _check_vocabulary(
    plan: Plan, partial: Path, journal: Journal, notice: Notice, allow_difference: bool
) -> None:
    """Compare the vocabulary in the head of ``partial`` with the source's own tokenizer.

    The keys of a GGUF are copied, and need no check.

    Raises:
        ConvertError: see ``check_tokenizer``, unless ``allow_difference`` is set. Nothing is kept.
    """
    if plan.tokenizer.is_file():
        return
    try:
        comparison = check_tokenizer(
            plan.tokenizer,
            partial,
            vocabulary_hash=plan.vocabulary_hash,
            pre=plan.pre,
            chat_template=plan.chat_template,
            left_out=plan.left_out,
        )
    except ConvertError as error:
        if allow_difference:
            notice(str(error))
            return
        partial.unlink()
        journal.remove()
        raise
    for line in comparison.notices:
        notice(line)
    behind = comparison.behind_answer
    if behind is not None and not any(end in behind for end in plan.ends):
        notice(
            f"the chat template puts {behind!r} behind an answer, which has no token that ends one "
            "for llama.cpp: if answers do not stop, name that token as eos_token in "
            "tokenizer_config.json, or give a text by --stop"
        )


def _open_journal(plan: Plan, partial: Path, *, resume: bool) -> Journal:
    """The journal of ``partial``, with what is written if that file can be resumed."""
    path = Path(f"{partial}.journal")
    try:
        return Journal.open(path, _fingerprint(plan), resume=resume)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except JSON_ERRORS as error:
        raise ConvertError(f"{path}: {error}; delete it to start again") from error


@contextmanager
def _open_partial(plan: Plan, partial: Path) -> Iterator[tuple[int, Journal]]:
    """The partial output and its journal: those of an earlier run, or new and empty ones.

    Raises:
        OSError: it cannot be created.
        ConvertError: the journal cannot be read or created.
    """
    descriptor = open_own_file(partial)
    try:
        whole = descriptor is not None and os.fstat(descriptor).st_size == plan.layout.length
        with closing(_open_journal(plan, partial, resume=whole)) as journal:
            if descriptor is None or not journal.written:
                if descriptor is not None:
                    os.close(descriptor)
                descriptor = create_file(partial)
            yield descriptor, journal
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _count_earlier_rows(plan: Plan, journal: Journal, progress: Progress) -> QuantizationLoss:
    """Report the rows that earlier runs wrote to ``progress``; their quantization loss."""
    loss = QuantizationLoss()
    for placement in plan.layout.tensors:
        for written in journal.written.get(placement.tensor.name, []):
            loss.add(written.name, written.error, written.added)
            progress(written.count * placement.row_bytes)
    return loss


@contextmanager
def _hashing(files: Sequence[HashedFile]) -> Iterator[dict[HashedFile, Future[str]]]:
    """Hash files in one more thread, which an exception in the block stops."""
    failed = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        try:
            yield {
                file: thread.submit(compute_sha256, file.source, failed.is_set) for file in files
            }
        except BaseException:
            failed.set()
            raise


def _write_missing(
    writer: SlabWriter, plan: Plan, journal: Journal, budget: Budget, progress: Progress
) -> None:
    """Write all slabs that are not in the journal, on ``budget.workers`` threads."""
    slabs = _missing_slabs(plan.layout.tensors, journal, budget)
    running: dict[Future[WrittenRows], Slab] = {}
    with ThreadPoolExecutor(budget.workers, initializer=limit_blas_in_this_thread) as pool:
        try:
            while True:
                while len(running) < 2 * budget.workers and (slab := next(slabs, None)) is not None:
                    slab.placement.tensor.prefetch(slab.first, slab.count)
                    running[pool.submit(writer.write, slab)] = slab
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    slab, written = running.pop(future), future.result()
                    journal.add(written)
                    progress(written.count * slab.placement.row_bytes)
        finally:
            if running:  # an error, or an interruption
                for future in running:
                    future.cancel()
                for source in plan.base.files:
                    source.close()


def _missing_slabs(
    tensors: Sequence[TensorPlacement], journal: Journal, budget: Budget
) -> Iterator[Slab]:
    """All slabs that are not in the journal, in the order of the file.

    Tensors on the hub come in the order of their own file, so that it can be hashed on the way.
    """
    for placement in sorted(tensors, key=lambda placement: placement.tensor.source.hub_position):
        tensor = placement.tensor
        step = budget.slab_rows(tensor)
        for begin, count in journal.missing(tensor.name, tensor.rows):
            for first in range(begin, begin + count, step):
                yield Slab(placement, first, min(step, begin + count - first))


def _check_source(source: ByteSource, partial: Path, journal: Journal) -> None:
    """Check the hash of a source that was read; nothing made of damaged bytes is kept.

    Raises:
        ConvertError: the hash is wrong.
    """
    try:
        source.check_hash()
    except ConvertError:
        partial.unlink()
        journal.remove()
        raise


def _partial_of(output: Path) -> Path:
    """Where the bytes of an unfinished ``output`` are."""
    return output.with_name(output.name + ".partial")


def check_output(plan: Plan, output: Path) -> None:
    """Check that ``output`` can be written and has room on the disk, before anything is downloaded.

    Raises:
        ConvertError: see ``check_output_path``; or the disk is too small.
    """
    folders = [plan.base.path, plan.tokenizer, *(adapter.path for adapter in plan.adapters)]
    check_output_path(output, _inputs(plan), folders)
    partial = _partial_of(output)
    reserved = partial.lstat().st_blocks * 512 if os.path.lexists(partial) else 0
    free = shutil.disk_usage(output.parent).free + reserved
    if free < plan.layout.length:
        raise ConvertError(
            f"{output.parent}: {size_text(free)} are free, but the output takes "
            f"{size_text(plan.layout.length)}"
        )


def _fingerprint(plan: Plan) -> str:
    """A hash of everything that the output depends on; if it changes, a partial is useless."""
    digest = hashlib.sha256(plan.layout.head)
    for adapter in plan.adapters:
        digest.update(f"{adapter.weight!r}".encode())
    for identity in sorted(source.identity for source in _inputs(plan)):
        digest.update(os.fsencode(f"{identity}\n"))
    return digest.hexdigest()


def _inputs(plan: Plan) -> list[ByteSource]:
    """All files that the output depends on."""
    files = [*plan.base.files, *(file for adapter in plan.adapters for file in adapter.files)]
    return files if plan.imatrix is None else [*files, MappedFile(plan.imatrix.path)]
