"""``baize-tui models modelfile``: a model of this machine for Ollama."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.printing import print_line
from baize_shared.shipped_models import OWN_TEMPLATE
from baize_tui.catalog.finding import find_model, local_file
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.formats import fallback_format, format_named, formats, system_turn
from baize_tui.chat.ollama.go_template import translate
from baize_tui.chat.ollama.modelfile import Modelfile, stop_strings
from baize_tui.cli.failures import CommandError
from baize_tui.cli.model_info import read_header
from baize_tui.cli.output import tell
from baize_tui.engine.protocol import GgufHeader
from baize_tui.paths import project_paths
from baize_tui.settings import Settings, load_settings, merge_sampling
from baize_tui.shared_texts import NAMED, file_error
from baize_tui.translation import msg, tr

T = TypeVar("T")
NO_EQUAL = msg(
    "the prompt format {format} has no equal in Ollama's template language: choose another with "
    "--format"
)


@dataclass(frozen=True, kw_only=True)
class ModelfileOptions:
    """Options of ``baize-tui models modelfile``."""

    output: Path | None
    format: str | None
    system: str | None


def write_modelfile(name: str, options: ModelfileOptions) -> None:
    """Print the Modelfile of model ``name``, or write it to a file.

    Raises:
        CatalogError: there is no such model, or it is not on this machine.
        CommandError: Ollama cannot write its prompts, or the file cannot be written.
        UnknownFormat: there is no such prompt format.
    """
    paths = project_paths()
    settings = load_settings(paths.settings_file)
    model = find_model(name, paths)
    file = local_file(model).absolute()
    header = asyncio.run(read_header(file, paths))
    if header.problem:
        raise CommandError(header.problem)
    modelfile = _modelfile(model, header, options, settings, _shown_path(file, options.output))
    try:
        text = modelfile.text()
    except ValueError as error:
        raise CommandError(tr(NAMED, name=model.name, why=error)) from error
    if modelfile.template is None:
        tell(tr("the TEMPLATE is left to Ollama, which takes the chat template in the file"))
    if options.output is None:
        print_line(text.removesuffix("\n"))
        return
    try:
        write_atomically(options.output, text.encode())
    except OSError as error:
        raise CommandError(file_error(options.output, error)) from error
    tell(tr("{file} is written; next: ollama create NAME -f {file}", file=options.output))


def _modelfile(
    model: CatalogModel,
    header: GgufHeader,
    options: ModelfileOptions,
    settings: Settings,
    file: str,
) -> Modelfile:
    name = options.format or model.recipe.format or _format_in(header)
    format, chat = format_named(name), settings.chat
    template = None
    if name != OWN_TEMPLATE:
        template = translate(format, moderation=chat.moderation)
        if template is None:
            raise CommandError(tr(NO_EQUAL, format=name))
    system = options.system
    if system is None:
        system = _from_json(header, "baize.system", str)
    if system is None:
        system = chat.system
    more = [*model.recipe.stop, *(_from_json(header, "baize.stop", list[str]) or ())]
    return Modelfile(
        file=file,
        template=template,
        system=system_turn(format, system, moderation=chat.moderation),
        stop=stop_strings(format, template, more),
        sampling=merge_sampling(model.recipe.sampling, settings.sampling),
        context=settings.model.context or None,
        license=model.recipe.license or header.license,
    )


def _format_in(header: GgufHeader) -> str:
    """The format that the file names, else its chat template, or ChatML without one."""
    named = header.metadata.get("baize.prompt_format", "")
    return named if named in formats() else fallback_format(has_template=bool(header.chat_template))


def _from_json(header: GgufHeader, key: str, type: type[T]) -> T | None:
    """The value of a key that is JSON; None without it."""
    with contextlib.suppress(*JSON_ERRORS):
        return msgspec.json.decode(header.metadata.get(key, ""), type=type)
    return None


def _shown_path(file: Path, output: Path | None) -> str:
    """The path of a file as its Modelfile names it."""
    if output is not None and output.absolute().parent == file.parent:
        return f"./{file.name}"
    return str(file)
