"""``baize-tui models``: what models there are, and how to bring one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from baize_shared.printing import prepare_stdout, print_json, print_line
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter, known_adapters
from baize_tui.catalog.lineage import lineage
from baize_tui.catalog.pull_records import read_record
from baize_tui.catalog.recipes import (
    MODEL_SUFFIX,
    CatalogModel,
    find_model,
    known_model,
    known_models,
)
from baize_tui.chat.formats import format_named
from baize_tui.cli.model_info import rows_of
from baize_tui.cli.output import PROGRAM, progress_line, tell
from baize_tui.cli.sessions import Json
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import GgufHeader
from baize_tui.paths import Paths, project_paths

if TYPE_CHECKING:
    pass

models = typer.Typer(no_args_is_help=True, help="List, plan, pull, import and remove models.")


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Names that begin with ``incomplete``, for shell completion."""
    found = known_models(project_paths())
    return [(model.name, model.title) for model in found if model.name.startswith(incomplete)]


ModelName = Annotated[
    str, typer.Argument(help="A name or a GGUF file.", autocompletion=complete_model)
]


def _shared_json(found: CatalogModel | CatalogAdapter) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "installed": found.installed,
        "path": str(found.path) if found.path else None,
        "bytes": found.path.stat().st_size if found.path else None,
        "license": found.recipe.license,
        "description": found.recipe.description,
        "format": found.recipe.format,
        "domain": found.recipe.domain.name if found.recipe.domain is not None else None,
    }


def as_json(model: CatalogModel) -> dict[str, Any]:
    return {**_shared_json(model), "source": model.recipe.origin}


def adapter_as_json(adapter: CatalogAdapter) -> dict[str, Any]:
    recipe = adapter.recipe
    return {**_shared_json(adapter), "base": recipe.base, "source": recipe.adapter or ""}


@models.command("list")
def list_models(json: Json = False) -> None:
    """The models and adapters that are known, the installed ones first."""
    paths = project_paths()
    found, adapters = known_models(paths), known_adapters(paths)
    if json:
        print_json(
            {
                "models": [as_json(model) for model in found],
                "adapters": [adapter_as_json(adapter) for adapter in adapters],
            }
        )
        return
    prepare_stdout(PROGRAM)
    width = max(len(name) for name in [*(m.name for m in found), *(a.name for a in adapters)])
    rows: list[CatalogModel | CatalogAdapter] = [*found, *adapters]
    for one in rows:
        size = size_text(one.path.stat().st_size) if one.path else "not installed"
        about = one.recipe.description or one.title
        over = f" (over {one.recipe.base})" if isinstance(one, CatalogAdapter) else ""
        print_line(f"{one.name:<{width}}  {size:>13}  {about}{over}")


async def _header(path: Path, paths: Paths) -> GgufHeader:
    engine = WorkerEngine(paths, tell)
    try:
        return await engine.inspect(str(path))
    finally:
        await engine.close()


@models.command()
def info(model: ModelName, json: Json = False) -> None:
    """What a model or an adapter is: its recipe, header and licence, and where it comes from."""
    paths = project_paths()
    found = _found(model, paths)
    header = asyncio.run(_header(found.path, paths)) if found.path is not None else None
    record = read_record(found.name, paths) if isinstance(found, CatalogModel) else None
    if json:
        about = as_json(found) if isinstance(found, CatalogModel) else adapter_as_json(found)
        print_json(
            {
                **about,
                "header": msgspec.to_builtins(header) if header is not None else None,
                "pulled": msgspec.to_builtins(record) if record is not None else None,
                "lineage": lineage(header.metadata) if header is not None else {},
            }
        )
        return
    prepare_stdout(PROGRAM)
    rows = rows_of(found, header, record)
    width = max(map(len, rows))
    for key, value in rows.items():
        print_line(f"{key:<{width}}  {value}")


def _found(model: str, paths: Paths) -> CatalogModel | CatalogAdapter:
    if Path(model).suffix == MODEL_SUFFIX or "/" in model:
        return find_model(model, paths)
    for adapter in known_adapters(paths):
        if adapter.name == model:
            return adapter
    return known_model(model, paths)


@models.command("remove")
def remove_model(model: ModelName, json: Json = False) -> None:
    """Remove a model that was pulled or imported; a file of yours stays where it lies."""
    from baize_tui.catalog.removing import remove, remove_adapter

    paths = project_paths()
    names = {adapter.name: adapter for adapter in known_adapters(paths)}
    if model in names:
        deleted = remove_adapter(names[model], paths)
    else:
        deleted = remove(known_model(model, paths), paths)
    if json:
        print_json({"name": model, "deleted": [str(file) for file in deleted]})
        return
    tell(f"{model} is removed" + ("" if deleted else "; its file stays where it lies"))


@models.command("import")
def import_model(
    file: Annotated[
        Path, typer.Argument(help="A GGUF model, a GGUF LoRA, or the folder of an adapter.")
    ],
    name: Annotated[str | None, typer.Option(help="Its name here; else the file's.")] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the file; else it is used where it lies.")
    ] = False,
    format: Annotated[
        str | None, typer.Option(help="Prompt format, e.g. baize; else the file's template.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The model that an adapter is for.")] = None,
    over: Annotated[
        str | None, typer.Option(help="The adapter that it was trained over, as by sdf.")
    ] = None,
) -> None:
    """Make a model or an adapter of your own known by a name."""
    from baize_tui.catalog.importing import ImportOptions, import_file

    paths = project_paths()
    if format is not None:
        format_named(format)

    async def bring() -> CatalogModel | CatalogAdapter:
        engine = WorkerEngine(paths, tell)
        progress = progress_line()
        engine.on_progress = lambda done: progress.show(f"trying {file.name} {done:.0%}")
        try:
            return await import_file(
                file, ImportOptions(name, copy, format, base, over), paths, engine
            )
        finally:
            progress.clear()
            await engine.close()

    found = asyncio.run(bring())
    if isinstance(found, CatalogModel):
        tell(f"{found.name} is ready: baize-tui --model {found.name}")
    else:
        tell(f"{found.name} is ready: baize-tui ask --adapter {found.name}, or F3 in the client")
