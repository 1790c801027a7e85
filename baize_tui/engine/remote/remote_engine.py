"""The engine for a model on an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from baize_shared.offline import is_offline
from baize_shared.sanitizer import clean_line
from baize_shared.server_address import AddressError, parse_address
from baize_tui.engine.client import EngineFailure, Generation, ModelSpec
from baize_tui.engine.protocol import (
    CheckForm,
    Count,
    Generate,
    Judge,
    Judged,
    LoadedModel,
    PromptRead,
    ReadPrompt,
    Warm,
    Warmed,
)
from baize_tui.engine.remote.http_client import open_client
from baize_tui.engine.remote.open_server import OpenServer
from baize_tui.engine.remote.remote_generation import RemoteGeneration
from baize_tui.engine.remote.request_body import can_switch_thinking, form_body
from baize_tui.engine.remote.server_facts import find_facts
from baize_tui.engine.remote.server_faults import ServerFaults
from baize_tui.engine.remote.server_keys import find_key, how_to_give
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import msg, tr

READS_ITSELF = msg("the server turns the conversation into tokens itself: they cannot be shown")
FORBIDDEN = msg("{host} is not this computer, and the network is forbidden (--offline)")


class RemoteEngine:
    """Fulfils ``Engine``. Only ``generate`` sends words to the server."""

    on_notice: Callable[[str], None] = staticmethod(lambda _notice: None)

    def __init__(self, keys_file: Path) -> None:
        """``keys_file`` has the keys of servers."""
        self._keys_file = keys_file
        self._server: OpenServer | None = None

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        """Ask the server about the model of ``spec``; nothing of a conversation is sent.

        Raises:
            EngineFailure: it does not answer, has no such model, wants a key, or is not on this
                computer although the network is forbidden.
        """
        await self.close()
        try:
            address = parse_address(spec.path)
        except AddressError as error:
            raise EngineFailure(tr_shared(error), "load") from error
        if is_offline() and not address.is_this_computer:
            raise EngineFailure(tr(FORBIDDEN, host=address.host), "load")
        key = await asyncio.to_thread(find_key, address, self._keys_file)
        how = how_to_give(address.host, self._keys_file)
        client = open_client(address, key, spec.server_silence_s)
        faults = ServerFaults(address, key, how, spec.server_silence_s)
        try:
            facts = await find_facts(client, address, faults)
        except BaseException:
            await client.close()
            raise
        n_ctx = min(filter(None, (facts.n_ctx, spec.context)), default=0)
        facts = msgspec.structs.replace(facts, n_ctx=n_ctx)
        self._server = OpenServer(client, facts, faults)
        if progress is not None:
            progress(1.0)
        return LoadedModel(
            path=facts.address.spec,
            file_bytes=0,
            name=clean_line(facts.address.model, 80),
            description=f"a model at {address.host}",
            n_ctx=n_ctx,
            n_ctx_train=n_ctx,
            n_vocab=0,
            threads=0,
            threads_batch=0,
            gpu_layers=0,
            tokenizer="",
            has_template=True,
            backend=facts.kind,
            can_switch_thinking=can_switch_thinking(facts),
            counts_are_estimates=True,
        )

    def _require(self) -> OpenServer:
        if self._server is None:
            raise EngineFailure(tr("no model is loaded"), "load")
        return self._server

    def generate(self, request: Generate) -> Generation:
        return RemoteGeneration(request, self._require())

    async def count(self, request: Count) -> int:
        """About as many tokens as a prompt has: the vocabulary is the server's."""
        return self._require().estimate.tokens(request.prompt)

    async def check_form(self, request: CheckForm) -> None:
        """Check that the server can be asked for a form.

        Raises:
            EngineFailure: it cannot; nothing was sent to find out.
        """
        form_body(request.form, request.grammar, self._require().facts)

    async def read_prompt(self, request: ReadPrompt) -> PromptRead:
        raise EngineFailure(tr(READS_ITSELF))

    async def judge(self, request: Judge) -> Judged:
        raise EngineFailure(tr(READS_ITSELF))

    async def warm(self, request: Warm) -> Warmed:
        """Nothing is sent that nobody has asked for."""
        return Warmed(request.request, 0, 0)

    async def save_cache(self) -> str:
        return ""

    async def forget(self, conversation: str) -> None:
        """Nothing of a conversation is kept here."""

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close()
