"""``baize-tui models``: the commands and their options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.offline import OFFLINE_VARIABLE
from baize_shared.printing import print_json, print_line, print_message
from baize_shared.typed_text import typed_file, typed_text
from baize_tui.catalog.adapters import broken_adapters, known_adapters
from baize_tui.catalog.finding import broken_models, known_models
from baize_tui.catalog.fit import this_machine
from baize_tui.cli.completion import complete_model
from baize_tui.cli.flags import GpuLayers, Json, Offline
from baize_tui.cli.model_argument import default_model
from baize_tui.cli.model_info import print_info
from baize_tui.cli.model_output import adapter_json, is_default, list_lines, model_json
from baize_tui.cli.model_plan import PlanOptions, print_plan
from baize_tui.cli.model_pull import PullOptions, pull_model_or_adapter
from baize_tui.cli.output import PROGRAM, warn_about_encoding
from baize_tui.paths import project_paths

models = typer.Typer(no_args_is_help=True, help="List, plan, pull, import and remove models.")

ModelName = Annotated[
    str,
    typer.Argument(help="A name or a GGUF file.", autocompletion=complete_model, parser=typed_file),
]
Outtype = Annotated[
    str | None,
    typer.Option(
        "--outtype", help="What a checkpoint is quantized to, e.g. Q8_0.", parser=typed_text
    ),
]

MakeDefault = Annotated[
    bool, typer.Option("--default", help="Make it the model that answers in new conversations.")
]


def go_offline(offline: bool) -> None:
    """Forbid the network if ``offline``. Call it before huggingface_hub is imported."""
    if offline:
        os.environ[OFFLINE_VARIABLE] = "1"


@models.command("list")
def list_command(json: Json = False) -> None:
    """The models and adapters that are known, the installed ones first."""
    paths = project_paths()
    known, adapters = known_models(paths), known_adapters(paths)
    default = default_model(paths)
    for why in (*broken_models(paths), *broken_adapters(paths)):
        print_message(PROGRAM, why)
    if json:
        print_json(
            {
                "models": [
                    {**model_json(model), "default": is_default(model, default)} for model in known
                ],
                "adapters": [adapter_json(adapter) for adapter in adapters],
            }
        )
        return
    warn_about_encoding()
    for line in list_lines(known, adapters, default, this_machine(paths.models_folder)):
        print_line(line)


@models.command("info")
def info_command(model: ModelName, json: Json = False) -> None:
    """What a model or an adapter is: its recipe, header and licence, and where it comes from."""
    print_info(model, json=json)


@models.command("remove")
def remove_command(model: ModelName, json: Json = False) -> None:
    """Remove a model that was pulled or imported; a file outside the program's folder stays."""
    from baize_tui.cli.model_remove import remove_model

    remove_model(model, json=json)


@models.command("default")
def default_command(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A name or a GGUF file; without it, the default model is printed.",
            autocompletion=complete_model,
            parser=typed_file,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """The model that answers in new conversations; with a name, choose another one."""
    from baize_tui.cli.model_default import show_or_set_default

    show_or_set_default(model, json=json)


@models.command("import")
def import_command(
    file: Annotated[
        Path, typer.Argument(help="A GGUF model, a GGUF LoRA, or the folder of an adapter.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Its name on this machine; else that of the file.", parser=typed_text),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the file instead of linking to it.")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="Prompt format, e.g. baize; else the file's template.", parser=typed_text
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The model that an adapter is for.", parser=typed_file)
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(help="The adapter that it was trained over, as by sdf.", parser=typed_file),
    ] = None,
    default: MakeDefault = False,
) -> None:
    """Add a model or an adapter of your own under a name."""
    from baize_tui.catalog.importing import ImportOptions
    from baize_tui.cli.model_import import import_model

    options = ImportOptions(name=name, copy=copy, format=format, base=base, over=over)
    import_model(file, options, default=default)


@models.command("modelfile")
def modelfile_command(
    model: ModelName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; by default stdout.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Prompt format, e.g. baize; else that of the model.", parser=typed_text),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            help="System prompt; else the one it was trained with, or yours.", parser=typed_text
        ),
    ] = None,
) -> None:
    """A Modelfile, from which 'ollama create' makes the same model with the same prompts."""
    from baize_tui.cli.model_modelfile import ModelfileOptions, write_modelfile

    write_modelfile(model, ModelfileOptions(output=output, format=format, system=system))


@models.command("plan")
def plan_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH|hf:…",
            help="A known model, a GGUF file, a model's folder, or one on the hub.",
            autocompletion=complete_model,
            parser=typed_file,
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
    options = PlanOptions(context=context, gpu_layers=gpu_layers, outtype=outtype, json=json)
    print_plan(model, options)


@models.command("pull")
def pull_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|hf:…",
            help="A known model, or one on the hub.",
            autocompletion=complete_model,
            parser=typed_file,
        ),
    ],
    outtype: Outtype = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of a model from the hub on this machine; else as on the hub.",
            parser=typed_text,
        ),
    ] = None,
    keep_source: Annotated[
        bool,
        typer.Option("--keep-source", help="Keep a checkpoint's weights in the hub's own cache."),
    ] = False,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You accept the notice of the model.")
    ] = False,
    default: MakeDefault = False,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """Download a model, and merge and quantize it meanwhile; can be interrupted and resumed."""
    go_offline(offline)
    options = PullOptions(
        outtype=outtype,
        name=name,
        keep_source=keep_source,
        accept_license=accept_license,
        make_default=default,
        json=json,
    )
    pull_model_or_adapter(model, options)
