"""The command line: commands and their options; the module of its name runs each command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baize_shared.typed_text import typed_text
from baize_tui import __version__
from baize_tui.cli.ask import AskOptions, ask
from baize_tui.cli.ask_flags import (
    Adapters,
    Attach,
    AttachSecrets,
    Format,
    Grammar,
    JsonObject,
    JsonSchema,
    MaxThinkingTokens,
    MaxTokens,
    NoSave,
    Question,
    Regex,
    Seed,
    ShowThinking,
    Stop,
    System,
    Temperature,
    Think,
)
from baize_tui.cli.doctor import doctor
from baize_tui.cli.failures import exit_code_of
from baize_tui.cli.flags import (
    DraftModel,
    GpuLayers,
    Json,
    Model,
    Offline,
    PersonaName,
    Session,
)
from baize_tui.cli.models import go_offline, models
from baize_tui.cli.output import PROGRAM
from baize_tui.cli.sessions import sessions
from baize_tui.cli.start import StartOptions, start_client
from baize_tui.cli.translated_group import TranslatedGroup
from baize_tui.serving.addresses import THIS_COMPUTER
from baize_tui.serving.order import Program
from baize_tui.serving.tokens import TOKEN_VARIABLE
from baize_tui.stop_texts import parse_stop
from baize_tui.translation import tr

commands = typer.Typer(
    cls=TranslatedGroup,
    name="baize-tui",
    help="Chat with a model you own, in the terminal, offline.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
commands.add_typer(sessions, name="sessions")
commands.add_typer(models, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@commands.callback()
def client(
    context: typer.Context,
    model: Model = None,
    session: Session = None,
    newest: Annotated[
        bool, typer.Option("--continue", "-c", help="Open the conversation used last.")
    ] = False,
    gpu_layers: GpuLayers = None,
    draft: DraftModel = None,
    persona: PersonaName = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Append lines, for screen readers and simple terminals.")
    ] = False,
    offline: Offline = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version),
    ] = False,
) -> None:
    """Chat with a model you own, in the terminal, offline."""
    go_offline(offline)
    command = context.invoked_subcommand
    if command is not None:
        values = {
            "--model": model,
            "--session": session,
            "--gpu-layers": gpu_layers,
            "--draft": draft,
            "--persona": persona,
        }
        given = [option for option, value in values.items() if value is not None]
        if newest:
            given.append("--continue")
        if plain:
            given.append("--plain")
        if given:  # it would have no effect, and another model would answer
            raise typer.BadParameter(
                tr(
                    "{option} comes after the command: baize-tui {command} …",
                    option=given[0],
                    command=command,
                )
            )
    else:
        options = StartOptions(
            model=model,
            session=session,
            newest=newest,
            gpu_layers=gpu_layers,
            draft=draft,
            persona=persona,
            plain=plain,
        )
        raise typer.Exit(start_client(options))


@commands.command("ask")
def ask_command(
    prompt: Question = None,
    model: Model = None,
    system: System = None,
    session: Session = None,
    format: Format = None,
    no_save: NoSave = False,
    json: Json = False,
    seed: Seed = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    think: Think = None,
    max_thinking_tokens: MaxThinkingTokens = None,
    show_thinking: ShowThinking = None,
    adapter: Adapters = None,
    gpu_layers: GpuLayers = None,
    draft: DraftModel = None,
    json_object: JsonObject = False,
    json_schema: JsonSchema = None,
    regex: Regex = None,
    grammar: Grammar = None,
    stop: Stop = None,
    attach: Attach = None,
    attach_secrets: AttachSecrets = False,
    persona: PersonaName = None,
) -> None:
    """Ask one question. @path in it attaches a file; piped text is added below it."""
    options = AskOptions(
        model=model,
        system=system,
        session=session,
        format=format,
        save=not no_save,
        json=json,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        think=think,
        max_thinking_tokens=max_thinking_tokens,
        show_thinking=show_thinking,
        adapters=tuple(adapter or ()),
        gpu_layers=gpu_layers,
        draft=draft,
        json_object=json_object,
        json_schema=json_schema,
        regex=regex,
        grammar=grammar,
        stop=tuple(parse_stop(text) for text in stop or ()),
        attach=tuple(attach or ()),
        attach_secrets=attach_secrets,
        persona=persona,
    )
    raise typer.Exit(ask(prompt, options))


@commands.command("doctor")
def doctor_command(
    json: Json = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Write what a bug report needs; no conversations."
        ),
    ] = None,
) -> None:
    """Examine this machine: hardware, engine, files, and problems."""
    raise typer.Exit(doctor(json=json, bundle=bundle))


@commands.command("bench")
def bench_command(
    model: Model = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round of short texts: rough figures.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure how fast this machine answers, as ratios to llama.cpp alone."""
    from baize_tui.cli.bench import BenchOptions, bench  # no other command needs its modules

    raise typer.Exit(bench(BenchOptions(model=model, quick=quick, json=json)))


@commands.command("serve")
def serve_command(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on.", parser=typed_text)
    ] = THIS_COMPUTER,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help=f"A private file with the token; else {TOKEN_VARIABLE}, else a new one.",
        ),
    ] = None,
    server: Annotated[
        Program | None, typer.Option("--server", help="Which server to run, if both are installed.")
    ] = None,
    gpu_layers: GpuLayers = None,
    listen_on_network: Annotated[
        bool,
        typer.Option("--listen-on-network", help="Allow an address that other computers reach."),
    ] = False,
    json: Json = False,
) -> None:
    """Offer a model to other programs: an OpenAI-compatible endpoint."""
    from baize_tui.cli.serve import ServeOptions, serve  # no other command needs its modules

    serve(
        ServeOptions(
            model=model,
            host=host,
            port=port,
            token_file=token_file,
            server=server,
            gpu_layers=gpu_layers,
            listen_on_network=listen_on_network,
            json=json,
        )
    )


@commands.command("web")
def web_command(
    model: Model = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    json: Json = False,
) -> None:
    """Chat in a browser on this computer."""
    from baize_tui.cli.web import WebOptions, web  # no other command needs its modules

    web(WebOptions(model=model, port=port, json=json))


def run(arguments: list[str]) -> int:
    """Run the command line; the exit code."""
    return exit_code_of(lambda: commands(args=arguments, prog_name=PROGRAM))
