"""``baize-tui models``: what models there are, and how to bring one's own."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from baize_tui.catalog.lineage import lineage
from baize_tui.catalog.pulled import read_record
from baize_tui.catalog.recipes import (
    MODEL_SUFFIX,
    CatalogModel,
    Recipe,
    check_name,
    find_model,
    known_model,
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


def as_json(model: CatalogModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "installed": model.installed,
        "path": str(model.path) if model.path else None,
        "bytes": model.path.stat().st_size if model.path else None,
        "license": model.recipe.license,
        "description": model.recipe.description,
        "format": model.recipe.format,
        "source": model.recipe.origin,
        "domain": model.recipe.domain.name if model.recipe.domain is not None else None,
    }


def size_text(size: int) -> str:
    """Bytes for a person: 98 MB, 4.1 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@models.command("list")
def list_models(json: Json = False) -> None:
    """The models that are known, the installed ones first."""
    found = known_models(project_paths())
    if json:
        print_json({"models": [as_json(model) for model in found]})
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
    """What a model is: its recipe, its header, its licence, and where it comes from."""
    paths = project_paths()
    if not (Path(model).suffix == MODEL_SUFFIX or "/" in model):
        found = known_model(model, paths)
    else:
        found = find_model(model, paths)
    header = asyncio.run(_header(found.path, paths)) if found.path is not None else None
    record = read_record(found.name, paths)
    if json:
        print_json(
            {
                **as_json(found),
                "header": msgspec.to_builtins(header) if header is not None else None,
                "pulled": msgspec.to_builtins(record) if record is not None else None,
                "lineage": lineage(header.metadata) if header is not None else {},
            }
        )
        return
    prepare_stdout()
    recipe = found.recipe
    rows = {"name": found.name, "title": recipe.title, "about": recipe.description}
    if header is None:
        rows |= {"file": f"not here yet: 'baize-tui models pull {found.name}' fetches it"}
    else:
        rows |= {
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
        }
    rows |= {
        "format": recipe.format or "",
        "licence": recipe.license or (header.license if header is not None else ""),
        "notice": recipe.notice,
        "domain": recipe.domain.name if recipe.domain is not None else "",
        "disclaimer": recipe.domain.disclaimer if recipe.domain is not None else "",
        "source": recipe.origin,
    }
    if record is not None:
        rows |= {f"at {repo}": commit for repo, commit in record.commits.items()}
        rows |= {
            "sha256": record.sha256 or "",
            "pulled": time.strftime("%Y-%m-%d %H:%M", time.localtime(record.pulled_at)),
        }
    for key, value in {**rows, **(lineage(header.metadata) if header is not None else {})}.items():
        if value:
            print_line(f"{key:<13} {value}")


@models.command("remove")
def remove_model(model: ModelName, json: Json = False) -> None:
    """Remove a model that was pulled or imported; a file of yours stays where it lies."""
    from baize_tui.catalog.pull import remove

    paths = project_paths()
    found = known_model(model, paths)
    deleted = remove(found, paths)
    if json:
        print_json({"name": model, "deleted": [str(file) for file in deleted]})
        return
    tell(f"{model} is removed" + ("" if deleted else "; its file stays where it lies"))


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
    check_name(chosen)
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
