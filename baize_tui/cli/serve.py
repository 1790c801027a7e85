"""``baize-tui serve``: an OpenAI-compatible endpoint for other programs."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from baize_shared.offline import is_offline
from baize_shared.printing import print_json, print_line
from baize_shared.progress import progress_text
from baize_tui.catalog.finding import find_model, local_file
from baize_tui.chat.formats import format_named, format_of_model
from baize_tui.cli.failures import CommandError
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.cli.output import progress_line, tell, warn_about_encoding
from baize_tui.engine.client import ModelSpec, WorkerEngine
from baize_tui.engine.protocol import LoadedModel
from baize_tui.paths import Paths, project_paths
from baize_tui.serving.addresses import THIS_COMPUTER, is_this_computer, listen
from baize_tui.serving.endpoint import Endpoint, choose_program
from baize_tui.serving.order import Program, ServeOrder
from baize_tui.serving.tokens import given_token, new_token
from baize_tui.settings import Settings, load_settings
from baize_tui.translation import msg, tr

NETWORK_FLAG = "--listen-on-network"
OPEN_TO_OTHERS = msg("{host} can be reached from other computers: add {flag}")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of ``serve``; None means not given."""

    model: str | None = None
    host: str = THIS_COMPUTER
    port: int = 8080
    """0 takes a free one."""
    token_file: Path | None = None
    server: Program | None = None
    gpu_layers: str | None = None
    listen_on_network: bool = False
    json: bool = False


def serve(options: ServeOptions) -> None:
    """Serve until Ctrl-C.

    Raises:
        CommandError, CatalogError, EngineFailure, SettingsError: as their messages say.
        AddressInUse, EndpointFailed, TokenError: as their messages say.
    """
    paths = project_paths()
    settings = with_gpu_layers(load_settings(paths.settings_file), options.gpu_layers)
    check_network(options.host, options.listen_on_network)
    token = given_token(options.token_file)
    program, executable = choose_program(options.server)
    model = find_model(options.model or settings.model.default, paths)
    file = local_file(model)
    warn_about_encoding()
    with listen(options.host, options.port) as listener:
        loaded = asyncio.run(_try_model(model.name, file, settings, paths))
        order = ServeOrder(
            program=program,
            executable=executable,
            model=str(file),
            name=model.name,
            host=options.host,
            port=listener.getsockname()[1],
            token=token or new_token(),
            n_ctx=loaded.n_ctx,
            threads=loaded.threads,
            threads_batch=loaded.threads_batch,
            gpu_layers=loaded.gpu_layers,
            flash_attention=loaded.flash_attention,
            kv_type=loaded.kv_type,
            profile=loaded.profile or "full",
        )
        order = _with_template(order, format_of_model(model.recipe.format, loaded))
        with Endpoint.start(order, listener, paths.logs / "serve.log") as endpoint:
            _announce(endpoint.url, order, json=options.json, show_token=token is None)
            endpoint.wait()


def check_network(host: str, allowed: bool) -> None:
    """Check that the person wants others on the network to reach ``host``, and warn.

    Raises:
        CommandError: they do not, or ``--offline`` forbids it.
    """
    if is_this_computer(host):
        return
    if not allowed:
        raise CommandError(
            tr(
                "{host} can be reached from other computers: add {flag}",
                host=host,
                flag=NETWORK_FLAG,
            )
        )
    if is_offline():
        raise CommandError(
            tr("{flag} needs the network, which --offline forbids", flag=NETWORK_FLAG)
        )
    tell(tr("warning: others on the network reach {host}, and nothing is encrypted", host=host))


async def _try_model(name: str, file: Path, settings: Settings, paths: Paths) -> LoadedModel:
    """How this machine runs the model: it computes a first token, under the machine profile.

    Raises:
        EngineFailure: it cannot be loaded, or does not compute.
    """
    chosen = settings.model
    spec = ModelSpec(
        str(file),
        context=chosen.context,
        threads=chosen.threads,
        threads_batch=chosen.threads_batch,
        gpu_layers=chosen.gpu_layers,
        kv_type=chosen.kv_type,
    )
    engine = WorkerEngine(paths, tell)
    loading = tr("loading {model}", model=name)
    with progress_line() as progress:
        try:
            return await engine.load(
                spec,
                lambda done: progress.show(progress_text(loading, done)),
            )
        finally:
            await engine.close()


def _with_template(order: ServeOrder, name: str) -> ServeOrder:
    """``order`` with the chat template of the format ``name``, unless that is the model's own."""
    format = format_named(name)
    if format.template is None:
        return order
    return msgspec.structs.replace(
        order, template=format.template, template_name=f"baize-{name}", stop=format.stop
    )


def _announce(url: str, order: ServeOrder, *, json: bool, show_token: bool) -> None:
    """Say where the endpoint is; its token too if it was made here: nowhere else it is written."""
    if json:
        print_json({"url": f"{url}/v1", "model": order.name, "token": order.token})
        return
    print_line(
        tr("{model} at {url} ({program})", model=order.name, url=f"{url}/v1", program=order.program)
    )
    if show_token:
        print_line(tr("token: {token}", token=order.token))
    tell(tr("ctrl+c ends it"))
    sys.stdout.flush()
