"""``baize-tui models``: what models there are, and how to bring one's own."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from baize_tui.catalog.recipes import (
    CatalogModel,
    Recipe,
    find_model,
    known_models,
    recipe_file,
    write_recipe,
)
from baize_tui.chat.formats import format_named
from baize_tui.cli.failures import CommandError, tell
from baize_tui.cli.output import prepare_stdout, print_json, print_line
from baize_tui.cli.sessions import Json
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import GgufHeader
from baize_tui.paths import Paths, private_folder, project_paths

models = typer.Typer(no_args_is_help=True, help="List, inspect and import models.")


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Names that begin with ``incomplete``, for shell completion."""
    found = known_models(project_paths())
    return [(model.name, model.title) for model in found if model.name.startswith(incomplete)]


ModelName = Annotated[
    str, typer.Argument(help="A name or a GGUF file.", autocompletion=complete_model)
]


def _as_json(model: CatalogModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "installed": model.installed,
        "path": str(model.path) if model.path else None,
        "bytes": model.path.stat().st_size if model.path else None,
        "license": model.recipe.license,
        "description": model.recipe.description,
        "format": model.recipe.format,
    }


def size_text(size: int) -> str:
    """Bytes for a person: 98 MB, 4.1 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@models.command("list")
def list_models(json: Json = False) -> None:
    """The models that are known, the installed ones first."""
    found = known_models(project_paths())
    if json:
        print_json({"models": [_as_json(model) for model in found]})
        return
    prepare_stdout()
    width = max((len(model.name) for model in found), default=0)
    for model in found:
        size = size_text(model.path.stat().st_size) if model.path else "not installed"
        print_line(f"{model.name:<{width}}  {size:>13}  {model.recipe.description or model.title}")


async def _header(path: Path, paths: Paths) -> GgufHeader:
    engine = WorkerEngine(paths.worker_log)
    try:
        return await engine.inspect(str(path))
    finally:
        await engine.close()


@models.command()
def info(model: ModelName, json: Json = False) -> None:
    """What a model is: its header, its recipe, its licence."""
    paths = project_paths()
    found = find_model(model, paths)
    assert found.path is not None
    header = asyncio.run(_header(found.path, paths))
    if json:
        print_json({**_as_json(found), "header": msgspec.to_builtins(header)})
        return
    prepare_stdout()
    rows = {
        "name": found.name,
        "title": header.name,
        "file": str(found.path),
        "size": size_text(header.file_bytes),
        "architecture": header.architecture,
        "parameters": f"{header.parameters / 1e6:,.0f} million",
        "quantization": header.quantization,
        "context": f"{header.context_length} tokens",
        "vocabulary": f"{header.vocabulary} tokens ({header.tokenizer})",
        "layers": f"{header.layers}, {header.heads} heads ({header.heads_kv} KV)",
        "template": "in the file" if header.chat_template else "none: ChatML is used",
        "format": found.recipe.format or "",
        "licence": found.recipe.license or header.license,
        "notice": found.recipe.notice,
    }
    for key, value in rows.items():
        if value:
            print_line(f"{key:<13} {value}")


@models.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A GGUF file.")],
    name: Annotated[str | None, typer.Option(help="Its name here; else the file's.")] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the file; else it is used where it lies.")
    ] = False,
    format: Annotated[
        str | None, typer.Option(help="Prompt format, e.g. baize; else the file's template.")
    ] = None,
) -> None:
    """Make a GGUF file known by a name."""
    paths = project_paths()
    header = asyncio.run(_header(file.expanduser().absolute(), paths))
    if format is not None:
        format_named(format)
    chosen = name or re.sub(r"[^a-z0-9.]+", "-", file.stem.lower()).strip("-.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", chosen):
        raise CommandError(f"{chosen!r} is no name for a model: use a-z, 0-9, '.' and '-'")
    if recipe_file(chosen, paths).exists():
        raise CommandError(f"a model is called {chosen} already; choose another with --name")
    source = file.expanduser().absolute()
    if copy:
        target = private_folder(paths.models_folder) / f"{chosen}.gguf"
        partial = target.with_suffix(".gguf.partial")
        try:
            shutil.copyfile(source, partial)
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise CommandError(f"{target}: {error.strerror}") from error
        source = target
    recipe = Recipe(file=str(source), title=header.name, license=header.license, format=format)
    write_recipe(chosen, recipe, paths)
    tell(f"{chosen} is ready: baize-tui --model {chosen}")
