"""``baize-tui models plan`` and ``pull``: what a model will cost, and fetching it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import msgspec
import typer

from baize_convert.hub.names import PREFIX
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.commands import INTERRUPTED
from baize_shared.printing import prepare_stdout, print_json, print_line
from baize_shared.progress import TimeLeft, bar
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter, known_adapters
from baize_tui.catalog.fit import Machine, this_machine
from baize_tui.catalog.recipes import (
    DEFAULT_OUTTYPE,
    MODEL_SUFFIX,
    CatalogModel,
    Recipe,
    check_name,
    find_model,
    known_model,
    known_models,
    write_recipe,
)
from baize_tui.cli.failures import CommandError
from baize_tui.cli.flags import GpuLayers, Offline
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.cli.models import adapter_as_json, as_json, complete_model
from baize_tui.cli.output import PROGRAM, progress_line, tell
from baize_tui.cli.sessions import Json
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import load_settings

if TYPE_CHECKING:
    from baize_tui.catalog.planner import ModelPlan


def _wanted(model: str, paths: Paths, outtype: str | None) -> CatalogModel:
    """The model that was named: by a recipe, on the hub, or as a file or a folder."""
    if outtype is not None and outtype.upper() not in get_args(OuttypeName):
        raise CommandError(
            f"no outtype is called {outtype!r}; known: {', '.join(get_args(OuttypeName))}"
        )
    chosen: OuttypeName | None = outtype.upper() if outtype is not None else None  # type: ignore[assignment]
    if model.startswith(PREFIX):
        from baize_tui.catalog.hub_models import hub_model

        return hub_model(model, chosen)
    path = Path(model).expanduser()
    if path.is_dir():
        name = re.sub(r"[^a-z0-9._-]+", "-", path.resolve().name.lower()).strip("-.")
        recipe = Recipe(base=str(path.resolve()), outtype=chosen or DEFAULT_OUTTYPE)
        return CatalogModel(name, None, recipe)
    if path.suffix == MODEL_SUFFIX:
        return find_model(model, paths)
    found = known_model(model, paths)
    if chosen is not None and found.recipe.base is not None:
        recipe = msgspec.structs.replace(found.recipe, outtype=chosen)
        return CatalogModel(found.name, None, recipe)  # another file than the one that is here
    return found


Outtype = Annotated[
    str | None, typer.Option("--outtype", help="What a checkpoint is quantized to, e.g. Q8_0.")
]


def go_offline(offline: bool) -> None:
    """Has to come before huggingface_hub is imported."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _summary(plan: ModelPlan) -> str:
    memory = size_text(plan.measured.footprint.needed)
    return (
        f"{plan.name}: {size_text(plan.cost.download)} to download, {size_text(plan.cost.disk)} "
        f"on the disk, {memory} of memory to chat with it: {plan.fit}"
    )


async def _plan(
    model: CatalogModel, paths: Paths, context: int | None = None, gpu_layers: str | None = None
) -> ModelPlan:
    from baize_tui.catalog.planner import plan

    settings = with_gpu_layers(load_settings(paths.settings_file), gpu_layers)
    engine = WorkerEngine(paths, tell)
    if context is not None:
        model = msgspec.structs.replace(
            model, recipe=msgspec.structs.replace(model.recipe, context=context)
        )
    try:
        found = await engine.diagnose()
        return await plan(
            model,
            paths,
            engine,
            this_machine(paths.models_folder, found.devices),
            context=settings.model.context,
            gpu_layers=settings.model.gpu_layers,
        )
    finally:
        await engine.close()


def _plan_lines(plan: ModelPlan, machine: Machine) -> Iterator[str]:
    measured, footprint = plan.measured, plan.measured.footprint
    if plan.installed:
        yield f"{'disk':<13} {size_text(plan.bytes)}, here already"
    else:
        room = "" if plan.enough_disk else ": too little"
        yield (
            f"{'disk':<13} {size_text(plan.cost.disk)} of {size_text(machine.disk_free)} free{room}"
        )
        yield f"{'download':<13} {size_text(plan.cost.download)}"
    yield (
        f"{'memory':<13} {size_text(footprint.needed)} of {size_text(machine.memory_free)} "
        f"free with a context of {measured.n_ctx}: {plan.fit}"
    )
    parts = {
        "weights": footprint.weights,
        "KV cache": footprint.kv,
        "compute": footprint.compute,
        "program": footprint.program,
    }
    yield f"{'':<13} " + ", ".join(f"{k} {size_text(v)}" for k, v in parts.items() if v)
    if footprint.repacked:
        yield (
            f"{'':<13} and {size_text(footprint.repacked)} of the file that are read once, to be "
            "put into the order of this processor"
        )
    for device, size in footprint.on_devices.items():
        layers = f"{measured.gpu_layers} of {measured.layers + 1} layers"
        yield f"{device:<13} {size_text(size)}, {layers}"
    largest = measured.largest_context
    yield (
        f"{'context':<13} up to {largest} of {measured.n_ctx_train} tokens fit"
        if largest
        else (f"{'context':<13} none fits")
    )
    if plan.tokens_per_second is not None:
        yield f"{'speed':<13} about {plan.tokens_per_second:.3g} tokens/s"
    for warning in plan.warnings:
        yield f"{'note':<13} {warning}"


def plan_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH|hf:…",
            help="A known model, a GGUF file, a model's folder, or one on the hub.",
            autocompletion=complete_model,
        ),
    ],
    context: Annotated[int | None, typer.Option(min=256, help="Tokens of context.")] = None,
    gpu_layers: GpuLayers = None,
    outtype: Outtype = None,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """What a model will cost: disk, memory, the largest context, speed. Reads headers only."""
    go_offline(offline)
    paths = project_paths()
    wanted = _wanted(model, paths, outtype)
    made = asyncio.run(_plan(wanted, paths, context, gpu_layers))
    machine = this_machine(paths.models_folder)
    if json:
        print_json({**msgspec.to_builtins(made), "machine": msgspec.to_builtins(machine)})
        return
    prepare_stdout(PROGRAM)
    for line in _plan_lines(made, machine):
        print_line(line)


def pull_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|hf:…",
            help="A known model, or one on the hub.",
            autocompletion=complete_model,
        ),
    ],
    outtype: Outtype = None,
    name: Annotated[
        str | None, typer.Option(help="What one on the hub is called here; else as there.")
    ] = None,
    keep_source: Annotated[
        bool,
        typer.Option("--keep-source", help="Keep a checkpoint's weights in the hub's own cache."),
    ] = False,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You accept the notice of the model.")
    ] = False,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """Fetch a model, or merge and quantize it while it comes; interrupted, it goes on."""
    from baize_tui.catalog.pull import pull

    go_offline(offline)
    paths = project_paths()
    for adapter in known_adapters(paths):
        if adapter.name == model:
            _pull_adapter(adapter, paths, accepted=accept_license, json=json)
            return
    wanted = _named(_wanted(model, paths, outtype), name, paths)
    if not wanted.recipe.is_on_hub:
        raise CommandError(f"{wanted.name} does not come from the hub; it has nothing to pull")
    if wanted.installed and not keep_source:
        tell(f"{wanted.name} is here already: baize-tui --model {wanted.name}")
    else:
        _accept(wanted.name, wanted.recipe.notice, accepted=accept_license)
        made = asyncio.run(_plan(wanted, paths))
        if not json:
            tell(_summary(made))
        if not made.enough_disk:
            raise CommandError(f"{paths.models_folder}: too little disk for {wanted.name}")
        with progress_line() as progress:
            left = TimeLeft()

            def report(done: int, total: int) -> None:
                part = done / max(total, 1)
                words = f"{wanted.name} {bar(part)} {size_text(done)} of {size_text(total)}"
                progress.show(" · ".join(word for word in (words, left.after(part)) if word))

            try:
                pull(wanted, paths, report, keep_source=keep_source)
            except KeyboardInterrupt:
                progress.clear()
                tell("interrupted; the same command goes on from here")
                os._exit(INTERRUPTED)  # not to wait for requests on their way
        if wanted.name not in {one.name for one in known_models(paths)}:
            write_recipe(wanted.name, wanted.recipe, paths)
        tell(f"{wanted.name} is ready: baize-tui --model {wanted.name}")
    if json:
        print_json(as_json(known_model(wanted.name, paths)))


def _named(wanted: CatalogModel, name: str | None, paths: Paths) -> CatalogModel:
    """``wanted`` under ``name``; the one that is known, where it is the same.

    Raises:
        CommandError: another model has this name.
    """
    if name is not None:
        wanted = CatalogModel(check_name(name), None, wanted.recipe)
    for known in known_models(paths):
        if known.name == wanted.name:
            if known.recipe.origin != wanted.recipe.origin:
                raise CommandError(
                    f"another model is called {known.name} already; choose a name with --name"
                )
            same = known.recipe.outtype == wanted.recipe.outtype
            return msgspec.structs.replace(wanted, path=known.path if same else None)
    return wanted


def _pull_adapter(adapter: CatalogAdapter, paths: Paths, *, accepted: bool, json: bool) -> None:
    from baize_tui.catalog.pull import pull_adapter

    if adapter.installed:
        tell(f"{adapter.name} is here already")
    else:
        _accept(adapter.name, adapter.recipe.notice, accepted=accepted)
        adapter = pull_adapter(adapter, paths)
        tell(
            f"{adapter.name} is ready: baize-tui ask --adapter {adapter.name}, or F3 in the client"
        )
    if json:
        print_json(adapter_as_json(adapter))


def _accept(name: str, notice: str, *, accepted: bool) -> None:
    """Show the notice of a model, and have it accepted."""
    if not notice:
        return
    tell(notice)
    if accepted:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{name} has terms: read them and add --accept-license")
    if not typer.confirm("Do you accept this?", err=True):
        raise CommandError("not accepted: nothing was pulled")
