"""Saves what the KV cache holds, and restores it in place of reading a conversation again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from baize_shared.thread_priority import yield_to_others
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.errors import Aborted
from baize_tui.engine.snapshots.block_file import BlockHeader, DamagedBlock, ids_digest, read_block
from baize_tui.engine.snapshots.snapshot_folder import (
    SavedBlock,
    SnapshotFolder,
    UsableBlock,
    remove_block,
    replaced_blocks,
    usable_chain,
)
from baize_tui.engine.snapshots.state_key import AdapterIdentity, StateKey
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import msg, tr

DAMAGED = msg("a saved state was damaged and removed; the conversation is read again")
FOREIGN = msg(
    "a saved state was computed with {what} and was removed; the conversation is read again"
)
UNFIT = msg("a saved state does not fit and was removed; it is read again")

LEAST_TOKENS = 4
"""Fewer tokens are read as fast as they are restored."""
_LEAST_CUT = 64
"""Fewer tokens that leave the cache, such as those of an earlier draft, are not worth the time that
the next message would wait for their copy."""
_BLOCK_BYTES = 32 << 20
"""A block is about this large: small enough that a message never waits long for one."""
_MOST_BLOCK_TOKENS = 1024
_MOST_QUEUED = 4 * _BLOCK_BYTES
"""Bytes in memory that may wait for the disk."""
_LIKELY_BYTES_PER_S = 200e6
"""How fast the disk is, until it was measured."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose state it is, and what it depends on besides the tokens."""

    conversation: str
    key: StateKey


@dataclass(frozen=True, slots=True)
class _Write:
    """A block that waits for the disk."""

    conversation: str
    bytes: int
    done: Future[None]


class KvSnapshots:
    """The snapshots of the conversations that one KV cache has held; not thread-safe.

    Blocks are written in a thread of their own, so that a message need not wait for the disk.
    """

    def __init__(self, cache: KvCache, folder: SnapshotFolder, key: StateKey, window: int) -> None:
        """``key`` is that of states without adapters.

        ``window`` is how far layers with sliding-window attention look back; 0 for no such layers.
        A longer block would lack cells that are needed when it is cut.
        """
        self._cache = cache
        self._folder = folder
        self._key = key
        self._owner: Owner | None = None
        """Whose tokens the cache holds; None for nobody's."""
        self._most_tokens = min(window or _MOST_BLOCK_TOKENS, _MOST_BLOCK_TOKENS)
        self._writer = ThreadPoolExecutor(
            1, thread_name_prefix="snapshots", initializer=yield_to_others
        )
        self._pending: list[_Write] = []
        self._bytes_per_s = _LIKELY_BYTES_PER_S
        self._problem = ""

    def take_problem(self) -> str:
        """Why something could not be saved or restored, for the person to know, and only once."""
        problem, self._problem = self._problem, ""
        return problem

    def owner(self, conversation: str, adapters: tuple[AdapterIdentity, ...]) -> Owner:
        """The owner of a state of ``conversation`` that is computed with ``adapters``."""
        return Owner(conversation, msgspec.structs.replace(self._key, adapters=adapters))

    def leave(self, owner: Owner | None, ids: Sequence[int]) -> None:
        """Save what the cache holds before it is cut to what it shares with ``ids`` of ``owner``.

        Call it before the cache changes, and before other adapters are applied.
        """
        cut = len(self._cache.ids) - self._cache.shared_with(ids)
        if cut >= _LEAST_CUT or owner != self._owner:
            with contextlib.suppress(Aborted):  # the rest is read again
                self.save(wait=False)
        self._owner = None

    # --- restoring ------------------------------------------------------------------------------

    def restore(self, owner: Owner | None, ids: Sequence[int]) -> None:
        """Put more of ``ids`` into the cache than it has, as far as blocks of ``owner`` were saved.

        From now on the cache holds the tokens of ``owner``.

        Raises:
            Aborted: the abort flag is set; the blocks before are in the cache.
        """
        self._owner = owner
        if owner is None:
            return
        held = self._cache.shared_with(ids)
        if len(ids) - held < LEAST_TOKENS:
            return
        if any(write.conversation == owner.conversation for write in self._pending):
            self._wait_for_disk(0)
        try:
            chain = usable_chain(self._saved_blocks(owner), ids)
        except OSError as error:
            why = tr_shared(error.strerror)
            self._report(tr("the saved state cannot be read ({why})", why=why))
            return
        if not chain or chain[-1].end - held < LEAST_TOKENS:
            return
        self._folder.mark_used([usable.saved for usable in chain])
        for usable in chain:
            if usable.end > held and not self._restore_block(usable, ids):
                break

    def _restore_block(self, usable: UsableBlock, ids: Sequence[int]) -> bool:
        """Append a block to what the cache holds before it; False if it cannot be used."""
        if self._cache.aborted:
            raise Aborted
        file = usable.saved.file
        try:
            header, state = read_block(file)
        except FileNotFoundError:
            return False  # another client has evicted or replaced it meanwhile
        except (DamagedBlock, OSError):
            self._report(tr(DAMAGED))
            remove_block(file)
            return False
        if header != usable.saved.header:
            return False  # another client has replaced it meanwhile
        if not self._cache.append_state(state, ids[: header.start], header.ids):
            self._report(tr(UNFIT))
            remove_block(file)
            return False
        self._cache.reuse(ids[: usable.end])
        return True

    def _saved_blocks(self, owner: Owner) -> list[SavedBlock]:
        """The blocks of ``owner`` on disk; those that cannot be used are removed and reported.

        Raises:
            Aborted: the abort flag is set; there may be thousands of blocks.
            OSError: the folder cannot be read.
        """
        saved = []
        for block in self._folder.blocks(owner.conversation, owner.key):
            if self._cache.aborted:
                raise Aborted
            if isinstance(block, SavedBlock):
                saved.append(block)
            elif block.difference:
                self._report(tr(FOREIGN, what=tr(block.difference)))
            else:
                self._report(tr(DAMAGED))
        return saved

    # --- saving ---------------------------------------------------------------------------------

    def save(self, *, wait: bool) -> None:
        """Save what the cache holds, where reading it again would take longer. A cache that was
        shifted is never saved: reading its tokens would give something else.

        Without ``wait``, as many blocks as may wait for the disk are copied, and this returns.

        Raises:
            Aborted: the abort flag is set; the blocks before are saved.
        """
        owner, ids = self._owner, list(self._cache.ids)
        if owner is None or self._cache.is_shifted or len(ids) < LEAST_TOKENS or not self._pays():
            return
        try:
            saved = self._saved_blocks(owner)
        except OSError as error:
            self._report(_not_saved(error))
            return
        at = self._first_to_save(saved, ids)
        if len(ids) - at < LEAST_TOKENS:
            return
        while at < len(ids):
            if self._cache.aborted:
                raise Aborted
            if wait:
                self._wait_for_disk(_MOST_QUEUED)
            elif self._queued_bytes() >= _MOST_QUEUED:
                return
            end = min(at + self._block_tokens(), len(ids))
            self._save_block(owner, ids, at, end, saved)
            at = end
        self._pending.append(_Write(owner.conversation, 0, self._writer.submit(self._keep_budget)))
        if wait:
            self._wait_for_disk(0)

    def forget(self, conversation: str) -> None:
        """Remove what is saved of ``conversation``; what the cache holds of it is not saved."""
        if self._owner is not None and self._owner.conversation == conversation:
            self._owner = None
        self._writer.submit(self._folder.forget, conversation).result()

    def _first_to_save(self, saved: Sequence[SavedBlock], ids: Sequence[int]) -> int:
        """Position from which on ``ids`` have to be saved; their end if all are."""
        chain = [usable for usable in usable_chain(saved, ids) if _is_whole(usable)]
        if not chain:
            return 0
        last = chain[-1]
        if len(ids) - last.end < LEAST_TOKENS:
            return len(ids)
        grows = last.length < self._block_tokens()
        return last.saved.header.start if grows else last.end

    def _save_block(
        self, owner: Owner, ids: Sequence[int], start: int, end: int, saved: Sequence[SavedBlock]
    ) -> None:
        state = self._cache.context.state_of(start, end)
        header = BlockHeader(
            owner.key, start, ids_digest(ids[:start]), list(ids[start:end]), len(state)
        )
        replaced = replaced_blocks(saved, header)
        done = self._writer.submit(self._write, owner.conversation, header, state, replaced)
        self._pending.append(_Write(owner.conversation, len(state), done))

    def _write(
        self,
        conversation: str,
        header: BlockHeader,
        state: memoryview,
        replaced: Sequence[SavedBlock],
    ) -> None:
        """Write a block; runs in the writer's thread."""
        began = time.monotonic()
        try:
            self._folder.write(conversation, header, state)
            for block in replaced:
                remove_block(block.file)
        except OSError as error:
            self._report(_not_saved(error))
        else:
            took = max(time.monotonic() - began, 1e-4)
            self._bytes_per_s = (self._bytes_per_s + len(state) / took) / 2

    def _keep_budget(self) -> None:
        """Evict blocks; runs in the writer's thread, after the blocks of one save."""
        try:
            self._folder.keep_budget()
        except OSError as error:
            why = tr_shared(error.strerror)
            self._report(tr("saved states cannot be removed: {why}", why=why))

    def _wait_for_disk(self, most: int) -> None:
        """Wait until at most ``most`` bytes wait for the disk; for all work on it with 0.

        Raises:
            Aborted: the abort flag is set.
        """
        while self._queued_bytes() > most or (not most and self._pending):
            if self._cache.aborted:
                raise Aborted
            with contextlib.suppress(TimeoutError):
                self._pending[0].done.result(timeout=0.02)

    def _queued_bytes(self) -> int:
        """Bytes that wait for the disk."""
        self._pending = [write for write in self._pending if not write.done.done()]
        return sum(write.bytes for write in self._pending)

    def _pays(self) -> bool:
        """Whether writing a token's state takes less time than reading the token again."""
        seconds = self._cache.reading_seconds_per_token
        return seconds is None or self._bytes_per_token() / self._bytes_per_s < seconds

    def _block_tokens(self) -> int:
        """Tokens of a whole block: a power of two."""
        fitting = _BLOCK_BYTES // self._bytes_per_token()
        most = max(min(fitting, self._most_tokens), 1)
        return 1 << (most.bit_length() - 1)

    def _bytes_per_token(self) -> int:
        """Bytes that the state of a token takes, from what the cache holds."""
        tokens = min(len(self._cache.ids), LEAST_TOKENS)
        return max(self._cache.context.state_bytes(0, tokens) // max(tokens, 1), 1)

    def _report(self, problem: str) -> None:
        self._problem = problem

    def close(self) -> None:
        """Finish what waits for the disk."""
        self._writer.shutdown()


def _is_whole(usable: UsableBlock) -> bool:
    return usable.length == len(usable.saved.header.ids)


def _not_saved(error: OSError) -> str:
    why = tr_shared(error.strerror)
    return tr("the state of this conversation cannot be saved: {why}", why=why)
