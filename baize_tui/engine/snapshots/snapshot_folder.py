"""The saved blocks of all conversations: one folder each, and a budget of bytes for all of them.

Several processes may share the folder. A block that is damaged, or was computed with other
settings, is removed when its conversation is opened; the least recently used ones are removed when
the budget is exceeded. Whatever is missing is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from baize_shared.common_prefix import common_prefix_length
from baize_shared.private_files import private_folder
from baize_tui.engine.snapshots.block_file import (
    PARTIAL_SUFFIX,
    BlockHeader,
    DamagedBlock,
    block_name,
    ids_digest,
    read_header,
    write_block,
)
from baize_tui.engine.snapshots.state_key import StateKey

_CLOCK_ERROR_NS = 2_000_000_000
"""By how much the times of a file system may differ from those of the clock."""
_LONGEST_WRITE_NS = 3600 * 1_000_000_000
"""Without a change for so long, a block is not being written any more."""


@dataclass(frozen=True, slots=True)
class SavedBlock:
    """A block on disk; its digest is not checked yet."""

    file: Path
    header: BlockHeader


@dataclass(frozen=True, slots=True)
class RemovedBlock:
    """A block that was removed because it cannot be used."""

    difference: str = ""
    """What it was computed with instead; empty if it was damaged."""


@dataclass(frozen=True, slots=True)
class UsableBlock:
    """A block whose first ``length`` tokens are those of a prompt."""

    saved: SavedBlock
    length: int

    @property
    def end(self) -> int:
        """Position after the last usable token."""
        return self.saved.header.start + self.length


class SnapshotFolder:
    """The folder of all saved blocks."""

    def __init__(self, root: Path, budget: int) -> None:
        """``budget`` is the most bytes that the blocks may take together."""
        self._root = root
        self._budget = budget

    def blocks(self, conversation: str, key: StateKey) -> Iterator[SavedBlock | RemovedBlock]:
        """The blocks of a conversation that were computed with ``key``; others are removed.

        Raises:
            OSError: the folder cannot be read.
        """
        for entry in _entries(conversation_folder(self._root, conversation)):
            path = Path(entry.path)
            if entry.name.endswith(PARTIAL_SUFFIX):
                continue
            try:
                header = read_header(path)
            except FileNotFoundError:
                continue  # evicted meanwhile
            except (DamagedBlock, OSError):
                remove_block(path)
                yield RemovedBlock()
                continue
            if difference := key.difference(header.key):
                remove_block(path)
                yield RemovedBlock(difference)
            else:
                yield SavedBlock(path, header)

    def write(self, conversation: str, header: BlockHeader, state: bytes | memoryview) -> None:
        """Save a block.

        Raises:
            OSError: it cannot be written.
        """
        folder = private_folder(conversation_folder(self._root, conversation))
        write_block(folder / block_name(header), header, state)

    def mark_used(self, blocks: Sequence[SavedBlock]) -> None:
        """Note that a chain was used now; its end is evicted before its beginning."""
        now = time.time_ns()
        for i, block in enumerate(blocks):
            with contextlib.suppress(OSError):  # evicted meanwhile, or a read-only folder
                os.utime(block.file, ns=(now - i, now - i))

    def forget(self, conversation: str) -> None:
        """Remove all blocks of a conversation, as far as possible."""
        forget_conversation(self._root, conversation)

    def keep_budget(self) -> None:
        """Remove the least recently used blocks beyond the budget, and what writers left that died.

        Blocks with a time that is still to come go first: the clock was ahead when they were used,
        and they would otherwise stay in place of all new ones.

        What cannot be removed stays, and others go in its place.

        Raises:
            OSError: the folder cannot be read, or too much of it cannot be removed.
        """
        files: list[tuple[bool, int, int, Path]] = []
        latest = time.time_ns() + _CLOCK_ERROR_NS
        for folder in self._folders():
            for entry in _entries_if_readable(folder):
                path = Path(entry.path)
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    used = status.st_mtime_ns
                    if not entry.name.endswith(PARTIAL_SUFFIX):
                        files.append((used <= latest, used, status.st_size, path))
                    elif not _is_being_written(entry.name, used):
                        remove_block(path)
        excess = sum(size for _, _, size, _ in files) - self._budget
        failure: OSError | None = None
        for _, _, size, path in sorted(files):
            if excess <= 0:
                return
            try:
                _remove(path)
            except OSError as error:
                failure = failure or error
                continue
            excess -= size
            with contextlib.suppress(OSError):  # other blocks are left in it
                path.parent.rmdir()
        if excess > 0 and failure is not None:
            raise failure

    def _folders(self) -> Iterator[Path]:
        for entry in _entries(self._root):
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def usable_chain(blocks: Sequence[SavedBlock], ids: Sequence[int]) -> list[UsableBlock]:
    """The longest chain of ``blocks`` whose tokens begin as ``ids`` do.

    Each block continues the one before. Only the last may be usable in part.
    """
    chain: list[UsableBlock] = []
    at = 0
    while at < len(ids):
        best = max(
            (
                UsableBlock(block, common_prefix_length(block.header.ids, ids[at:]))
                for block in _blocks_at(blocks, ids[:at])
            ),
            key=lambda usable: usable.length,
            default=None,
        )
        if best is None or best.length == 0:
            break
        chain.append(best)
        at = best.end
        if best.length < len(best.saved.header.ids):
            break
    return chain


def replaced_blocks(blocks: Sequence[SavedBlock], new: BlockHeader) -> list[SavedBlock]:
    """Those of ``blocks`` that begin where ``new`` does, with fewer of the same tokens."""
    return [
        block
        for block in blocks
        if block.header.start == new.start
        and block.header.prefix == new.prefix
        and len(block.header.ids) < len(new.ids)
        and new.ids[: len(block.header.ids)] == block.header.ids
    ]


def _blocks_at(blocks: Sequence[SavedBlock], prefix: Sequence[int]) -> list[SavedBlock]:
    """Those of ``blocks`` that continue ``prefix``."""
    at_place = [block for block in blocks if block.header.start == len(prefix)]
    digest = ids_digest(prefix) if at_place else ""
    return [block for block in at_place if block.header.prefix == digest]


def conversation_folder(root: Path, conversation: str) -> Path:
    """The folder of a conversation: a digest, because any program may have chosen the id."""
    name = hashlib.blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return root / name


def forget_conversation(root: Path, conversation: str) -> None:
    """Remove what is saved of a conversation, as far as possible."""
    shutil.rmtree(conversation_folder(root, conversation), ignore_errors=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The content of ``folder``; empty if there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _entries_if_readable(folder: Path) -> list[os.DirEntry[str]]:
    """The content of ``folder``; empty if it cannot be read."""
    try:
        return _entries(folder)
    except OSError:
        return []


def remove_block(file: Path) -> None:
    """Remove a block that cannot be used; in a read-only folder it stays, and is never used."""
    with contextlib.suppress(OSError):
        _remove(file)


def _remove(file: Path) -> None:
    """Remove what has the name of a block: a file of any kind, or an empty folder.

    Raises:
        OSError: it cannot be removed.
    """
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)


def _is_being_written(name: str, changed_ns: int) -> bool:
    """Whether a partial file changed lately, and the process whose id begins its name is running.

    After some time, another process may have the id of a writer that died.
    """
    if abs(time.time_ns() - changed_ns) > _LONGEST_WRITE_NS:
        return False
    import psutil  # 5 ms, and a start needs it only for this

    writer, _, _ = name.partition("-")
    return writer.isdigit() and psutil.pid_exists(int(writer))
